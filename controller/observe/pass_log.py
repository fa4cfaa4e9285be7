"""The log lines about passes. A state is logged when it begins, changes or ends, and not in every pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from controller import logs
from controller.source.events import Origin
from model.container import ContainerRef
from model.drain_order import NO_DRAIN, DrainedContainer, DrainOrder, moment_of
from model.entry import Entry
from model.plan import Action, Change
from model.record import InnerPrefix
from model.refusal import Refusal
from model.report import Outcome, PassReport, PassResult, Result, Setback
from model.snapshot import UnknownContainer

log = logs.logger("wharfinger.pass")

#: The most characters of a value that are logged. What containers and others write can be of any length.
VALUE_LIMIT = 300

#: A change that the registry does not make is logged at its first try, and again after this many further tries, which
#: is about once an hour.
TRIES_PER_LINE = 60

#: The most changes of one pass that were not made and have a log line each. One more line counts the others.
MOST_LINES = 10

#: The actions that write a document about the host, and no entry. Such a document is long and says little to people.
_DOCUMENTS = frozenset({Action.RECORD, Action.NOTE})

#: The most owners of an inner prefix that are logged.
OWNER_LIMIT = 10


def log_hints(origin: Origin, why: str) -> None:
    """Log where the engine's events come from, after this changed. ``why`` is why they do not come from a stream."""
    match origin:
        case Origin.STREAM:
            log.info("events of the engine arrive, containers are looked at as soon as they change")
        case Origin.HISTORY:
            log.warning("events of the engine are polled, containers are looked at a little later", problem=why)
        case Origin.NOWHERE:
            message = "no events of the engine arrive, containers are looked at once in each interval"
            log.warning(message, problem=why)


