"""Faults of every kind on a real engine, a real etcd of three members and a real agent, and what must hold throughout.

Everything random comes from one seed. The expected end is worked out from `docker inspect`, never from what was done.
Three promises are checked here:

- once the faults have ended, the registry is exactly right within `Chaos.bound()`;
- no key of others is ever touched, and no key is ever written outside the prefix: a witness reads every change;
- the entry of a container that runs all along is never absent and never rewritten.
"""

from __future__ import annotations

import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.agent import Agent
from tests.support.engine import DockerError
from tests.support.etcd_v2 import EtcdV2
from tests.support.etcd_v3 import EtcdV3, Pair
from tests.support.host import SCHEMES
from tests.support.lab import CabledMember, Lab
from tests.support.private_engine import PrivateEngine
from tests.support.waiting import WaitTimeout, wait_until
from tests.support.witness import REQUEST_ERRORS, History, ObservedChange, Watcher

PREFIX = "/services"

#: The agent's settings, in seconds; both are the defaults.
INTERVAL = 1.0
PASS_TIMEOUT = 10.0

#: How many passes must see a suspicious mass delete, as after a burst of deaths right before the faults end.
GUARD_PASSES = 3

#: Seconds that an agent may need to start on a busy machine.
STARTING = 5.0

#: Ids that several containers ask for. The first belongs to another owner all the time.
CUSTOM_IDS = tuple(f"custom-{number}" for number in range(6))
NAMES = ("worker", "team/app", "team/eu/app")

#: Keys of others under the prefix: another host's, custom ids, one that this host's containers ask for, and rubbish.
FOREIGN = {
    f"worker/{CUSTOM_IDS[0]}": "192.0.2.9:80",
    "worker/core-99:steady0:9000": "192.0.2.9:9000",
    "team/app/core-99:c1:9000": "192.0.2.9:9001",
    "redis/redis-1": "192.0.2.3:6379",
    "json/x": '{"host":"192.0.2.4","port":80}',
    "empty/value": "",
    "directly-under-the-prefix": "192.0.2.5:1",
}
STEADY = tuple(f"steady{number}" for number in range(5))
STEADY_FLAGS = ("", "-e SERVICE_ID=steady-id", "-e SERVICE_NAME=team/app", "", "-e SERVICE_ID=team-id")

#: The keys of the owner records. They are hidden from listings, but not from the store's history.
RECORD_KEYS = "/_wharfinger"

#: The key of the last write of a run. Once the witness has seen it, it has seen everything before.
FENCE = "/fence"


