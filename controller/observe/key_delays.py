"""How long it takes from the start of a container to its keys, and from its end until they are gone.

Only starts and ends count that happened while this agent was watching. What it found when it came was caused by its own
absence. The moments are those of the engine's clock, which may be another machine's. So each is moved into the time in
which it must have been: after the last pass that knew nothing of it, and not in the future.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from controller.source.events import Hints
from model.container import ContainerRef, seconds_since_1970
from model.described import DescribedEnum
from model.draining import Draining
from model.hint import HintKind
from model.plan import Action, Reason
from model.report import PassReport, Result
from model.snapshot import Snapshot

#: Seconds after which at the latest a pass knows what has happened to a container. Events and inspects take time.
NEWS_TAKE = 1.0


class Phase(DescribedEnum):
    """What happened to a container, so that its keys had to change."""

    START = "start", "From the start of a container until a key of it is written."
    END = "end", "From the end of a container, or from the signal that makes it drain, until a key of it is removed."


#: What happened to the container with this id.
_Happening = tuple[Phase, str]

#: Which changes follow a start, and which an end.
_FOLLOWS = {
    (Action.CREATE, Reason.NEW): Phase.START,
    (Action.UPDATE, Reason.CHANGED): Phase.START,
    (Action.DELETE, Reason.GONE): Phase.END,
    (Action.DELETE, Reason.DRAINING): Phase.END,
}


class KeyDelays:
    """Observes the loop of one registry. A pass in which nothing has happened costs it next to nothing."""

    def __init__(self, hints: Hints, tell: Callable[[Phase, float], None]) -> None:
        """``hints`` tell when containers end. ``tell`` is called with the seconds that each key took which was written
        because of a start, or removed because of an end."""
        self._hints, self._tell = hints, tell
        #: When the present pass began, and the last one that made a plan; None before the first of these.
        self._began = 0.0
        self._planned: float | None = None
        #: What the last pass that made a plan saw, and when each container in it was started, by its id.
        self._snapshot: Snapshot | None = None
        self._started: Mapping[str, str] = {}
        #: When containers ended, by their ids, in seconds of the engine's clock.
        self._ended: dict[str, float] = {}
        #: When each happening was of which a key has yet to change.
        self._open: dict[_Happening, float] = {}

    def begun(self, now: float) -> None:
        """Note when a pass begins."""
        self._began = now

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """Tell the delay of each key that the pass has changed."""
        evidence = report.evidence
        if evidence is None:
            self._take_hints(self._started)
            return
        changed = evidence.snapshot is not self._snapshot
        started = _started_in(evidence.snapshot) if changed else self._started
        self._take_hints({**self._started, **started} if changed else started)
        if self._planned is not None and (changed or report.outcomes):
            self._note_happenings(started, report.draining, self._planned - NEWS_TAKE, now)
            self._tell_delays(report, now)
        self._ended = {each: moment for each, moment in self._ended.items() if each in started}
        self._planned, self._snapshot, self._started = self._began, evidence.snapshot, started

    def _take_hints(self, known: Collection[str]) -> None:
        """Note when containers ended. One that no pass has seen has no keys."""
        for hint in self._hints.take():
            if hint.kind is HintKind.START:
                self._ended.pop(hint.container, None)
            elif hint.kind is HintKind.DIE and hint.container in known:
                self._ended[hint.container] = hint.seconds

    def _note_happenings(
        self, started: Mapping[str, str], draining: Mapping[ContainerRef, Draining], earliest: float, now: float
    ) -> None:
        """Note what has happened since the last pass that made a plan. None of it was before ``earliest``. ``started``
        says when each container was started that runs now, by its id."""
        for each, moment in started.items():
            if self._started.get(each) != moment:
                self._open.pop((Phase.END, each), None)
                self._open[Phase.START, each] = min(max(seconds_since_1970(moment), earliest), now)
        ends = {each: self._ended[each] for each in self._ended.keys() - started.keys()}
        ends |= {ref.id: seconds_since_1970(why.since) for ref, why in draining.items() if why.since}
        for each in ends.keys() & self._started.keys():
            self._open.setdefault((Phase.END, each), min(max(ends[each], earliest), now))

    def _tell_delays(self, report: PassReport, now: float) -> None:
        """Tell the delay of each key that has changed because of a happening, and forget each happening of which no key
        has yet to change."""
        waiting = {(Phase.START, each.ref.id) for each in report.unknown}
        waiting |= {(Phase.END, change.container_id) for change in report.plan.held_back}
        for outcome in report.outcomes:
            change = outcome.change
            phase = _FOLLOWS.get((change.action, change.reason))
            if phase is None or (phase, change.container_id) not in self._open:
                continue
            if outcome.result is Result.APPLIED:
                self._tell(phase, max(0.0, now - self._open[phase, change.container_id]))
            else:
                waiting.add((phase, change.container_id))
        self._open = {each: self._open[each] for each in waiting & self._open.keys()}


def _started_in(snapshot: Snapshot) -> Mapping[str, str]:
    """Return when each container was started that serves, by its id."""
    return {each.id: each.started for each in snapshot.containers if each.serving and each.started}