class PassLog:
    """Observes one loop and writes to the log."""

    def __init__(self) -> None:
        self._refusals: tuple[Refusal, ...] = ()
        self._unknown: dict[ContainerRef, UnknownContainer] = {}
        self._loopback: tuple[Entry, ...] = ()
        self._failures = 0
        #: When this pass began, and when the first of the passes that failed in a row began.
        self._begun = 0.0
        self._failing_since = 0.0
        self._held_back = 0
        self._settled = False
        #: How the last pass failed; None after a success.
        self._failure: tuple[PassResult, str] | None = None
        self._disagreement = ""
        self._new_name = ""
        self._inner: set[str] = set()
        self._drain_order = NO_DRAIN
        self._unreadable_drain_order = ""
        self._heartbeat_problem = ""

    def begun(self, now: float) -> None:
        """Log that a pass begins, for those who look for a pass that does not end."""
        self._begun = now
        log.debug("pass begins")

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """Log what is new since the last pass, and at level debug what the pass did."""
        for outcome in report.outcomes:
            if outcome.result is Result.APPLIED:
                _log_outcome(outcome)
        _log_not_made([outcome for outcome in report.outcomes if _is_told(outcome, report.setbacks)])
        if report.planned:
            self._log_refusals(report.plan.refusals)
            self._log_unknown({each.ref: each for each in report.unknown})
            self._log_loopback(report.loopback)
            self._log_held_back(report)
            self._log_disagreement(report.disagreement)
            self._log_new_name(report)
            self._log_inner_prefixes(report.inner or ())
            self._log_drain_order(report.drain_order)
            self._log_unreadable_drain_order(report.unreadable_drain_order)
        if report.heartbeat_at is not None:
            self._log_heartbeat(report.heartbeat_problem)
        if report.replaced:
            log.warning("registry was replaced, wiped or restored; earlier passes are forgotten", owner=report.owner)
        self._log_state(report, now, wait)
        _log_pass(report, wait)

    def _log_refusals(self, refusals: tuple[Refusal, ...]) -> None:
        if refusals == self._refusals:
            return
        before, now = ({_port_of(each): each for each in some} for some in (self._refusals, refusals))
        self._refusals = refusals
        for port in sorted(now):
            if now[port] != before.get(port):
                refusal = now[port]
                log.warning("port refused", reason=refusal.reason.value, detail=refusal.detail, **_fields(refusal))
        for port in sorted(before.keys() - now.keys()):
            log.info("port no longer refused", reason=before[port].reason.value, **_fields(before[port]))

    def _log_unknown(self, now: dict[ContainerRef, UnknownContainer]) -> None:
        before, self._unknown = self._unknown, now
        for ref in sorted(now.keys() - before.keys()):
            log.warning("container unreadable, its entries are held", container=ref.name, problem=now[ref].problem)
        for ref in sorted(before.keys() - now.keys()):
            log.info("container readable again", container=ref.name)

    def _log_loopback(self, now: tuple[Entry, ...]) -> None:
        before, self._loopback = self._loopback, now
        for entry in now:
            if entry not in before:
                log.warning(
                    "port is registered with a loopback address, which only this host can dial",
                    container=entry.container.name,
                    port=str(entry.container_port),
                    address=entry.address,
                    cure="publish the port on another address of this host",
                )

    def _log_held_back(self, report: PassReport) -> None:
        held = len(report.plan.held_back)
        if held and held != self._held_back:
            containers = Counter(each.presence.value for each in report.held_deletes.values())
            log.warning(
                "deletes held back until seen again",
                deletes=held,
                own=report.plan.own,
                containers=", ".join(f"{number} {presence}" for presence, number in sorted(containers.items())),
            )
        elif self._held_back and not held:
            log.info("no deletes held back any more")
        self._held_back = held

    def _log_disagreement(self, now: str) -> None:
        before, self._disagreement = self._disagreement, now
        if now and now != before:
            log.warning("another agent of this host was started with other flags", differences=now)
        elif before and not now:
            log.info("no other agent of this host has other flags any more")

    def _log_new_name(self, report: PassReport) -> None:
        before, self._new_name = self._new_name, report.new_name
        if report.new_name and report.new_name != before:
            message = "the host has another name, and its entries stay under the old one until the agent is restarted"
            log.warning(message, owner=report.owner, name=report.new_name)
        elif before and not report.new_name:
            log.info("the host has its old name again", owner=report.owner)

    def _log_inner_prefixes(self, now: tuple[InnerPrefix, ...]) -> None:
        """Log each inner prefix once. Nothing is logged when an inner prefix ends, because a pass that reports none may
        not have asked for them."""
        for each in now:
            if each.prefix not in self._inner:
                log.warning(
                    "a prefix within this one has agents of its own, its keys are left alone",
                    inner_prefix=each.prefix,
                    owners=[*each.owners[:OWNER_LIMIT]],
                    if_abandoned=f"wharfinger deregister --hostname OWNER URI, with the URI of {each.prefix}",
                )
        self._inner |= {each.prefix for each in now}

    def _log_drain_order(self, now: DrainOrder) -> None:
        before, self._drain_order = self._drain_order, now
        if now.all_until is not None and now.all_until != before.all_until:
            log.info("the operator drains all containers of this host", until=_end(now.all_until))
        elif before.all_until is not None and now.all_until is None:
            log.info("the operator no longer drains all containers of this host")
        for key, each in sorted(now.containers.items()):
            if each != before.containers.get(key):
                log.info("the operator drains a container", **_drained(each), until=_end(each.until))
        for key in sorted(before.containers.keys() - now.containers.keys()):
            log.info("the operator no longer drains a container", **_drained(before.containers[key]))

    def _log_unreadable_drain_order(self, now: str) -> None:
        before, self._unreadable_drain_order = self._unreadable_drain_order, now
        if now and not before:
            cure = "wharfinger drain or undrain replaces it"
            log.warning("the drain order cannot be read and counts as none", key=now, cure=cure)

    def _log_heartbeat(self, now: str) -> None:
        before, self._heartbeat_problem = self._heartbeat_problem, now
        if now and now != before:
            log.warning("the heartbeat cannot be renewed, so this agent may look dead", problem=now)
        elif before and not now:
            log.info("the heartbeat is renewed again")

    def _log_state(self, report: PassReport, now: float, wait: float) -> None:
        if report.result is PassResult.UNFINISHED:
            made = len(report.with_result(Result.APPLIED))
            left = len(report.outcomes) - made
            log.warning("pass ran out of time, the next one goes on at once", made=made, left=left)
        elif not report.follows_host:
            self._log_failure(report, wait)
        elif self._failures or not self._settled:
            fields = {"owner": report.owner, "entries": report.plan.wanted, "refused": len(report.plan.refusals)}
            not_made = {"not_made": report.waiting} if report.waiting else {}
            if self._failures:
                after = round(max(0.0, now - self._failing_since), 1)
                log.info("passes succeed again", after_seconds=after, failures=self._failures, **fields, **not_made)
            else:
                kind = {"engine_kind": report.engine_kind} if report.engine_kind else {}
                log.info("first pass succeeded", **fields, **kind, **not_made)
            self._failures, self._failure, self._settled = 0, None, True

    def _log_failure(self, report: PassReport, wait: float) -> None:
        """Log a failed pass. If the next pass follows at the normal interval, log this one only if it failed in another
        way than the pass before."""
        failure = report.result, report.problem
        self._failing_since = self._failing_since if self._failures else self._begun
        self._failures += 1
        self._settled = False
        if report.outage or failure != self._failure:
            log.error(
                "pass failed",
                result=report.result.value,
                problem=report.problem,
                failures=self._failures,
                next_in_seconds=round(wait, 1),
            )
        self._failure = failure