class Chaos:
    """The parts, the faults that can be caused in them, and what must be true afterwards."""

    def __init__(
        self, engine: PrivateEngine, lab: Lab, folder: Path, seed: int, api: int = 2, more: Sequence[str] = ()
    ) -> None:
        """`api` is the version of etcd's API that the agent uses, and `more` are further flags of it."""
        self.engine, self.lab, self.seed, self.api = engine, lab, seed, api
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.passes: Counter[str] = Counter()
        self.untaken = 0
        self.owner = engine.docker("info", "--format", "{{.Name}}")
        uri = f"{SCHEMES[api]}://{lab.endpoints}{PREFIX}"
        flags = ("--interval", str(INTERVAL), "--pass-timeout", str(PASS_TIMEOUT), "-ip", engine.address, *more)
        self.agent = Agent(engine.socket_url, *flags, uri, log_path=folder / "agent.log")
        self._numbers = iter(range(10**6))
        self._mend: dict[CabledMember, Callable[[], object]] = {}
        self._pause = threading.Event()
        self._fences = 0

    def open(self) -> Chaos:
        """Put the keys of others, start the steady containers and the agent, and start to record changes."""
        for key, value in FOREIGN.items():
            self.store().put(f"{PREFIX}/{key}", value)
        for name, flags in zip(STEADY, STEADY_FLAGS, strict=True):
            self._run(name, flags)
        self.agent.start().wait_ready(30)
        self.wait_until_right(60)
        self.untouchable = {key: self._node(key) for key in self.expected({})}
        since = self.store().index() + 1
        self.witness = Watcher(self.healthy, since) if self.api == 2 else History(self.store3, since)
        self.witness.start()
        return self

    def close(self) -> None:
        """Mend everything, and end what was started here."""
        if hasattr(self, "witness"):
            self.witness.stop()
        self.mend()
        self.agent.kill9()

    def go(self, seconds: float) -> None:
        """Cause faults for so many seconds: first each action once, however long that takes, then at random by
        weight."""
        end = time.monotonic() + seconds
        todo = self.random.sample(ACTIONS, len(ACTIONS))
        while todo or time.monotonic() < end:
            (action,) = [todo.pop()] if todo else self.random.choices(ACTIONS, [each.weight for each in ACTIONS])
            action.do(self)
            self.done[action.name] += 1
            self._pause.wait(self.random.uniform(0, 0.4))

    def store(self, member: CabledMember | None = None) -> EtcdV2 | EtcdV3:
        """Return a client of the store that the agent writes to, through this member, or through one that answers."""
        if self.api == 2:
            return member or self.lab.any()
        return EtcdV3(member.endpoint) if member else self.store3()

    def store3(self) -> EtcdV3:
        """Return a client of the v3 store, through a member that answers. It asks only members that are not broken: a
        read goes through the quorum, and takes long if there is none."""

        def answering() -> EtcdV3 | None:
            stores = (EtcdV3(member.endpoint, timeout=2) for member in self.healthy() if member.awake)
            return next(filter(EtcdV3.answers, stores), None)

        found = wait_until(answering, 30, "any member to answer")
        assert found is not None
        return found

    def mend(self) -> None:
        """Bring everything back that is broken."""
        self.engine.thaw()
        self.mend_members()
        if not self.agent.running:
            self.agent.start()

    def expected(self, seen: Mapping[str, str]) -> dict[str, str]:
        """Return everything that should be registered by what the engine says now: the keys of others as they are, and
        for a key that several containers ask for, the value of the one that has it among those ``seen``, or else of the
        oldest."""
        right = dict(FOREIGN)
        running = [each for each in self.engine.inspect_all() if each["State"]["Running"]]
        for each in sorted(running, key=_age):
            env = dict(line.partition("=")[::2] for line in each["Config"]["Env"])
            name, own = env.get("SERVICE_NAME", "worker"), f"{self.owner}:{each['Name'].lstrip('/')}:9000"
            key = f"{name}/{env.get('SERVICE_ID', own)}"
            value = f"{self.engine.address}:{each['NetworkSettings']['Ports']['9000/tcp'][0]['HostPort']}"
            if key not in right or (key not in FOREIGN and seen.get(key) == value):
                right[key] = value
        return right

    def keys(self) -> dict[str, str]:
        """Return all keys and values that are registered."""
        return {key.removeprefix(f"{PREFIX}/"): value for key, value in self.store().keys(PREFIX).items()}

    def wrong(self) -> dict[str, tuple[str | None, str | None]]:
        """Return the keys where what is registered differs from what should be: (registered, expected)."""
        seen = self.keys()
        right = self.expected(seen)
        return {key: (seen.get(key), right.get(key)) for key in seen | right if seen.get(key) != right.get(key)}

    def _is_right(self) -> bool:
        """Return whether nothing is wrong. A member that has just come back may not find its quorum at once; then it
        answers neither the agent nor the test, and that counts as not right yet."""
        try:
            return not self.wrong()
        except REQUEST_ERRORS:
            return False

    def wait_until_right(self, timeout: float) -> float:
        """Wait until nothing is wrong, and return the seconds that it took."""
        begin = time.monotonic()
        try:
            wait_until(self._is_right, timeout)
        except WaitTimeout:
            raise AssertionError(f"seed {self.seed}: wrong after {timeout:.1f} s: {self.wrong()}") from None
        return time.monotonic() - begin

    def bound(self) -> float:
        """Return the seconds within which all must be right once everything works.

        These are: an interval, a pass that may still wait for something that was away, two more intervals if many
        entries have to go at once, and the back-off that failures have built up, which the agent logs.
        """
        ready = self.agent.get("/readyz")[0] == 200
        waits = re.findall(r"pass failed .*next_in_seconds=([0-9.]+)", self.agent.log())
        back_off = 0.0 if ready or not waits else float(waits[-1])
        return GUARD_PASSES * INTERVAL + PASS_TIMEOUT + STARTING + back_off

    def settle(self) -> float:
        """End the faults, check that all becomes right in time and stays so, and return the seconds that it took."""
        self.mend()
        self.lab.leader()
        took = self.wait_until_right(self.bound())
        self.agent.wait_ready(self.bound())
        self.agent.wait_for_passes(2)
        self._wait_for_witness()
        assert not self.wrong(), f"seed {self.seed}: {self.wrong()}"
        return took

    def violations(self) -> list[str]:
        """Return everything that must never happen but did, up to the last `settle()`."""
        found = [f"the witness lost track: {self.witness.lost}"] if self.witness.lost else []
        found += [f"{each.action} of {each.key}" for each in self.witness.changes if self._is_bad(each)]
        now = {key: self._node(key) for key in self.untouchable}
        found += [f"{now[key]} was {before}" for key, before in self.untouchable.items() if now[key] != before]
        log = self.agent.log()
        return found + [f"logged: {word}" for word in ("Traceback", "please report", "internal-error") if word in log]

    def _is_bad(self, change: ObservedChange) -> bool:
        key = change.key
        ours = key.rpartition("/")[2].startswith(f"{self.owner}:") or key.endswith(CUSTOM_IDS)
        untouchable = key.removeprefix(f"{PREFIX}/") in self.untouchable
        if key == FENCE or key.startswith(f"{RECORD_KEYS}/"):
            return False
        return not key.startswith(f"{PREFIX}/") or untouchable or not (ours or change.directory)

    def _wait_for_witness(self) -> None:
        """Wait until the witness has read all changes so far."""
        self._fences += 1
        self.store().put(FENCE, str(self._fences))
        wait_until(lambda: self.witness.has_seen(FENCE, str(self._fences)), 30, "the witness to catch up")

    def _node(self, key: str) -> dict[str, Any] | Pair | None:
        return self.store().node(f"{PREFIX}/{key}")

    def healthy(self) -> list[CabledMember]:
        """Return the members that are not broken."""
        return [member for member in self.lab.cabled if member not in self._mend]

    # Actions on containers.

    def containers(self, *filters: str) -> list[str]:
        """Return the names of all containers except the steady ones."""
        listed = self.engine.docker("ps", "--all", "--format", "{{.Names}}", *filters).split()
        return sorted(name for name in listed if name not in STEADY)

    def pick(self, *filters: str) -> list[str]:
        """Return one of them in a list, empty if there is none."""
        names = self.containers(*filters)
        return [self.random.choice(names)] if names else []

    def start(self) -> None:
        """Start a container. If there are many, remove one first."""
        if len(self.containers()) > 14:
            self.remove()
        name = f"-e SERVICE_NAME={self.random.choice(NAMES)}"
        custom = f"-e SERVICE_ID={self.random.choice(CUSTOM_IDS)}"
        self._run(self._new_name(), self.random.choice(["", name, custom, f"{name} {custom}"]))

    def remove(self) -> None:
        """Remove a container."""
        self._docker("rm", "--force", *self.pick())

    def stop(self) -> None:
        """Stop a container, which may be started again."""
        self._docker("stop", *self.pick("--filter", "status=running"))

    def die(self) -> None:
        """Kill a container."""
        self._docker("kill", *self.pick("--filter", "status=running"))

    def start_again(self) -> None:
        """Start a container that was stopped. It gets another host port."""
        self._docker("start", *self.pick("--filter", "status=exited"))

    def restart(self) -> None:
        """Restart a container."""
        self._docker("restart", *self.pick())

    def rename(self) -> None:
        """Give a container another name."""
        if names := self.pick():
            self._docker("rename", *names, self._new_name())

    def burst(self) -> None:
        """Start several containers at once."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: self._run(name, ""), [self._new_name() for _ in range(4)]))

    def massacre(self) -> None:
        """Kill and remove all containers except the steady ones at once."""
        self._docker("rm", "--force", *self.containers())

    def _new_name(self) -> str:
        return f"c{next(self._numbers)}"

    def _run(self, name: str, flags: str) -> None:
        self.engine.run(f"--name {name} -P {flags} worker:1")

    def _docker(self, command: str, *words: str) -> None:
        """Run a docker command about a container, if there is one. A container that has just ended by itself is no
        error."""
        if not words or words[-1].startswith("--"):
            return
        try:
            self.engine.docker(command, *words)
        except DockerError as error:
            if "No such container" not in str(error) and "is not running" not in str(error):
                raise

    # Actions on the agent and the engine.

    def kill_agent(self) -> None:
        """Kill the agent, and in three of four cases start it again at once; or start it if it is not running."""
        if not self.agent.running:
            self.agent.start()
            return
        self.count_passes()
        self.agent.kill9()
        if self.random.random() < 0.75:
            self.agent.start()

    def freeze_agent(self) -> None:
        """Freeze the agent in the middle of whatever it does, and kill a container meanwhile. What it then does is
        late."""
        if self.agent.running:
            self.agent.signal(signal.SIGSTOP)
            self.die()
            self.agent.signal(signal.SIGCONT)

    def count_passes(self) -> None:
        """Add the results of the present agent's passes to `passes`."""
        for name, value in self.agent.metrics().items():
            if match := re.fullmatch(r'wharfinger_passes_total\{.*\bresult="([^"]*)".*\}', name):
                self.passes[match[1]] += int(value)

    def freeze_engine(self) -> None:
        """Freeze the engine for a while."""
        self.engine.freeze()
        self._pause.wait(self.random.uniform(0.2, 2))
        self.engine.thaw()

    # Actions on etcd.

    def break_member(self, break_it: Callable[[CabledMember], object], mend: Callable[[CabledMember], object]) -> None:
        """Break one member, in a third of the cases the leader. A member that was broken before is mended first."""
        self.mend_members()
        member = self._victim()
        self._mend[member] = lambda: mend(member)
        break_it(member)

    def _victim(self) -> CabledMember:
        leader, leads = self.lab.leader(), self.random.random() < 1 / 3
        return self.random.choice([member for member in self.lab.cabled if (member is leader) == leads])

    def mend_members(self) -> None:
        """Mend all members, and wait until they answer."""
        for member, mend in list(self._mend.items()):
            mend()
            wait_until(member.answers, 30, f"{member.name} to answer again")
            del self._mend[member]

    def wipe_member(self) -> None:
        """Remove a member with its data, and add it to the cluster again without data."""
        self.mend_members()
        member = self._victim()
        with self._away(member):
            self.lab.wipe(member)

    def lose_majority(self) -> None:
        """Freeze two of three members for a while, and change containers meanwhile: there are writes, and none can
        succeed."""
        self.mend_members()
        two = self.random.sample(self.lab.cabled, 2)
        with self._away(*two):
            for member in two:
                member.freeze()
            self.die()
            self.start()
            self._pause.wait(self.random.uniform(0.5, 8))
            for member in two:
                member.thaw()
        self.lab.leader()

    @contextmanager
    def _away(self, *members: CabledMember) -> Iterator[None]:
        self._mend |= {member: member.thaw for member in members}
        yield
        for member in members:
            del self._mend[member]

    # Actions on keys.

    def delete_key(self) -> None:
        """Delete one of the agent's keys, as somebody might by hand."""
        self._tamper(lambda store, key: store.delete(key))

    def overwrite_key(self) -> None:
        """Overwrite one of the agent's keys with another value."""
        self._tamper(lambda store, key: store.put(key, "192.0.2.66:6666"))

    def leave_ghost(self) -> None:
        """Put a key in the host's name that no container backs."""
        ghost = f"{PREFIX}/worker/{self.owner}:ghost{next(self._numbers)}:9000"
        self._tamper(lambda store, _: store.put(ghost, "192.0.2.66:6666"))

    def _tamper(self, act: Callable[[EtcdV2 | EtcdV3, str], object]) -> None:
        """Do `act` to a key of the agent that is not a steady container's. If the cluster takes no write, only count
        that."""
        for member in self.healthy()[:1]:
            try:
                ours = sorted(key for key in self.keys() if key not in self.untouchable)
                if ours:
                    act(self.store(member), f"{PREFIX}/{self.random.choice(ours)}")
            except REQUEST_ERRORS:
                self.untaken += 1


