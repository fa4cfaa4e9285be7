"""The log lines about passes. A state is logged when it begins, changes or ends, and not in every pass."""

from __future__ import annotations

from collections.abc import Callable

from controller import logs
from model.container import ContainerRef
from model.plan import Action
from model.record import InnerPrefix
from model.refusal import Refusal
from model.report import Outcome, PassReport, Result
from model.snapshot import UnknownContainer

log = logs.logger("wharfinger.pass")

#: The most characters of a value that are logged. An owner record grows with its host, and what others write can be of
#: any length.
VALUE_LIMIT = 300

#: The most owners of an inner prefix that are logged.
OWNER_LIMIT = 10


class PassLog:
    """Observes one loop and writes to the log."""

    def __init__(self) -> None:
        self._refusals: dict[tuple[str, ...], Refusal] = {}
        self._unknown: dict[ContainerRef, UnknownContainer] = {}
        self._failures = 0
        self._held_back = 0
        self._settled = False
        self._inner: set[str] = set()

    def begun(self, now: float) -> None:
        """Do nothing: the begin of a pass is not logged."""

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """Log what is new since the last pass."""
        for outcome in report.outcomes:
            _log_outcome(outcome)
        if report.planned:
            self._log_refusals({_port_of(each): each for each in report.plan.refusals})
            self._log_unknown({each.ref: each for each in report.unknown})
            self._log_held_back(report)
            self._log_inner_prefixes(report.inner)
        if report.replaced:
            log.warning("registry was replaced, wiped or restored; earlier passes are forgotten", owner=report.owner)
        self._log_state(report, wait)

    def _log_refusals(self, now: dict[tuple[str, ...], Refusal]) -> None:
        before, self._refusals = self._refusals, now
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

    def _log_held_back(self, report: PassReport) -> None:
        held = len(report.plan.held_back)
        if held and held != self._held_back:
            log.warning("deletes held back until seen again", deletes=held, own=report.plan.own)
        elif self._held_back and not held:
            log.info("no deletes held back any more")
        self._held_back = held

    def _log_inner_prefixes(self, now: tuple[InnerPrefix, ...]) -> None:
        """Log each inner prefix once. Not every pass asks for them, so nothing shows when one ends."""
        for each in now:
            if each.prefix not in self._inner:
                log.warning(
                    "a prefix within this one has agents of its own, its keys are left alone",
                    inner_prefix=each.prefix,
                    owners=[*each.owners[:OWNER_LIMIT]],
                    if_abandoned=f"wharfinger deregister --hostname OWNER URI, with the URI of {each.prefix}",
                )
        self._inner |= {each.prefix for each in now}

    def _log_state(self, report: PassReport, wait: float) -> None:
        if not report.succeeded:
            self._failures += 1
            self._settled = False
            log.error(
                "pass failed",
                result=report.result.value,
                problem=report.problem,
                failures=self._failures,
                next_in_seconds=round(wait, 1),
            )
        elif self._failures or not self._settled:
            message = "passes succeed again" if self._failures else "first pass succeeded"
            log.info(message, owner=report.owner, entries=report.plan.wanted, refused=len(report.plan.refusals))
            self._failures, self._settled = 0, True


def _port_of(refusal: Refusal) -> tuple[str, ...]:
    return refusal.container.name, refusal.container.id, str(refusal.port)


def _fields(refusal: Refusal) -> dict[str, str]:
    return {
        "container": refusal.container.name,
        "container_id": refusal.container.id[:12],
        "port": str(refusal.port),
    }


def _log_outcome(outcome: Outcome) -> None:
    change = outcome.change
    fields = {"action": change.action.value, "key": change.key, "reason": change.reason.value}
    if change.value:
        fields["value"] = _shortened(change.value)
    if change.before and change.before.value != change.value:
        fields["before"] = _shortened(change.before.value)
    say: Callable[..., object] = log.debug if change.action is Action.RENEW else log.info
    match outcome.result:
        case Result.APPLIED:
            say("change applied", **fields)
        case Result.CONFLICT:
            log.info("key changed after it was read, the next pass decides again", detail=outcome.detail, **fields)
        case _:
            log.warning("change failed", result=outcome.result.value, detail=outcome.detail, **fields)


def _shortened(value: str) -> str:
    return value if len(value) <= VALUE_LIMIT else f"{value[:VALUE_LIMIT]}…"