def _drained(container: DrainedContainer) -> dict[str, str]:
    return {"container": container.name, "container_id": container.id[:12]}


def _end(until: float) -> str:
    """Return when a drain ends, for people."""
    return moment_of(until) or "wharfinger undrain"


def _port_of(refusal: Refusal) -> tuple[str, ...]:
    return refusal.container.name, refusal.container.id, str(refusal.port)


def _fields(refusal: Refusal) -> dict[str, str]:
    return {
        "container": refusal.container.name,
        "container_id": refusal.container.id[:12],
        "port": str(refusal.port),
    }


def _is_told(outcome: Outcome, setbacks: Mapping[str, Setback]) -> bool:
    """Return whether the outcome is logged as a change that was not made: after the first try, and then after every
    TRIES_PER_LINE further ones."""
    setback = setbacks.get(outcome.change.key)
    tried = outcome.result in {Result.CONFLICT, Result.FAILED, Result.REJECTED}
    return tried and setback is not None and setback.tries % TRIES_PER_LINE == 1


def _log_not_made(outcomes: Sequence[Outcome]) -> None:
    """Log changes that were not made: a line for each of the first MOST_LINES, and one for all others."""
    for outcome in outcomes[:MOST_LINES]:
        _log_outcome(outcome)
    if len(outcomes) > MOST_LINES:
        log.warning("further changes failed", changes=len(outcomes) - MOST_LINES)


def _log_outcome(outcome: Outcome) -> None:
    change = outcome.change
    fields = {"action": change.action.value, "key": change.key, "reason": change.reason.value}
    if change.container_name:
        fields["container"] = change.container_name
    if change.container_id:
        fields["container_id"] = change.container_id[:12]
    if change.action in _DOCUMENTS:
        log.debug("document to write", key=change.key, **_values(change))
    else:
        fields |= _values(change)
    if change.detail:
        fields["because"] = change.detail
    say: Callable[..., object] = log.debug if change.action is Action.RENEW else log.info
    match outcome.result:
        case Result.APPLIED:
            say("change applied", **fields)
        case Result.CONFLICT:
            log.info("key changed after it was read, the next pass decides again", detail=outcome.detail, **fields)
        case _:
            log.warning("change failed", result=outcome.result.value, detail=outcome.detail, **fields)


def _values(change: Change) -> dict[str, str]:
    """Return the fields that tell what the key shall hold, and what it held if that was something else."""
    values = {"value": _shortened(change.value)} if change.value else {}
    if change.before and change.before.value != change.value:
        values["before"] = _shortened(change.before.value)
    return values


def _log_pass(report: PassReport, wait: float) -> None:
    """Log at level debug what a pass read, planned and did, and how long each stage took."""
    read = {"containers": report.containers, "keys": report.plan.own + report.plan.foreign, "own_keys": report.plan.own}
    applied = len(report.with_result(Result.APPLIED))
    log.debug(
        "pass ended",
        result=report.result.value,
        seconds={stage.value: round(seconds, 4) for stage, seconds in report.seconds.items()},
        **(read if report.planned else {}),
        entries=report.plan.wanted,
        in_sync=report.plan.in_sync,
        refused=len(report.plan.refusals),
        planned=len(report.plan.changes),
        applied=applied,
        consistent_read=report.consistent,
        next_in_seconds=round(wait, 1),
    )


def _shortened(value: str) -> str:
    return value if len(value) <= VALUE_LIMIT else f"{value[:VALUE_LIMIT]}…"