def _age(document: Mapping[str, Any]) -> str:
    """Return a sort key for a container's creation time. The engine cuts zeros off the end of the fraction."""
    seconds, _, fraction = document["Created"].rstrip("Z").partition(".")
    return f"{seconds}.{fraction:0<9}"


@dataclass(frozen=True)
class Action:
    """Something that can happen, and how often compared with the others."""

    name: str
    weight: int
    do: Callable[[Chaos], None]


ACTIONS = (
    Action("container started", 16, Chaos.start),
    Action("container removed", 6, Chaos.remove),
    Action("container stopped", 6, Chaos.stop),
    Action("container killed", 6, Chaos.die),
    Action("container started again", 8, Chaos.start_again),
    Action("container restarted", 6, Chaos.restart),
    Action("container renamed", 8, Chaos.rename),
    Action("four containers at once", 3, Chaos.burst),
    Action("all but the steady containers removed at once", 1, Chaos.massacre),
    Action("agent killed -9, or started", 8, Chaos.kill_agent),
    Action("agent frozen while a container dies", 3, Chaos.freeze_agent),
    Action("engine frozen", 2, Chaos.freeze_engine),
    Action("etcd member killed", 4, lambda chaos: chaos.break_member(CabledMember.kill, CabledMember.start)),
    Action("etcd member frozen", 4, lambda chaos: chaos.break_member(CabledMember.freeze, CabledMember.thaw)),
    Action(
        "etcd member cut off from its peers",
        4,
        lambda chaos: chaos.break_member(CabledMember.leave_quorum, CabledMember.join_quorum),
    ),
    Action(
        "etcd member cut off from its clients",
        4,
        lambda chaos: chaos.break_member(CabledMember.leave_clients, CabledMember.join_clients),
    ),
    Action("etcd member wiped", 2, Chaos.wipe_member),
    Action("etcd majority frozen", 2, Chaos.lose_majority),
    Action("etcd members mended", 4, Chaos.mend_members),
    Action("key of ours deleted", 6, Chaos.delete_key),
    Action("key of ours overwritten", 6, Chaos.overwrite_key),
    Action("ghost left in our name", 3, Chaos.leave_ghost),
)
