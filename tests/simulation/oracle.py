"""The oracle: what must hold in the simulated fleet, at every step.

It is written from docs/reliability.md, not from the program, and knows the truth: which containers run, what etcd
holds, who wrote it, and what is broken at this moment. What that page lists under "What is not covered" is EXCEPTIONS
here, item by item, and nothing else is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import inf

from attrs import define, evolve, field, frozen

from model.report import PassReport, PassResult, Result
from tests.simulation.bounds import Bounds
from tests.simulation.drain_order import Order, order_key
from tests.simulation.engine import Event as EngineEvent
from tests.simulation.engine_documents import ContainerTruth
from tests.simulation.etcd_change import Change, ChangeKind
from tests.simulation.fleet import PREFIX, RECORDS, Actor, Fleet, Host
from tests.simulation.scheduler import Scheduler

#: What docs/reliability.md lists as not covered, and how the oracle leaves it out.
EXCEPTIONS = {
    "By v2, a late create under a custom id.": "custom keys that a v2 store got by a late create are not judged",
    "A create under a custom id that etcd carries out after its data were replaced.": "as the first",
    "By v2, a delete that etcd carries out after its data were replaced.": "late deletes across it are not judged",
    "By v3, an etcd that was restored from a backup": "hosts are judged again after their next sweeps",
    "By v2, a member of etcd that is cut off from its quorum.": "a host is judged again when the member is back",
    "A host that gets another name while it has keys under custom ids.": "those keys are not judged from then on",
    "A container that is renamed while its inspect hangs": "its keys are not judged until its inspect answers",
}

#: Seconds by which a lifetime can be longer than etcd says, because etcd gives it in whole seconds.
ROUNDING = 1.0

#: The number of deletes that the guard never counts as many, and the passes and seconds for which it holds larger
#: numbers back, as docs/reliability.md and README say.
SPARED, GUARD_PASSES, GUARD_SECONDS = 3, 3, 2.0


#: The names that a host has had, at most.
MOST_NAMES = 2

#: The signals that stop any container, TERM and KILL. The container's own stop signal does so, too.
STOPPING = frozenset({15, 9})

#: Seconds after its last stop signal for which a container drains beyond the time that the engine gives it to end.
AFTER_TIMEOUT = 10.0

#: Seconds after which an agent has heard of an event, if its stream is undisturbed.
HEARD = 0.1


class Violation(AssertionError):
    """Something that must hold does not."""


@frozen
class Wanted:
    """One key that a host should have."""

    value: str
    container: str
    container_id: str
    #: Whether the container may drain, so that the host may have the key or not.
    drains: bool = False


@frozen
class Truth:
    """What a host should have at one moment."""

    #: The moment, in seconds of virtual time.
    at: float = -1.0
    #: What each container wants of each key, the older container's first.
    candidates: Mapping[str, Sequence[Wanted]] = field(factory=dict)
    #: What the host must have.
    wanted: Mapping[str, Wanted] = field(factory=dict)
    #: The ids of the containers that the operator drains.
    drained: frozenset[str] = frozenset()

    @property
    def draining(self) -> frozenset[str]:
        """The ids of the containers that may drain because they were sent a signal."""
        return frozenset(each.container_id for of_key in self.candidates.values() for each in of_key if each.drains)

    def tolerates(self, key: str, value: str | None) -> bool:
        """Whether the host may have this value of a key although it need not, because its container may drain."""
        return any(each.drains and each.value == value for each in self.candidates.get(key, ()))


@frozen
class Since:
    """The value that a host wants of a key, and since when it has wanted this value without a break."""

    value: str
    moment: float


@frozen
class Custom:
    """What is known of the keys under custom ids in a store: who holds each key, which keys nobody holds, and which
    came back by a late create."""

    holder: Mapping[str, str] = field(factory=dict)
    foreign: Mapping[str, str] = field(factory=dict)
    late_creates: frozenset[str] = frozenset()


@define
class Ledger:
    """What the oracle notes of one host."""

    #: The keys that the host wants.
    wanted_since: dict[str, Since] = field(factory=dict)
    #: Whether etcd's data were replaced since the last pass that read them. The next such pass may fail and report it.
    store_is_new: bool = False
    #: The number of the agent that made the last pass.
    agent: int = 0
    #: When each pass began and ended, by the number of its agent and its own number.
    begun: dict[tuple[int, int], float] = field(factory=dict)
    ended: dict[tuple[int, int], float] = field(factory=dict)
    #: Since when nothing has hindered the agent; the moment of the last hindrance.
    hindered_at: float = 0.0
    #: Since when each key is not as it should be.
    wrong_since: dict[str, float] = field(factory=dict)
    #: In how many passes in a row each own key was there although the host did not want it, and when the first of these
    #: passes began.
    unwanted_passes: dict[str, int] = field(factory=dict)
    unwanted_since: dict[str, float] = field(factory=dict)
    #: Until when each container may be unreadable, by its id: its inspect hangs, or its inspect answers again and the
    #: agent's back-off before it asks again is not over.
    unreadable_until: dict[str, float] = field(factory=dict)
    #: When the last event of each container was, by its id.
    event_at: dict[str, float] = field(factory=dict)
    #: Until when the agent may believe that a container has ended because it was told so although the container ran, by
    #: the container's id.
    end_believed_until: dict[str, float] = field(factory=dict)
    #: Since when the host has not wanted a key that it wanted before.
    unwanted_at: dict[str, float] = field(factory=dict)
    #: Since when the agent has made successful passes alone, without a hindrance.
    well_since: float = inf
    #: When the engine told the end of each container that has not been started since, while the agent ran, by its id.
    told_ended: dict[str, float] = field(factory=dict)
    #: When the engine's list last became empty although containers ran.
    list_emptied_at: float = -inf
    #: The id of the container for which each key was wanted last.
    containers: dict[str, str] = field(factory=dict)
    #: The ids of the containers that existed and were stopped, or drained, at some moment of the present pass.
    stopped: set[str] = field(factory=set)
    #: When each container that runs was sent the last signal that stops it, by its id.
    signalled: dict[str, float] = field(factory=dict)
    #: The keys that a container which runs may have.
    backed: frozenset[str] = frozenset()
    #: Writes to keys, and keys deleted, by the number of the pass whose requests made them.
    writes: dict[int, int] = field(factory=dict)
    deletes: dict[int, set[str]] = field(factory=dict)
    #: The own keys when the present pass began, and whether all was right then.
    own_at_begin: frozenset[str] = frozenset()
    right_at_begin: bool = False
    #: When anything last changed that a pass of this host may react to.
    changed_at: float = 0.0
    begun_at: float = 0.0
    #: Until when the host is not judged, as an exception of the page applies.
    excused_until: float = 0.0
    #: When the agent died, its keys that must go then, and within how many seconds by the flags that it had.
    died_at: float | None = None
    mortal: frozenset[str] = frozenset()
    mortal_for: float = 0.0


class Oracle:
    """Watches a fleet and raises Violation."""

    def __init__(self, scheduler: Scheduler, fleet: Fleet) -> None:
        self._scheduler = scheduler
        self._fleet = fleet
        self.ledgers = {host.name: Ledger() for host in fleet.hosts}
        #: Who holds each key under a custom id: the owner that wrote it last.
        self.holder: dict[str, str] = {}
        #: The keys that the operator put there for nobody, with their values.
        self.foreign: dict[str, str] = {}
        self._violation: Violation | None = None
        #: The keys under custom ids that each owner name ever held, or that its record claimed.
        self.held_under: dict[str, set[str]] = {}
        #: Custom keys that came back by a late create.
        self.late_creates: set[str] = set()
        #: When each key was last written, and when and by whom it was last written or renewed.
        self.written_at: dict[str, float] = {}
        self.touched: dict[str, tuple[float, Actor | None]] = {}
        #: When etcd's data were last replaced by other data, as when a backup is restored.
        self.replaced_at = -1.0
        #: When etcd was last without a quorum or full, so that nothing expires or is written.
        self.etcd_broken_at = 0.0
        self._truths: dict[str, Truth] = {}
        #: The drain orders that etcd holds, by the key.
        self._orders: dict[str, Order] = {}
        fleet.cluster.on_change.append(self.on_change)
        fleet.on_pass_begun = self.on_pass_begun
        fleet.on_pass_ended = self.on_pass_ended
        for host in fleet.hosts:
            host.engine.on_event.append(partial(self._on_engine_event, host))

    # The truth.

    def wanted(self, host: Host) -> Mapping[str, Wanted]:
        """Return the keys that a host should have now, under its present name. Those of containers that drain, or may
        drain, are not among them."""
        return self._truth(host).wanted

    def _truth(self, host: Host) -> Truth:
        now, known = self._scheduler.now, self._truths.get(host.name, Truth())
        if known.at == now and now > self.ledgers[host.name].changed_at:
            return known
        order, running = self._orders.get(order_key(host.engine.name), Order()), host.engine.running()
        drained = frozenset(each.id for each in running if order.covers(each, now))
        candidates, keys = self._candidates(host, drained), self._keys()
        staying = {key: [each for each in of_key if not each.drains] for key, of_key in candidates.items()}
        wanted = {key: _having(of_key, keys.get(key)) or of_key[0] for key, of_key in staying.items() if of_key}
        known = self._truths[host.name] = Truth(now, candidates, wanted, drained)
        return known

    def _candidates(self, host: Host, drained: frozenset[str]) -> dict[str, list[Wanted]]:
        """Return what each container that runs wants of each key, the older container's first. Those with the ids in
        ``drained`` want nothing."""
        candidates: dict[str, list[Wanted]] = {}
        for container in host.engine.running():
            if container.id in drained:
                continue
            if host.flags.health == "healthy" and container.health not in {"", "healthy"}:
                continue
            drains = self._may_drain(host, container)
            for key, value in _entries(container, host):
                candidates.setdefault(key, []).append(Wanted(value, container.name, container.id, drains))
        return candidates

    def _may_drain(self, host: Host, container: ContainerTruth) -> bool:
        """Whether a container that runs was sent a signal that stops it, and its stop grace is not over. Its agent may
        have missed the signal."""
        signalled_at = self.ledgers[host.name].signalled.get(container.id, -inf)
        if not host.flags.drains or _env(container).get("SERVICE_DRAIN") == "false":
            return False
        return self._scheduler.now < signalled_at + stop_grace(container, host)

    def _keys(self) -> Mapping[str, str]:
        return self._fleet.cluster.keys(self._fleet.api, PREFIX)

    def _own(self, host: Host, keys: Mapping[str, str]) -> dict[str, str]:
        """Return the keys that belong to a host: by their id, or because it wrote them last."""
        mark = f"/{host.engine.name}:"
        return {
            key: value
            for key, value in keys.items()
            if mark in key or (self.holder.get(key) == host.engine.name and key not in self.foreign)
        }

    # Each change.

    def on_change(self, change: Change) -> None:
        """Judge one change of etcd."""
        if change.api != self._fleet.api:
            return
        actor = None if change.kind is ChangeKind.EXPIRE else self._fleet.actor
        if change.key.startswith(RECORDS) and change.key.endswith("/drain"):
            self._note_orders()
        if change.kind is not ChangeKind.RENEW:
            self._judge_change(actor, change)
            self.written_at[change.key] = self._scheduler.now
        self.touched[change.key] = self._scheduler.now, actor

    def _judge_change(self, actor: Actor | None, change: Change) -> None:
        for host in self._fleet.hosts:
            if change.key.startswith(f"{PREFIX}/"):
                self._note_change(host)
        if actor is None:
            if change.kind is ChangeKind.EXPIRE:
                self._judge_expiry(change)
            if change.kind in {ChangeKind.DELETE, ChangeKind.EXPIRE}:
                self._forget(change)
            return
        try:
            self._judge_write(actor, change)
        except Violation as violation:
            # The program catches what goes wrong in a pass; the next tick raises it again.
            self._violation = self._violation or violation
            raise

    def _judge_write(self, actor: Actor, change: Change) -> None:
        """Nobody writes what is another owner's, or outside the prefix and the own records."""
        key, owner = change.key, actor.owner
        if key.startswith(f"{RECORDS}{owner}/"):
            if key.endswith("/record") and change.value:
                self.held_under.setdefault(owner, set()).update(json.loads(change.value)["claims"])
            return
        if not key.startswith(f"{PREFIX}/"):
            raise Violation(f"{owner} wrote {key}, which is neither under the prefix nor a record of its own")
        self._count_write(actor, change)
        if change.kind is ChangeKind.DELETE:
            self._judge_delete(actor, change)
        elif change.value != change.previous_value:
            self._judge_revival(actor, change)
        named = _owner_in(key)
        if named is None:
            self._judge_taking(actor, change)
            self._judge_custom_write(actor, change)
        elif named != owner:
            raise Violation(f"{owner} wrote {key}, which is {named}'s by its id")

    def _count_write(self, actor: Actor, change: Change) -> None:
        ledger = self.ledgers[actor.host]
        ledger.writes[actor.number] = ledger.writes.get(actor.number, 0) + 1
        if change.kind is ChangeKind.DELETE:
            ledger.deletes.setdefault(actor.number, set()).add(change.key)

    def _judge_delete(self, actor: Actor, change: Change) -> None:
        """Raise Violation if an agent deletes a key that its host has wanted since before the pass began; or, as after
        a rename, deletes a key while another wanted key with the same value is not there yet; or, by a request that
        etcd carries out late, deletes a key that was written after the request's pass had ended."""
        host, key = self._host(actor.host), change.key
        ledger = self.ledgers[host.name]
        if self._is_late(actor):
            ended = ledger.ended.get((actor.agent, actor.number))
            of_this_store = ledger.begun.get((actor.agent, actor.number), -inf) > self.replaced_at
            if ended is not None and of_this_store and self.written_at.get(key, 0.0) > ended:
                raise Violation(f"a late request of {host.name} deleted {key}, which was written after its pass")
            return
        if actor.owner != host.engine.name:
            return
        undisturbed = ledger.hindered_at < ledger.begun_at and not self._is_hindered(host)
        keys = self._keys()
        # An agent that follows events lists containers only now and then, and hears of the others a little later.
        known_at = ledger.begun_at - (HEARD if host.flags.hints else 0.0)
        for wanted, since in ledger.wanted_since.items():
            if since.moment >= known_at or since.value != change.previous_value:
                continue
            if self._end_was_made_up(host, wanted):
                continue
            if wanted == key:
                raise Violation(f"{host.name} deleted {key}, wanted for {self._scheduler.now - since.moment:.0f} s")
            if self._is_unreadable(host, wanted):
                continue
            if undisturbed and wanted not in keys and not self._is_anothers(host, wanted, keys):
                raise Violation(f"{host.name} deleted {key} before {wanted} was there")

    def _judge_revival(self, actor: Actor, change: Change) -> None:
        """Raise Violation if an agent that hears all events writes a key for a container whose end it was told well
        before the pass began, as it would if it believed the engine's list."""
        host = self._host(actor.host)
        ledger = self.ledgers[host.name]
        if self._is_late(actor) or not host.flags.hints or change.key in self.wanted(host):
            return
        ended_at = ledger.told_ended.get(ledger.containers.get(change.key, ""), inf)
        if self._was_heard(host, ended_at) and actor.owner == host.engine.name:
            raise Violation(f"{host.name} wrote {change.key}, whose container had ended")

    def _was_heard(self, host: Host, moment: float) -> bool:
        """Whether an agent had taken in an event of this moment well before its present pass began, as it heard all
        events. One that is busy with a pass takes events in after that pass."""
        ledger, before = self.ledgers[host.name], (host.agents, host.passes - 1)
        was_busy = ledger.begun.get(before, -inf) <= moment + HEARD
        taken_in = max(moment, ledger.ended.get(before, -inf)) if was_busy else moment
        return host.socket.undisturbed_since < moment and taken_in + HEARD < ledger.begun_at

    def _judge_taking(self, actor: Actor, change: Change) -> None:
        """Raise Violation if an agent gives a key to another container than the one that has it and that has been in
        the same state since before the pass began."""
        host = self._host(actor.host)
        if self._is_late(actor) or actor.owner != host.engine.name:
            return
        of_key = self._truth(host).candidates.get(change.key, [])
        before, after = _having(of_key, change.previous_value), _having(of_key, change.value)
        if before and after and before.value != after.value:
            if before.drains or self._end_was_made_up(host, change.key):
                return
            ledger = self.ledgers[host.name]
            if ledger.event_at.get(before.container_id, -inf) < ledger.begun_at:
                raise Violation(f"{host.name} took {change.key} from {before.container} for {after.container}")

    def _judge_custom_write(self, actor: Actor, change: Change) -> None:
        """A key under a custom id is whose who created it. It may be created when it is free."""
        key, owner, holder = change.key, actor.owner, self.holder.get(change.key)
        if key in self.foreign:
            raise Violation(f"{owner} wrote {key}, which no host holds")
        if holder and self._machine(holder) == self._machine(owner):
            holder = owner
        if holder not in {None, owner} and change.kind is not ChangeKind.CREATE:
            raise Violation(f"{owner} wrote {key}, which {holder} holds")
        if change.kind is ChangeKind.DELETE:
            self._forget(change)
            return
        begun_at = self.ledgers[actor.host].begun.get((actor.agent, actor.number), inf)
        late = self._fleet.api == "v2" and self._is_late(actor)
        if change.kind is ChangeKind.CREATE and (late or self.replaced_at >= begun_at):
            self.late_creates.add(key)
        self.holder[key] = owner
        self.held_under.setdefault(owner, set()).add(key)

    def _is_left_behind(self, key: str, owner: str) -> bool:
        """Whether the owner record of another name of this machine may claim a key under a custom id. Such a key stays
        until somebody runs deregister for that name, as documented."""
        machine = self._machine(owner)
        return any(
            key in keys for name, keys in self.held_under.items() if name != owner and self._machine(name) == machine
        )

    @staticmethod
    def _machine(owner: str) -> str:
        """Return the name that the host with this owner name had first."""
        return owner.removesuffix("-renamed")

    def _is_late(self, actor: Actor) -> bool:
        """Whether the request is of an earlier pass, or of an agent that is no more."""
        host = self._host(actor.host)
        return actor.agent != host.agents or actor.number != host.passes

    def _forget(self, change: Change) -> None:
        self.holder.pop(change.key, None)
        self.late_creates.discard(change.key)
        self.foreign.pop(change.key, None)

    def _judge_expiry(self, change: Change) -> None:
        """A key never expires while its agent sees engine and etcd."""
        for host in self._fleet.hosts:
            if change.key not in self.wanted(host) or not host.flags.ttl:
                continue
            anothers = _owner_in(change.key) is None and self.holder.get(change.key) != host.engine.name
            if anothers or self._is_left_behind(change.key, host.engine.name):
                continue
            clear_for = self._scheduler.now - self.ledgers[host.name].hindered_at
            if clear_for > host.flags.ttl + self._bounds(host).recovery:
                raise Violation(f"{change.key} expired although nothing has hindered {host.name} for {clear_for:.0f} s")

    # Each pass.

    def on_pass_begun(self, host: Host) -> None:
        """Note how things stand when a pass begins."""
        ledger, keys = self.ledgers[host.name], self._keys()
        if ledger.agent != host.agents:
            # A new agent may have other flags. Its host is back, even if the agent is killed before the next tick.
            ledger.agent = host.agents
            ledger.died_at, ledger.mortal = None, frozenset()
            ledger.well_since = inf
            ledger.told_ended.clear()
            self._note_wanted(host)
        ledger.begun_at = ledger.begun[host.agents, host.passes] = self._scheduler.now
        ledger.own_at_begin = frozenset(self._own(host, keys))
        truth = self._truth(host)
        ledger.right_at_begin = not truth.draining and not any(self._wrong(host, keys))
        ledger.containers |= {key: of_key[0].container_id for key, of_key in truth.candidates.items()}
        ledger.containers |= {key: entry.container_id for key, entry in truth.wanted.items()}
        running = {each.id for each in host.engine.running()}
        ledger.stopped = {each.id for each in host.engine.containers()} - running | truth.draining | truth.drained

    def on_pass_ended(self, host: Host, report: PassReport) -> None:
        """Judge what a pass wrote."""
        ledger = self.ledgers[host.name]
        ledger.ended[host.agents, host.passes] = self._scheduler.now
        writes, deleted = ledger.writes.pop(host.passes, 0), ledger.deletes.pop(host.passes, set())
        if self._violation:
            raise self._violation
        if report.result is PassResult.INTERNAL_ERROR:
            raise Violation(f"{host.name}: {report.problem}")
        # A rejected change is tried again after a wait, which may take as long as the promised recovery.
        patience = 1.0 if report.outage else self._bounds(host).recovery
        settled = ledger.hindered_at + patience < ledger.begun_at and not self._is_hindered(host)
        if settled and not report.succeeded and not ledger.store_is_new:
            raise Violation(f"{host.name} failed with nothing broken: {report.problem}")
        if report.result is not PassResult.ENGINE_ERROR and self.replaced_at < ledger.begun_at:
            ledger.store_is_new = False
        if self._has_made_all_changes(host, report) and not host.hurried:
            self._judge_lifetimes(host)
        if writes and report.result in {PassResult.ENGINE_ERROR, PassResult.REGISTRY_ERROR, PassResult.OWNER_CONFLICT}:
            raise Violation(f"{host.name} wrote {writes} keys in a pass that ended in {report.result.value}")
        undisturbed = ledger.changed_at < ledger.begun_at and ledger.hindered_at < ledger.begun_at
        if writes and ledger.right_at_begin and undisturbed and not host.flags.ttl:
            raise Violation(f"{host.name} wrote {writes} keys although nothing differed")
        self._note_end(host, report, deleted)
        self._judge_mass_delete(host, deleted)

    def _has_made_all_changes(self, host: Host, report: PassReport) -> bool:
        """Whether a pass that has just ended made every change that it planned, in a store that was sound all along."""
        begun_at = self.ledgers[host.name].begun_at
        etcd_is_sound = self.etcd_broken_at + 1 < begun_at and not self._fleet.etcd_is_broken()
        applied = report.planned and all(outcome.result is Result.APPLIED for outcome in report.outcomes)
        return applied and etcd_is_sound and self.replaced_at < begun_at

    def _note_end(self, host: Host, report: PassReport, deleted: set[str]) -> None:
        """Note how things stand when a pass has ended. A hurried pass does not count for the guard."""
        ledger = self.ledgers[host.name]
        if not report.succeeded or ledger.hindered_at >= ledger.begun_at:
            ledger.well_since = inf
        elif ledger.well_since == inf:
            ledger.well_since = self._scheduler.now
        if report.planned and not host.hurried:
            # A key may have come back while the pass ran, before it read etcd.
            seen = ledger.own_at_begin | self._own(host, self._keys()).keys() | deleted
            unwanted = seen - self._truth(host).candidates.keys()
            counts = {key: ledger.unwanted_passes.get(key, 0) + 1 for key in unwanted}
            ledger.unwanted_passes = counts
            ledger.unwanted_since = {key: ledger.unwanted_since.get(key, ledger.begun_at) for key in counts}

    def _judge_mass_delete(self, host: Host, deleted: set[str]) -> None:
        """Raise Violation if many keys were deleted in a pass although their containers were not stopped ones that
        still exist, nor ones that drain, nor ones whose end the engine had told an agent that follows its events, and
        three passes and two seconds had not called for the deletes. The owner record in a store that was just restored
        may name another container for a key under a custom id, so those do not count then."""
        ledger, now = self.ledgers[host.name], self._scheduler.now
        if now - ledger.list_emptied_at < 2 * self._bounds(host).steady:
            # While the list was empty, passes called for these deletes too, before the containers really ended.
            return
        ended = {*ledger.stopped, *(ledger.told_ended if host.flags.hints else ())}
        restored = now - self.replaced_at < self._bounds(host).steady
        judged = [key for key in deleted if not (restored and _owner_in(key) is None)]
        suspicious = [key for key in judged if ledger.containers.get(key) not in ended]
        many = len(suspicious) > SPARED and len(suspicious) * 2 > len(ledger.own_at_begin)
        early = [
            key
            for key in suspicious
            if ledger.unwanted_passes.get(key, 0) < GUARD_PASSES
            or now - ledger.unwanted_since.get(key, now) < GUARD_SECONDS
        ]
        if many and early:
            own = len(ledger.own_at_begin)
            raise Violation(f"{host.name} deleted {len(suspicious)} of {own} keys before the guard's time was over")

    def _judge_lifetimes(self, host: Host) -> None:
        """Raise Violation if a key has a wrong lifetime after an ordinary pass that made every change. Each key that
        was wanted when the pass began must have the lifetime that the flags give, and none without -ttl."""
        ledger, flags, keys = self.ledgers[host.name], host.flags, self._keys()
        expiries = self._fleet.cluster.expiries(self._fleet.api, PREFIX)
        for key, since in ledger.wanted_since.items():
            owned = (_owner_in(key) or self.holder.get(key)) == host.engine.name and key not in self.foreign
            if self._is_left_behind(key, host.engine.name):
                continue
            if not owned or since.moment >= ledger.begun_at or keys.get(key) != since.value:
                continue
            touched_at, toucher = self.touched[key]
            by_itself = toucher == Actor(host.name, host.engine.name, host.agents, host.passes)
            # A key that was just written in bad weather may be attached to a lease whose renewal failed. The next pass
            # renews the lease.
            if touched_at >= ledger.begun_at and (not by_itself or ledger.hindered_at >= ledger.begun_at - 1):
                continue
            expires = expiries[key]
            if not flags.ttl and expires is not None:
                raise Violation(f"{key} expires after a pass of {host.name}, which has no -ttl")
            earliest = ledger.begun_at + flags.ttl - flags.refresh - ROUNDING
            latest = self._scheduler.now + self._bounds(host).dead_host
            if flags.ttl and (expires is None or not earliest <= expires <= latest):
                raise Violation(f"{key} expires at {expires} after a pass of {host.name}, with {flags}")

    # Time.

    def tick(self) -> None:
        """Judge how long things have been wrong. Called once a virtual second."""
        if self._violation:
            raise self._violation
        keys = self._keys()
        now = self._scheduler.now
        if self._fleet.etcd_is_broken():
            self.etcd_broken_at = now
        for host in self._fleet.hosts:
            ledger = self.ledgers[host.name]
            self._judge_death(host, keys)
            if self._is_hindered(host):
                ledger.hindered_at, ledger.well_since = now, inf
                self._note_delay(host)
            wrong = {key: what for key, what in self._wrong(host, keys) if not self._is_unreadable(host, key)}
            ledger.wrong_since = {key: ledger.wrong_since.get(key, now) for key in wrong}
            if not host.alive or now < ledger.excused_until:
                continue
            bounds = self._bounds(host)
            settled_at = ledger.hindered_at + bounds.recovery
            for key, since in ledger.wrong_since.items():
                more = self._until_sweep(host) if self._may_be_unseen(host, key) else 0.0
                if now - max(since, ledger.hindered_at) > bounds.recovery + more:
                    raise Violation(f"{host.name}: {wrong[key]}, {now - since:.0f} s and long after the last fault")
                if since > settled_at and now - since > bounds.steady + more:
                    raise Violation(f"{host.name}: {wrong[key]}, {now - since:.0f} s with nothing broken")

    def _note_delay(self, host: Host) -> None:
        """Note that something keeps the agent from finding out now that a container has not ended, as it was told."""
        ledger, now = self.ledgers[host.name], self._scheduler.now
        later = now + self._bounds(host).hinted
        ledger.end_believed_until = {each: later for each, until in ledger.end_believed_until.items() if until >= now}

    def _may_be_unseen(self, host: Host, key: str) -> bool:
        """Whether a key may be an orphan that the agent never saw: somebody else wrote it, or an earlier agent."""
        _, toucher = self.touched.get(key, (-inf, None))
        seen = toucher is not None and (toucher.owner, toucher.agent) == (host.engine.name, host.agents)
        return key not in self.wanted(host) and not seen

    def _until_sweep(self, host: Host) -> float:
        """Return the seconds until the next sweep of a host, at most."""
        if not self._fleet.is_large:
            return 0.0
        hosts = self._fleet.neighbours + MOST_NAMES * len(self._fleet.hosts)
        return self._bounds(host).sweep * hosts / 20

    def _judge_death(self, host: Host, keys: Mapping[str, str]) -> None:
        """The keys of a host whose agent died go within their lifetime. Judged are those of an agent that had all in
        order, so that each of its keys has the lifetime."""
        ledger, now = self.ledgers[host.name], self._scheduler.now
        if host.process is None or host.process.running:
            ledger.died_at, ledger.mortal = None, frozenset()
            return
        bounds = self._bounds(host)
        if ledger.died_at is None:
            settled = host.flags.ttl and now - ledger.hindered_at > bounds.recovery
            ledger.died_at, ledger.mortal_for = now, bounds.dead_host
            ledger.mortal = frozenset(self._own(host, keys)) if settled else frozenset()
        left = sorted(ledger.mortal & self._own(host, keys).keys())
        if left and now - max(ledger.died_at, self.etcd_broken_at) > ledger.mortal_for:
            raise Violation(f"{left[0]} is there {now - ledger.died_at:.0f} s after its host died")

    def _bounds(self, host: Host) -> Bounds:
        return Bounds.of(host.flags.times)

    def _is_hindered(self, host: Host) -> bool:
        """Whether anything keeps the agent from doing its work at this moment."""
        fleet, now = self._fleet, self._scheduler.now
        if not host.alive or (host.process and host.process.frozen_until > now):
            return True
        if not host.socket.clear or not host.engine.answers:
            return True
        return fleet.etcd_is_broken() or any(not link.clear for link in host.links.values())

    def _wrong(self, host: Host, keys: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Yield the keys of a host that are not as they should be, and what is wrong with each."""
        truth = self._truth(host)
        for key, entry in truth.wanted.items():
            if keys.get(key) == entry.value or truth.tolerates(key, keys.get(key)):
                continue
            if _owner_in(key) is None and self._is_anothers(host, key, keys):
                continue
            yield key, f"{key} should be {entry.value} for {entry.container} and is {keys.get(key)}"
        for key, value in self._own(host, keys).items():
            if key in truth.wanted or truth.tolerates(key, value):
                continue
            if key not in self.late_creates and not self._is_left_behind(key, host.engine.name):
                yield key, f"{key} is there and no container backs it"

    def _is_unreadable(self, host: Host, key: str) -> bool:
        """Whether the agent cannot know whether a key is wanted, because it has no answer to its inspect of the key's
        container."""
        ledger = self.ledgers[host.name]
        return self._scheduler.now < ledger.unreadable_until.get(ledger.containers.get(key, ""), 0.0)

    def inspect_hangs(self, host: Host, container_id: str) -> None:
        """Note that the inspect of a container hangs."""
        self.ledgers[host.name].unreadable_until[container_id] = inf

    def inspects_answer(self, host: Host) -> None:
        """Note that no inspect of a host hangs any more. The agent asks about each container again when the container's
        back-off is over."""
        ledger, later = self.ledgers[host.name], self._scheduler.now + self._bounds(host).recovery
        ledger.unreadable_until = {each: min(until, later) for each, until in ledger.unreadable_until.items()}

    def _is_anothers(self, host: Host, key: str, keys: Mapping[str, str]) -> bool:
        """Whether a wanted key under a custom id is not to be had: somebody else holds it, or has just let it go."""
        if key in self.foreign or key in self.late_creates or self._is_left_behind(key, host.engine.name):
            return True
        holder = self.holder.get(key)
        if holder is not None:
            return holder != host.engine.name
        # It is free. Of several hosts that want it, one will have it.
        return any(key in self.wanted(other) for other in self._fleet.hosts if other is not host)

    def end_was_made_up(self, host: Host, container_id: str) -> None:
        """Note that an event told an agent of the end of a container that runs."""
        self.ledgers[host.name].end_believed_until[container_id] = self._scheduler.now + self._bounds(host).hinted

    def _end_was_made_up(self, host: Host, key: str) -> bool:
        """Whether the end of a key's container was just told although it runs, so that the key may be gone until the
        engine has said that it runs."""
        ledger = self.ledgers[host.name]
        return self._scheduler.now <= ledger.end_believed_until.get(ledger.containers.get(key, ""), -inf)

    def _on_engine_event(self, host: Host, event: EngineEvent) -> None:
        ledger, now = self.ledgers[host.name], self._scheduler.now
        if event.action == "kill":
            self._note_signal(host, event.id, int(event.details["signal"]))
        elif event.action == "die":
            ledger.stopped.add(event.id)
            ledger.told_ended[event.id] = now
        elif event.action == "start":
            ledger.told_ended.pop(event.id, None)
            ledger.signalled.pop(event.id, None)
        self._note_change(host)
        self._note_wanted(host)
        ledger.event_at[event.id] = now
        self._scheduler.call_at(now + self._bounds(host).hinted, lambda: self._judge_haste(host, now))

    def signal_was_made_up(self, host: Host, container_id: str, signal: int) -> None:
        """Note that an event told an agent of a signal to a container that runs, which the engine never sent."""
        self._note_signal(host, container_id, signal)
        self._note_change(host)
        self._note_wanted(host)

    def _note_signal(self, host: Host, container_id: str, signal: int) -> None:
        """Note that a container was sent a signal. One that stops it makes it drain until its stop grace is over."""
        container = next(each for each in host.engine.containers() if each.id == container_id)
        if signal not in {container.stop_signal, *STOPPING}:
            return
        ledger, now = self.ledgers[host.name], self._scheduler.now
        ledger.signalled[container_id] = now
        if self._may_drain(host, container):
            ledger.stopped.add(container_id)
            over = now + stop_grace(container, host)
            self._scheduler.call_at(over, lambda: self._note_end_of_grace(host, container_id))

    def _note_orders(self) -> None:
        """Note what the operator drains now, and when that ends."""
        found = self._fleet.cluster.keys(self._fleet.api, RECORDS)
        self._orders = {key: Order.parse(value) for key, value in found.items() if key.endswith("/drain")}
        self._note_all_orders()
        for moment in {end for order in self._orders.values() for end in order.ends if end > self._scheduler.now}:
            self._scheduler.call_at(moment, self._note_all_orders)

    def _note_all_orders(self) -> None:
        for host in self._fleet.hosts:
            self._note_order(host)

    def _note_order(self, host: Host) -> None:
        """Note that the operator may drain other containers of a host than before."""
        ledger = self.ledgers[host.name]
        self._note_change(host)
        self._note_wanted(host)
        ledger.stopped |= self._truth(host).drained
        ledger.event_at |= dict.fromkeys((each.id for each in host.engine.running()), self._scheduler.now)

    def _note_end_of_grace(self, host: Host, container_id: str) -> None:
        """Note that a container may have come to the end of its stop grace, so that its keys are wanted again."""
        self._note_change(host)
        self._note_wanted(host)
        self.ledgers[host.name].event_at[container_id] = self._scheduler.now

    def _judge_haste(self, host: Host, moment: float) -> None:
        """Raise Violation if what changed at a moment is not right by now, although nothing has hindered the agent, and
        all events have reached it since well before."""
        ledger = self.ledgers[host.name]
        settled_at = max(ledger.well_since, host.socket.undisturbed_since + self._bounds(host).steady)
        if not host.flags.hints or settled_at >= moment or self._is_hindered(host):
            return
        if self._scheduler.now < ledger.excused_until:
            return
        for key, what in self._wrong(host, self._keys()):
            changed_at = ledger.wanted_since[key].moment if key in ledger.wanted_since else ledger.unwanted_at.get(key)
            if changed_at == moment and self._is_in_the_agents_hands(host, key, moment):
                raise Violation(f"{host.name}: {what}, {self._scheduler.now - moment:.1f} s after its event")
        for key, candidate in self._draining_since(host, moment):
            if self._is_in_the_agents_hands(host, key, moment):
                raise Violation(f"{host.name}: {key} is there, and {candidate.container} drains since {moment:.1f}")

    def _draining_since(self, host: Host, moment: float) -> Iterator[tuple[str, Wanted]]:
        """Yield the keys that are there of the containers which run although they were sent the signal that stops them
        at this moment, and no later one."""
        signalled, keys = self.ledgers[host.name].signalled, self._keys()
        for key, of_key in self._truth(host).candidates.items():
            for each in of_key:
                if each.drains and signalled[each.container_id] == moment and keys.get(key) == each.value:
                    yield key, each

    def _is_in_the_agents_hands(self, host: Host, key: str, moment: float) -> bool:
        """Whether the agent alone decides about a key, can read the key's container, and was told of no end of it that
        did not happen. Nobody has written the key by hand since this moment."""
        touched_at, toucher = self.touched.get(key, (-inf, None))
        by_hand = toucher is None and touched_at >= moment
        unread = _owner_in(key) is None or self._is_unreadable(host, key) or self._end_was_made_up(host, key)
        return not by_hand and not unread

    def _note_wanted(self, host: Host) -> None:
        ledger = self.ledgers[host.name]
        self._truths.pop(host.name, None)
        before, now = ledger.wanted_since, Since("", self._scheduler.now)
        backed = frozenset(self._truth(host).candidates)
        unwanted = (before.keys() - self.wanted(host).keys()) | (ledger.backed - backed)
        ledger.backed = backed
        ledger.unwanted_at |= dict.fromkeys(unwanted, now.moment)
        ledger.wanted_since = {
            key: before[key] if before.get(key, now).value == wanted.value else evolve(now, value=wanted.value)
            for key, wanted in self.wanted(host).items()
        }

    def _note_change(self, host: Host) -> None:
        self.ledgers[host.name].changed_at = self._scheduler.now

    def _host(self, name: str) -> Host:
        return next(host for host in self._fleet.hosts if host.name == name)

    def custom(self) -> Custom:
        """Return what is known of the custom keys that etcd holds now."""
        return Custom(dict(self.holder), dict(self.foreign), frozenset(self.late_creates))

    def store_was_replaced(self, custom: Custom) -> None:
        """Note that etcd has other data now. ``custom`` is what was known of the custom keys in these data."""
        self.holder, self.foreign = dict(custom.holder), dict(custom.foreign)
        self.late_creates = set(custom.late_creates)
        self.replaced_at = self._scheduler.now
        for host in self._fleet.hosts:
            ledger = self.ledgers[host.name]
            ledger.changed_at = ledger.hindered_at = self._scheduler.now
            ledger.store_is_new, ledger.well_since = True, inf
        self._note_orders()

    def host_was_renamed(self, host: Host) -> None:
        """Note that a host has another name. What it has in etcd under the old name stays there, as documented."""
        ledger = self.ledgers[host.name]
        ledger.changed_at = ledger.hindered_at = self._scheduler.now
        ledger.unwanted_passes.clear()
        self._note_wanted(host)
        ledger.unwanted_since.clear()

    def excuse_until_sweep(self) -> None:
        """Do not judge the hosts until their next sweeps are over: an exception of the page applies."""
        for host in self._fleet.hosts:
            period = max(self._until_sweep(host), self._bounds(host).sweep)
            self.ledgers[host.name].excused_until = self._scheduler.now + period + self._bounds(host).steady


def _owner_in(key: str) -> str | None:
    """Return the owner that a key's id names, or None for a custom id."""
    parts = key.rpartition("/")[2].split(":")
    return parts[0] if len(parts) in {3, 4} and parts[2].isdigit() else None


def stop_grace(container: ContainerTruth, host: Host) -> float:
    """Return for how many seconds after its last stop signal a container drains, as README says."""
    asked = _env(container).get("SERVICE_STOP_GRACE")
    return float(asked) if asked else max(container.stop_timeout + AFTER_TIMEOUT, float(host.flags.stop_grace))


def _env(container: ContainerTruth) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in container.env)


def _having(candidates: Sequence[Wanted], value: str | None) -> Wanted | None:
    """Return the first of the candidates whose value this is, or None. A container that runs and has a key keeps it."""
    return next((each for each in candidates if each.value == value), None)


def _entries(container: ContainerTruth, host: Host) -> Iterator[tuple[str, str]]:
    """Yield key and value of each entry that a container should have, as README says."""
    env = _env(container)
    if "SERVICE_IGNORE" in env:
        return
    image = container.image.rpartition("/")[2].partition(":")[0]
    ports = sorted((port, bindings[0].host_port) for port, bindings in container.published.items() if bindings)
    for port, host_port in ports:
        number, protocol = port.split("/")
        name = env.get("SERVICE_NAME", image) + (f"-{number}" if len(ports) > 1 else "")
        suffix = ":udp" if protocol == "udp" else ""
        entry_id = env.get("SERVICE_ID", f"{host.engine.name}:{container.name}:{number}{suffix}")
        yield f"{PREFIX}/{name}/{entry_id}", f"{host.address}:{host_port}"
