"""What happens to a fleet: containers come and go, parts fail and recover, an operator interferes. All of it by
seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from signal import SIGHUP, SIGTERM
from typing import Any

from attrs import evolve, frozen

from tests.simulation.drain_order import Order
from tests.simulation.engine import EventAccess, OperationRefused
from tests.simulation.etcd_cluster import Backup
from tests.simulation.fleet import LIST_LAG, MEMBERS, PREFIX, Fleet, Host
from tests.simulation.network import Fate, LineFate, Weather
from tests.simulation.oracle import Custom, Oracle
from tests.simulation.scheduler import Scheduler

#: Seconds of a storm, in which faults happen, and of the calm after it, in which they do not.
STORM, CALM = 90.0, 110.0

#: Average seconds between two events of the containers, and between two faults of a storm.
LIFE_GAP, FAULT_GAP = 4.0, 4.0

#: Containers that run from the start, on all hosts together.
FIRST_CONTAINERS = 12

#: Containers of one host at most.
CROWD = 9

#: The most seconds that a container takes to end by itself after a signal that stops it. It may be more than its stop
#: timeout.
SLOWEST_END = 12.0

#: How containers may ask to be stopped, beginning with those that ask for nothing.
STOP_WISHES: tuple[dict[str, Any], ...] = (
    *({} for _ in range(5)),
    {"stop_signal": "SIGUSR1"},
    {"stop_signal": "RTMIN+3", "stop_timeout": 2},
    {"stop_signal": "28", "stop_timeout": -1},
    {"stop_timeout": 30},
    {"env": {"SERVICE_STOP_GRACE": "8"}},
    {"env": {"SERVICE_STOP_GRACE": "25"}, "stop_signal": "QUIT"},
    {"env": {"SERVICE_DRAIN": "false"}},
)

#: Maximum seconds for which an engine's list is empty, less than the guard waits; and minimum seconds between the
#: beginnings of two such times, so that the guard has begun to count anew.
EMPTY_LIST, EMPTY_LIST_GAP = 1.9, 30.0


@frozen
class Event:
    """One thing that happens. Dropping any event leaves a run that is possible."""

    moment: float
    kind: str
    #: Numbers from 0 to 1 from which the event draws what it needs.
    numbers: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.moment:9.3f}  {self.kind}"


def pick(options: list[str] | tuple[str, ...], number: float) -> str:
    """Choose one of several by a number from 0 to 1."""
    return options[int(number * len(options))]


def draw_events(chance: random.Random, seconds: float) -> list[Event]:
    """Draw what happens in a run: storms with faults, calms without, containers that live all the time."""
    events: list[Event] = []

    def add(moment: float, kinds: Mapping[str, float]) -> None:
        kind = chance.choices(list(kinds), list(kinds.values()))[0]
        events.append(Event(moment, kind, tuple(chance.random() for _ in range(6))))

    for number in range(FIRST_CONTAINERS):
        add(number / FIRST_CONTAINERS, {"run": 1.0})
    moment = 1.0
    while (moment := moment + chance.expovariate(1 / LIFE_GAP)) < seconds:
        add(moment, LIVES)
    moment = 5.0
    while (moment := moment + chance.expovariate(1 / FAULT_GAP)) < seconds:
        if moment % (STORM + CALM) < STORM:
            add(moment, FAULTS)
    return sorted(events, key=lambda event: event.moment)


#: What containers do, and how often against each other.
LIVES = {
    "run": 10.0,
    "stop": 3.0,
    "kill": 3.0,
    "start": 3.0,
    "restart": 2.0,
    "terminate": 2.0,
    "hang-up": 1.0,
    "rename": 1.0,
    "pause": 1.0,
    "unpause": 1.5,
    "health": 2.0,
    "remove": 4.0,
    "join-network": 1.0,
    "leave-network": 1.0,
    "delete-key": 0.7,
    "overwrite-key": 0.7,
    "put-foreign": 0.5,
    "put-orphan": 0.5,
    "drain": 1.2,
    "drain-all": 0.3,
    "undrain": 1.2,
    "mass-stop": 0.4,
}

#: What breaks, and how often against each other.
FAULTS = {
    "bad-weather": 7.0,
    "late-weather": 2.0,
    "severed": 3.0,
    "member-stopped": 2.0,
    "member-frozen": 2.0,
    "member-isolated": 2.0,
    "member-lags": 1.5,
    "quorum-lost": 1.3,
    "etcd-full": 1.3,
    "etcd-wiped": 1.2,
    "etcd-restored": 1.2,
    "engine-restarted": 1.5,
    "engine-restarted-live": 1.5,
    "engine-frozen": 1.5,
    "engine-lags": 1.5,
    "engine-weather": 1.5,
    "inspect-hangs": 3.0,
    "agent-killed": 4.0,
    "agent-killed-at-a-write": 2.0,
    "agent-back-in-time": 2.0,
    "agent-frozen": 1.5,
    "flags-changed": 2.0,
    "deregistered": 1.2,
    "prefix-deleted": 1.2,
    "host-renamed": 1.2,
    "mass-stop": 1.2,
    "mass-remove": 1.2,
    "list-empties": 1.5,
    "events-disturbed": 3.0,
    "events-cut": 1.5,
    "events-silent": 1.0,
    "events-refused": 1.5,
    "false-events": 3.0,
}


#: What no run draws by itself, as it shows a fault of the program that is known and not mended yet. Tests that are
#: expected to fail use these.
KNOWN_FAULTS = ("hung-from-the-start", "put-lookalike")


class Happenings:
    """Makes events happen to a fleet, and mends what they broke."""

    def __init__(self, scheduler: Scheduler, fleet: Fleet, oracle: Oracle, tell: Callable[[str], None]) -> None:
        self._scheduler = scheduler
        self._fleet = fleet
        self._oracle = oracle
        self._tell = tell
        self._names = 0
        self._list_emptied: dict[str, float] = {}
        self._backup: tuple[Backup, Custom] | None = None

    def schedule(self, event: Event) -> None:
        """Have an event happen at its moment."""
        self._scheduler.call_at(event.moment, lambda: self._happen(event))

    def _happen(self, event: Event) -> None:
        host = self._fleet.hosts[int(event.numbers[0] * len(self._fleet.hosts))]
        action = getattr(self, f"_{event.kind.replace('-', '_')}")
        try:
            said = action(host, event.numbers[1:])
        except OperationRefused as refused:
            said = f"cannot be: {refused}"
        if event.kind in FAULTS:
            self._fleet.counts[event.kind] += 1
        self._tell(f"{event.kind} {host.name} {said or ''}")

    def _later(self, seconds: float, call: Callable[[], object], what: str) -> None:
        def mend() -> None:
            call()
            self._tell(f"  {what}")

        self._scheduler.call_at(self._scheduler.now + seconds, mend)

    # The lives of containers.

    def _container(self, host: Host, number: float, *statuses: str) -> str | None:
        names = [each.name for each in host.engine.containers() if each.status in statuses]
        return pick(names, number) if names else None

    def _run(self, host: Host, numbers: tuple[float, ...]) -> str:
        containers = host.engine.containers()
        if len(containers) >= CROWD:
            return "is crowded"
        self._names += 1
        name = f"c{self._names}"
        kind = int(numbers[0] * 8)
        ports: dict[str, int | None] = {"80/tcp": None}
        env: dict[str, str] = {}
        if kind == 1:
            ports = {"80/tcp": None, "443/tcp": None}
        elif kind == 2:
            ports = {"53/udp": None, "53/tcp": None}
        elif kind == 3:
            env = {"SERVICE_ID": f"own-{name}", "SERVICE_NAME": "db"}
        elif kind in {4, 5}:
            env = {"SERVICE_ID": f"shared-{int(numbers[1] * 2)}", "SERVICE_NAME": "db"}
        elif kind == 6:
            env = {"SERVICE_NAME": "team/app"}
        elif kind == 7:
            env = {"SERVICE_IGNORE": "true"} if numbers[1] < 0.2 else {}
        wish = STOP_WISHES[int(numbers[4] * len(STOP_WISHES))]
        options = wish | {"env": env | wish.get("env", {}), "ends_after": self._time_to_end(numbers[3])}
        host.engine.run(name, "registry.example/web:1", ports=ports, healthcheck=numbers[2] < 0.3, **options)
        return f"{name} {options}"

    @staticmethod
    def _time_to_end(number: float) -> float:
        """Return how long a container takes to end after its stop signal. Some end at once, and some ignore it."""
        return 0.0 if number < 0.4 else inf if number > 0.9 else SLOWEST_END * (2 * number - 0.8) ** 2

    def _stop(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        if name := self._container(host, numbers[0], "running", "paused"):
            host.engine.stop(name)
        return name

    def _kill(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        if name := self._container(host, numbers[0], "running"):
            host.engine.kill(name)
        return name

    def _start(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        if name := self._container(host, numbers[0], "exited", "created"):
            host.engine.start(name)
        return name

    def _restart(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        if name := self._container(host, numbers[0], "running", "exited"):
            host.engine.restart(name)
        return name

    def _terminate(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        """Send TERM to a container, once or twice. Half of the times it runs on, and else it ends in its own time."""
        if name := self._container(host, numbers[0], "running"):
            host.engine.kill(name, SIGTERM)
            now, engine = self._scheduler.now, host.engine
            if numbers[1] < 0.3:
                again = now + 20 * numbers[2]
                self._scheduler.call_at(again, lambda: self._unless_refused(engine.kill, name, SIGTERM))
            if numbers[3] < 0.5:
                ends = now + SLOWEST_END * numbers[4]
                self._scheduler.call_at(ends, lambda: self._unless_refused(engine.die, name))
        return name

    def _hang_up(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        """Send HUP to a container, which goes on."""
        if name := self._container(host, numbers[0], "running"):
            host.engine.kill(name, SIGHUP)
        return name

    def _rename(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        if name := self._container(host, numbers[0], "running", "exited"):
            self._names += 1
            host.engine.rename(name, f"c{self._names}")
        return name

    def _pause(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        if name := self._container(host, numbers[0], "running"):
            host.engine.pause(name)
        return name

    def _unpause(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        if name := self._container(host, numbers[0], "paused"):
            host.engine.unpause(name)
        return name

    def _health(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        checked = [each.name for each in host.engine.running() if each.health and each.status == "running"]
        if not checked:
            return None
        name, health = pick(checked, numbers[0]), pick(("healthy", "healthy", "unhealthy"), numbers[1])
        host.engine.set_health(name, health)
        return f"{name} {health}"

    def _remove(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        if name := self._container(host, numbers[0], "exited", "running"):
            host.engine.remove(name, force=True)
        return name

    def _join_network(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        if name := self._container(host, numbers[0], "running"):
            host.engine.connect(name, "backend")
        return name

    def _leave_network(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        if name := self._container(host, numbers[0], "running"):
            host.engine.disconnect(name, "backend")
        return name

    def _mass_stop(self, host: Host, numbers: tuple[float, ...]) -> str:
        names = [each.name for each in host.engine.running()]
        for name in names:
            host.engine.stop(name)
        return f"stops {len(names)}"

    def _mass_remove(self, host: Host, numbers: tuple[float, ...]) -> str:
        names = [each.name for each in host.engine.running()]
        for name in names:
            host.engine.remove(name, force=True)
        return f"removes {len(names)}"

    # The operator's hands in etcd.

    def _own_key(self, host: Host, number: float) -> str | None:
        mark = f"/{host.engine.name}:"
        keys = sorted(key for key in self._fleet.cluster.keys(self._fleet.api, PREFIX) if mark in key)
        return pick(keys, number) if keys else None

    def _delete_key(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        if key := self._own_key(host, numbers[0]):
            self._fleet.cluster.delete(self._fleet.api, key)
        return key

    def _overwrite_key(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        if key := self._own_key(host, numbers[0]):
            self._fleet.cluster.put(self._fleet.api, key, "192.0.2.66:6")
        return key

    def _put_foreign(self, host: Host, numbers: tuple[float, ...]) -> str:
        key = f"{PREFIX}/other/by-hand-{int(numbers[0] * 10)}"
        self._oracle.foreign[key] = "192.0.2.77:7"
        self._fleet.cluster.put(self._fleet.api, key, "192.0.2.77:7")
        return key

    def _put_orphan(self, host: Host, numbers: tuple[float, ...]) -> str:
        key = f"{PREFIX}/web/{host.engine.name}:ghost-{int(numbers[0] * 10)}:80"
        self._fleet.cluster.put(self._fleet.api, key, "192.0.2.88:8")
        return key

    def _drain(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        """The operator drains a container, or two of them, for a while or until further notice."""
        now, owner, order = self._scheduler.now, host.engine.name, self._order(host)
        names = {self._container(host, number, "running") for number in numbers[:2]}
        until = inf if numbers[2] < 0.5 else round(now + 60 * numbers[3])
        for each in host.engine.running():
            if each.name in names:
                order = order.with_container(each, until)
        order.write(self._fleet.cluster, self._fleet.api, owner)
        return f"{sorted(filter(None, names))} until {until}"

    def _drain_all(self, host: Host, numbers: tuple[float, ...]) -> str:
        """The operator drains a whole host for a while, or until further notice."""
        until = inf if numbers[0] < 0.2 else round(self._scheduler.now + 60 * numbers[1])
        order = evolve(self._order(host), all_until=until)
        order.write(self._fleet.cluster, self._fleet.api, host.engine.name)
        return f"until {until}"

    def _undrain(self, host: Host, numbers: tuple[float, ...]) -> str:
        """The operator ends what drains a whole host, and what drains one of its containers, or all of them."""
        order = self._order(host)
        ended = set(order.named) if numbers[0] < 0.5 else {*sorted(order.named)[:1]}
        left = Order({key: each for key, each in order.named.items() if key not in ended})
        left.write(self._fleet.cluster, self._fleet.api, host.engine.name)
        return f"leaves {sorted(each.name for each in left.named.values())}"

    def _order(self, host: Host) -> Order:
        return Order.read(self._fleet.cluster, self._fleet.api, host.engine.name)

    def _put_lookalike(self, host: Host, numbers: tuple[float, ...]) -> str:
        """Somebody writes by hand what a container will want under a custom id: the next one that runs here."""
        value = f"{host.address}:{32768}"
        self._oracle.foreign[f"{PREFIX}/db/own-c1"] = value
        self._fleet.cluster.put(self._fleet.api, f"{PREFIX}/db/own-c1", value)
        return value

    def _hung_from_the_start(self, host: Host, numbers: tuple[float, ...]) -> str:
        """A container starts of which every inspect hangs, for good."""
        self._names += 1
        name = f"hung-{self._names}"
        host.engine.run(name, "registry.example/web:1", ports={"80/tcp": None}, env={"SERVICE_IGNORE": "true"})
        host.engine.hang_inspect(name)
        return name

    def _prefix_deleted(self, host: Host, numbers: tuple[float, ...]) -> None:
        self._fleet.cluster.delete_prefix(self._fleet.api, f"{PREFIX}/")

    # etcd and the ways to it.

    def _bad_weather(self, host: Host, numbers: tuple[float, ...]) -> str:
        """Half of the storms have one fate, the others a mixture."""
        fates = [fate for fate in Fate if fate is not Fate.ANSWERED]
        chances: dict[Fate, float]
        if numbers[0] < 0.5:
            chances = {fates[int(numbers[1] * len(fates))]: 0.05 + 0.6 * numbers[2]}
        else:
            chances = dict.fromkeys(fates, 0.25 * numbers[2] / len(fates))
        chances[Fate.TRICKLED] = min(chances.get(Fate.TRICKLED, 0.0), 0.1)
        weather = Weather(chances)
        links = list(host.links.values())
        for link in links:
            link.weather = weather

        def clear() -> None:
            for link in links:
                if link.weather is weather:
                    link.weather = Weather()

        self._later(2 + 18 * numbers[3], clear, f"the weather of {host.name} clears")
        return ", ".join(f"{fate.value} {likely:.2f}" for fate, likely in chances.items())

    def _late_weather(self, host: Host, numbers: tuple[float, ...]) -> str:
        """Have etcd carry out many writes late, while one container is restarted and another one lives for some
        seconds."""
        weather = Weather({Fate.LATE: 0.3 + 0.4 * numbers[0]}, spares_reads=True)
        for link in host.links.values():
            link.weather = weather
        now, short = self._scheduler.now, f"short-{self._names}"
        self._names += 1
        if name := self._container(host, numbers[1], "running"):
            host.engine.stop(name)
            self._scheduler.call_at(now + 6 * numbers[2], lambda: self._unless_refused(host.engine.start, name))
        env = {"SERVICE_ID": f"own-{short}", "SERVICE_NAME": "db"}
        host.engine.run(short, "registry.example/web:1", ports={"80/tcp": None}, env=env)
        self._scheduler.call_at(now + 2 + 8 * numbers[3], lambda: self._unless_refused(host.engine.stop, short))

        def clear() -> None:
            for link in host.links.values():
                if link.weather is weather:
                    link.weather = Weather()

        self._later(2 + 12 * numbers[4], clear, f"the weather of {host.name} clears")
        return f"{name} and {short}"

    @staticmethod
    def _unless_refused(operation: Callable[..., object], name: str, *more: object) -> None:
        with suppress(OperationRefused):
            operation(name, *more)

    def _engine_weather(self, host: Host, numbers: tuple[float, ...]) -> None:
        """Make requests to the engine slow, lost or cut off. Sometimes start the agent anew, so that it has to read all
        containers in this weather."""
        weather = Weather({Fate.DELAYED: 0.3 * numbers[0], Fate.LOST: 0.1 * numbers[1], Fate.CUT: 0.4 * numbers[2]})
        host.socket.weather = weather
        if numbers[4] < 0.4:
            self._fleet.stop_agent(host)
            self._later(0.1, lambda: self._fleet.start_agent(host), f"the agent of {host.name} runs")
        self._later(
            2 + 18 * numbers[3], lambda: setattr(host.socket, "weather", Weather()), "the engine's socket clears"
        )

    def _severed(self, host: Host, numbers: tuple[float, ...]) -> str:
        members = MEMBERS if numbers[0] < 0.3 else (pick(MEMBERS, numbers[1]),)
        for member in members:
            host.links[member].severed = True

        def restore() -> None:
            for member in members:
                host.links[member].severed = False

        self._later(2 + 20 * numbers[2], restore, f"{host.name} reaches {', '.join(members)} again")
        return f"from {', '.join(members)}"

    def _member_stopped(self, host: Host, numbers: tuple[float, ...]) -> str:
        member = pick(MEMBERS, numbers[0])
        cluster = self._fleet.cluster
        return self._impair([member], 2 + 20 * numbers[1], cluster.stop, cluster.start)

    def _member_frozen(self, host: Host, numbers: tuple[float, ...]) -> str:
        frozen = self._fleet.frozen_members
        return self._impair([pick(MEMBERS, numbers[0])], 2 + 20 * numbers[1], frozen.add, frozen.discard)

    def _member_isolated(self, host: Host, numbers: tuple[float, ...]) -> str:
        cluster = self._fleet.cluster
        return self._impair([pick(MEMBERS, numbers[0])], 2 + 20 * numbers[1], cluster.isolate, cluster.heal)

    def _member_lags(self, host: Host, numbers: tuple[float, ...]) -> str:
        cluster = self._fleet.cluster
        return self._impair([pick(MEMBERS, numbers[0])], 2 + 20 * numbers[1], cluster.lag, cluster.catch_up)

    def _impair(
        self, members: list[str], seconds: float, impair: Callable[[str], object], mend: Callable[[str], object]
    ) -> str:
        """Do something to members of etcd, and undo it after a while."""
        for member in members:
            impair(member)
            self._fleet.impaired[member] += 1

        def recover() -> None:
            for member in members:
                self._fleet.impaired[member] -= 1
                mend(member)

        self._later(seconds, recover, f"{', '.join(members)} recovers")
        return ", ".join(members)

    def _quorum_lost(self, host: Host, numbers: tuple[float, ...]) -> str:
        first = int(numbers[0] * 3)
        lost = [MEMBERS[first], MEMBERS[(first + 1) % 3]]
        return self._impair(lost, 2 + 20 * numbers[1], self._fleet.cluster.stop, self._fleet.cluster.start)

    def _etcd_full(self, host: Host, numbers: tuple[float, ...]) -> None:
        self._set_full(True, numbers[1] < 0.5)
        self._later(2 + 20 * numbers[0], lambda: self._set_full(False, False), "etcd has space again")

    def _set_full(self, full: bool, deletes_pass: bool) -> None:
        self._fleet.full = full
        self._fleet.cluster.full(full, deletes_pass=deletes_pass)

    def _etcd_wiped(self, host: Host, numbers: tuple[float, ...]) -> None:
        self._fleet.cluster.wipe()
        self._fleet.put_neighbours()
        self._oracle.store_was_replaced(Custom())

    def _etcd_restored(self, host: Host, numbers: tuple[float, ...]) -> str:
        """Restore the backup that the last event of this kind took, if there is one; then take a new backup."""
        if self._backup:
            backup, custom = self._backup
            self._fleet.cluster.restore(backup)
            self._oracle.store_was_replaced(custom)
        self._oracle.excuse_until_sweep()
        restored = self._backup is not None
        self._backup = self._fleet.cluster.backup(), self._oracle.custom()
        return "from a backup" if restored else "backed up"

    # Engines.

    def _engine_restarted(self, host: Host, numbers: tuple[float, ...]) -> None:
        host.engine.stop_engine(live_restore=False, empty_list_for=0.5 + numbers[0])
        self._later(
            2 + 8 * numbers[1], lambda: self._engine_starts(host, numbers[2]), f"the engine of {host.name} runs"
        )

    def _engine_starts(self, host: Host, number: float) -> None:
        """Start the engine, and half of the containers that ended with it. What cannot be started stays down."""
        host.engine.start_engine()
        for index, each in enumerate(host.engine.containers()):
            if each.status == "exited" and (number * 10 + index) % 2 < 1 and host.engine.answers:
                host.engine.start(each.name)

    def _engine_restarted_live(self, host: Host, numbers: tuple[float, ...]) -> None:
        host.engine.stop_engine(live_restore=True)
        self._later(1 + 8 * numbers[0], host.engine.start_engine, f"the engine of {host.name} runs")

    def _engine_frozen(self, host: Host, numbers: tuple[float, ...]) -> None:
        host.engine.freeze()
        self._later(1 + 15 * numbers[0], host.engine.thaw, f"the engine of {host.name} thaws")

    def _engine_lags(self, host: Host, numbers: tuple[float, ...]) -> None:
        host.engine.list_lag(1.6 * numbers[0])
        self._later(20.0, lambda: host.engine.list_lag(LIST_LAG), f"the engine of {host.name} lags less")

    def _inspect_hangs(self, host: Host, numbers: tuple[float, ...]) -> str | None:
        """Let the inspects of a container hang for a while. The agent needs an inspect then, because the event also
        pauses the container, which changes it in the list, or starts the agent anew."""
        if name := self._container(host, numbers[0], "running"):
            host.engine.hang_inspect(name)
            container = next(each for each in host.engine.containers() if each.name == name)
            self._oracle.inspect_hangs(host, container.id)
            self._later(3 + 20 * numbers[1], lambda: self._heal(host), f"the engine of {host.name} inspects all again")
            if numbers[2] < 0.5:
                self._fleet.stop_agent(host)
                self._later(1.0, lambda: self._fleet.start_agent(host), f"the agent of {host.name} runs")
            else:
                host.engine.pause(name)
        return name

    def _heal(self, host: Host) -> None:
        host.engine.heal()
        self._oracle.inspects_answer(host)

    def _list_empties(self, host: Host, numbers: tuple[float, ...]) -> str:
        now = self._scheduler.now
        if now < self._list_emptied.get(host.name, -EMPTY_LIST_GAP) + EMPTY_LIST_GAP:
            return "was empty not long ago"
        self._list_emptied[host.name] = self._oracle.ledgers[host.name].list_emptied_at = now
        host.engine.empty_list(EMPTY_LIST * numbers[0])
        return f"for {EMPTY_LIST * numbers[0]:.1f} s"

    # Events of the engines, on their way to the agents.

    def _events_disturbed(self, host: Host, numbers: tuple[float, ...]) -> str:
        """Let events be lost, doubled or late, or end the stream. Half of the times have one fate, the others a
        mixture."""
        fates = [fate for fate in LineFate if fate is not LineFate.ARRIVES]
        chances: dict[LineFate, float]
        if numbers[0] < 0.5:
            chances = {fates[int(numbers[1] * len(fates))]: 0.1 + 0.9 * numbers[2]}
        else:
            chances = dict.fromkeys(fates, 0.8 * numbers[2] / len(fates))
        host.socket.line_chances = chances
        self._later(
            2 + 28 * numbers[3], lambda: setattr(host.socket, "line_chances", {}), f"the events of {host.name} arrive"
        )
        return ", ".join(f"{fate.value} {likely:.2f}" for fate, likely in chances.items())

    def _events_cut(self, host: Host, numbers: tuple[float, ...]) -> None:
        """Close the streams of events, up to five times in a row."""
        for number in range(1 + int(numbers[0] * 5)):
            self._scheduler.call_at(self._scheduler.now + 2 * numbers[1] * number, host.socket.cut)

    def _events_silent(self, host: Host, numbers: tuple[float, ...]) -> None:
        host.socket.hush()

    def _events_refused(self, host: Host, numbers: tuple[float, ...]) -> str:
        """Have a socket proxy refuse all requests for events, or those for a stream. It cuts the present streams."""
        access = EventAccess.NONE if numbers[0] < 0.5 else EventAccess.HISTORY
        host.engine.let_events_through(access)
        host.socket.cut()
        self._later(
            2 + 38 * numbers[1],
            lambda: host.engine.let_events_through(EventAccess.OPEN),
            f"the proxy of {host.name} lets all events through",
        )
        return f"lets through: {access.name.lower()}"

    def _false_events(self, host: Host, numbers: tuple[float, ...]) -> str:
        """Let events arrive that the engine did not send: of a container that does not exist, the signal to and the end
        of an earlier run of each that runs, the start of each that does not, and sometimes the end of one that runs, or
        a signal that stops it."""
        engine, link = host.engine, host.socket
        for action in ("start", "kill", "die", "destroy", "rename"):
            link.inject(engine.false_event(action, f"{int(numbers[0] * 1e9):064x}", signal=SIGTERM))
        for each in engine.containers():
            if each.started is not None and each.status in {"running", "paused"}:
                earlier = each.started - 10 * numbers[1]
                link.inject(engine.false_event("kill", each.id, at=earlier, signal=each.stop_signal))
                link.inject(engine.false_event("die", each.id, at=earlier))
                link.inject(engine.false_event("kill", each.id, signal=SIGHUP))
            else:
                link.inject(engine.false_event("start", each.id))
        name = self._container(host, numbers[3], "running") if numbers[2] < 0.75 else None
        container = next((each for each in engine.containers() if each.name == name), None)
        if container is None:
            return ""
        if numbers[2] < 0.5:
            self._oracle.end_was_made_up(host, container.id)
            link.inject(engine.false_event("die", container.id))
            return f"the end of {name} too"
        self._oracle.signal_was_made_up(host, container.id, container.stop_signal)
        link.inject(engine.false_event("kill", container.id, signal=container.stop_signal))
        return f"the signal that stops {name} too"

    # Agents.

    def _agent_killed_at_a_write(self, host: Host, numbers: tuple[float, ...]) -> None:
        """Kill the agent as soon as etcd has carried out its first, second or third write from now on."""
        host.writes_to_live = 1 + int(numbers[0] * 3)

        def start() -> None:
            host.writes_to_live = None
            self._fleet.start_agent(host)

        self._later(2 + 40 * numbers[1] ** 2, start, f"the agent of {host.name} runs")

    def _agent_killed(self, host: Host, numbers: tuple[float, ...]) -> None:
        self._fleet.stop_agent(host)
        self._later(40 * numbers[0] ** 2, lambda: self._fleet.start_agent(host), f"the agent of {host.name} runs")

    def _agent_back_in_time(self, host: Host, numbers: tuple[float, ...]) -> str:
        """Kill the agent, and start it again shortly before its keys expire. Sometimes delete the keys meanwhile, so
        that the new agent finds nothing to renew."""
        now, mark = self._scheduler.now, f"/{host.engine.name}:"
        expiries = self._fleet.cluster.expiries(self._fleet.api, PREFIX)
        ends = min((time for key, time in expiries.items() if mark in key and time is not None), default=now)
        self._fleet.stop_agent(host)
        if numbers[0] < 0.5:
            for key in expiries:
                if mark in key:
                    self._fleet.cluster.delete(self._fleet.api, key)
        wait = max(0.5, ends - now - 1.5 * numbers[1])
        self._later(wait, lambda: self._fleet.start_agent(host), f"the agent of {host.name} runs")
        return f"for {wait:.1f} s"

    def _agent_frozen(self, host: Host, numbers: tuple[float, ...]) -> None:
        if host.process:
            host.process.frozen_until = self._scheduler.now + 1 + 60 * numbers[0] ** 2

    def _flags_changed(self, host: Host, numbers: tuple[float, ...]) -> str:
        self._fleet.stop_agent(host)
        ttl, refresh = ((0, 0), (30, 10), (20, 5))[int(numbers[0] * 3)]
        health = pick(("any", "healthy"), numbers[1])
        interval, hints = (1.0, 2.0)[numbers[2] < 0.3], self._fleet.draw_hints()
        drain_on_stop, stop_grace = numbers[4] > 0.15, (120, 20)[numbers[4] > 0.6]
        deregister = ("always", "on-success")[0.15 < numbers[4] < 0.3]
        host.flags = evolve(
            host.flags,
            ttl=ttl,
            refresh=refresh,
            health=health,
            interval=interval,
            hints=hints,
            deregister=deregister,
            drain_on_stop=drain_on_stop,
            stop_grace=stop_grace,
        )
        self._later(5 * numbers[3], lambda: self._fleet.start_agent(host), f"the agent of {host.name} runs")
        return str(host.flags)

    def _deregistered(self, host: Host, numbers: tuple[float, ...]) -> str:
        """Stop the agent, remove its entries as an operator would, and start it again."""
        self._fleet.stop_agent(host)

        def ended(code: int | None) -> None:
            self._tell(f"  deregister of {host.name} ended with {code}")
            self._fleet.start_agent(host)

        def begin() -> None:
            self._fleet.deregister(host, host.engine.name, ended)

        self._scheduler.call_at(self._scheduler.now + 1.0, begin)
        return ""

    def _host_renamed(self, host: Host, numbers: tuple[float, ...]) -> str:
        """The host gets a name back that it had, or a new one. What it has under the other name stays."""
        old = host.engine.name
        host.engine.name = host.name if old != host.name else f"{host.name}-renamed"
        self._fleet.stop_agent(host)
        self._oracle.host_was_renamed(host)
        self._later(2.0, lambda: self._fleet.start_agent(host), f"the agent of {host.engine.name} runs")
        return f"to {host.engine.name}"
