"""How long keys take to follow the starts and ends of containers."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from attrs import evolve

from controller.observe.key_delays import NEWS_TAKE, KeyDelays, Phase
from model.container import Container, ContainerRef
from model.desired import Desired
from model.draining import Draining
from model.evidence import Evidence
from model.hint import Hint, HintKind
from model.ownership import Ownership
from model.plan import Change, Reason
from model.report import PassReport, Result
from model.snapshot import Snapshot
from model.stored import Actual
from tests.support.builders import OWNER, PLAIN, container, rules
from tests.support.reports import added, altered, failed, planned, removed, unreadable

#: 2026-01-01T00:00:00Z.
EPOCH = 1767225600.0

KEY = "/services/web/core-01:web:80"


def at(seconds: float) -> str:
    """Return a moment so many seconds after EPOCH, in the form of ``Container.started``."""
    return f"2026-01-01T00:00:{seconds:012.9f}Z"


def running(name: str, started: float) -> Container:
    """Return a container that was started so many seconds after EPOCH."""
    return container(name, publish={"80/tcp": "0.0.0.0:8000"}, started=at(started))


def gone(reason: Reason = Reason.GONE) -> Change:
    """Return the delete of the key of the container ``id-web``."""
    return evolve(removed(KEY, reason=reason), container_id="id-web")


class Told:
    """Hints that a test puts in."""

    flows = True

    def __init__(self) -> None:
        self.waiting: list[Hint] = []

    def take(self) -> list[Hint]:
        """See Hints."""
        taken, self.waiting = self.waiting, []
        return taken

    def take_gap(self) -> bool:
        """See Hints."""
        return False


class Watched:
    """A loop whose passes a test makes. All moments are seconds after EPOCH."""

    def __init__(self) -> None:
        self.hints = Told()
        self.told: list[tuple[Phase, float]] = []
        self.delays = KeyDelays(self.hints, lambda phase, seconds: self.told.append((phase, round(seconds, 6))))
        self.snapshot = Snapshot()

    def event(self, kind: HintKind, moment: float, container_id: str = "id-web") -> None:
        """Let the engine tell of a container."""
        self.hints.waiting.append(Hint(container_id, kind, round((EPOCH + moment) * 1e9)))

    def has_a_pass(self, began: float, ended: float, *changes: Change, ending: Result = Result.APPLIED) -> None:
        """Make a pass over the containers of the last snapshot."""
        self.reports(began, ended, planned(*changes, ended=ending))

    def reports(self, began: float, ended: float, report: PassReport) -> None:
        """Make a pass with this report. If it made a plan, it saw the last snapshot."""
        if report.planned:
            ownership = Ownership(OWNER, PLAIN)
            evidence = Evidence(self.snapshot, rules(), PLAIN, Desired(), Actual(), ownership)
            report = evolve(report, evidence=evidence)
        self.delays.begun(EPOCH + began)
        self.delays.ended(report, EPOCH + ended, 1.0)

    def runs(self, *containers: Container) -> None:
        """Replace the containers."""
        self.snapshot = Snapshot(containers)


def watched(*containers: Container) -> Watched:
    """Return a loop whose first pass, at 10 s, saw these containers."""
    loop = Watched()
    loop.runs(*containers)
    loop.has_a_pass(10.0, 10.1)
    return loop


def test_a_start_is_measured_until_the_end_of_the_pass_that_wrote_the_key() -> None:
    """Each key counts, also one that is updated because the container was started again with other ports."""
    loop = watched()
    loop.runs(running("web", 10.5))
    loop.has_a_pass(10.503, 10.507, added(KEY), added(f"{KEY}:udp"))
    loop.runs(running("web", 11.0))
    loop.has_a_pass(11.003, 11.008, altered(KEY, "a:1", "b:2"))
    assert loop.told == [(Phase.START, 0.007), (Phase.START, 0.007), (Phase.START, 0.008)]


def test_an_end_is_measured_from_the_event_that_told_of_it() -> None:
    """The engine's list does not say when a container ended."""
    loop = watched(running("web", 1.0))
    loop.event(HintKind.DIE, 10.5)
    loop.runs()
    loop.has_a_pass(10.501, 10.504, gone())
    assert loop.told == [(Phase.END, 0.004)]


def test_an_end_without_an_event_does_not_count() -> None:
    """Nothing says when it was."""
    loop = watched(running("web", 1.0))
    loop.runs()
    loop.has_a_pass(10.9, 11.0, gone())
    assert loop.told == []


def test_a_container_that_drains_is_measured_from_the_signal() -> None:
    """Its key is gone before it ends. A drain of the operator's has no such moment."""
    loop = watched(running("web", 1.0))
    draining = {ContainerRef("id-web", "web"): Draining("the engine has sent it the signal TERM", at(10.5))}
    loop.reports(10.501, 10.505, evolve(planned(gone(Reason.DRAINING)), draining=draining))
    by_operator = {ContainerRef("id-web", "web"): Draining("the operator drains it", by_operator=True)}
    loop.reports(11.0, 11.1, evolve(planned(gone(Reason.DRAINING)), draining=by_operator))
    assert loop.told == [(Phase.END, 0.005)]


def test_a_container_that_ends_after_it_has_drained_is_measured_from_the_signal() -> None:
    """That is so, too, where the key could not be removed before the end."""
    loop = watched(running("web", 1.0))
    draining = {ContainerRef("id-web", "web"): Draining("the engine has sent it the signal TERM", at(10.5))}
    loop.reports(10.501, 10.505, evolve(planned(gone(Reason.DRAINING), ended=Result.FAILED), draining=draining))
    loop.event(HintKind.DIE, 12.0)
    loop.runs()
    loop.has_a_pass(12.4, 12.5, gone())
    assert loop.told == [(Phase.END, 2.0)]


def test_what_the_first_pass_finds_does_not_count() -> None:
    """The agent did not see it happen. Passes that make no plan see nothing."""
    loop = Watched()
    loop.event(HintKind.DIE, 9.0)
    loop.reports(9.0, 9.1, failed())
    loop.runs(running("web", 9.5))
    loop.has_a_pass(10.0, 10.1, added(KEY), gone())
    loop.has_a_pass(11.0, 11.1, added(KEY), gone())
    assert loop.told == []


def test_what_happened_while_the_registry_was_away_counts_in_full() -> None:
    """The agent saw it and could do nothing, so the key was late."""
    loop = watched(running("db", 1.0))
    loop.reports(12.0, 12.1, failed())
    loop.event(HintKind.DIE, 13.0, "id-db")
    loop.reports(14.0, 14.1, failed())
    loop.runs(running("web", 15.0))
    loop.has_a_pass(39.0, 40.0, added(KEY), evolve(gone(), container_id="id-db"))
    assert loop.told == [(Phase.START, 25.0), (Phase.END, 27.0)]


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize(("engine_is", "seconds"), [(-300.0, 0.5 + NEWS_TAKE), (0.0, 0.1), (+19.0, 0.0)])
def test_an_engine_whose_clock_is_wrong_makes_no_negative_and_no_long_delay(
    engine_is: float, seconds: float, phase: Phase
) -> None:
    """It happened after the last pass that knew nothing of it, which began at 10 s, and before the end of this one."""
    loop = watched(running("db", 1.0))
    moment = EPOCH + 10.4 + engine_is
    loop.hints.waiting.append(Hint("id-db", HintKind.DIE, round(moment * 1e9)))
    clocks = {-300.0: "2025-12-31T23:55:10.400000000Z", 0.0: at(10.4), 19.0: at(29.4)}
    if phase is Phase.START:
        loop.runs(running("db", 1.0), evolve(running("web", 0.0), started=clocks[engine_is]))
        loop.has_a_pass(10.45, 10.5, added(KEY))
    else:
        loop.runs()
        loop.has_a_pass(10.45, 10.5, evolve(gone(), container_id="id-db"))
    assert loop.told == [(phase, seconds)]


@pytest.mark.parametrize("ending", [Result.FAILED, Result.REJECTED, Result.WAITING, Result.SKIPPED, Result.CONFLICT])
def test_a_change_that_is_made_later_is_measured_until_then(ending: Result) -> None:
    """The container started when it did."""
    loop = watched()
    loop.runs(running("web", 10.5))
    loop.has_a_pass(10.6, 10.7, added(KEY), ending=ending)
    loop.has_a_pass(11.6, 11.7, added(KEY))
    assert loop.told == [(Phase.START, 1.2)]


def test_a_delete_that_the_guard_holds_back_is_measured_until_it_is_made() -> None:
    """The key leads to nobody for as long."""
    loop = watched(running("web", 1.0))
    loop.event(HintKind.DIE, 10.5)
    loop.runs()
    loop.reports(10.6, 10.7, planned(held_back=(gone(),)))
    loop.has_a_pass(13.0, 13.5, gone())
    assert loop.told == [(Phase.END, 3.0)]


def test_a_start_waits_for_a_container_about_which_something_is_unknown() -> None:
    """Its entry is decided about when the engine has told what its network is."""
    loop = watched()
    loop.runs(running("web", 10.5))
    loop.reports(10.6, 10.7, planned(unknown=(unreadable("web"),)))
    loop.has_a_pass(11.4, 11.5, added(KEY))
    assert loop.told == [(Phase.START, 1.0)]


@pytest.mark.parametrize(
    "changes",
    [[added(KEY, reason=Reason.MISSING)], [altered(KEY, "a:1", "b:2", Reason.OVERWRITTEN)], [gone(Reason.ORPHAN)]],
)
def test_repairs_do_not_count(changes: Iterable[Change]) -> None:
    """They follow no start and no end."""
    loop = watched()
    loop.runs(running("web", 10.5))
    loop.has_a_pass(10.6, 10.7, *changes)
    assert loop.told == []


def test_a_change_long_after_a_start_does_not_count() -> None:
    """A container that became healthy later, or a key that became free, was not written because of the start."""
    loop = watched()
    loop.runs(running("web", 10.5))
    loop.has_a_pass(10.6, 10.7)
    loop.has_a_pass(30.0, 30.1, added(KEY))
    assert loop.told == []


def test_a_container_that_is_started_again_has_not_ended() -> None:
    """Its key is removed later for another reason. An end that came after the last start counts."""
    loop = watched(running("web", 1.0))
    loop.event(HintKind.DIE, 10.2)
    loop.event(HintKind.START, 10.4)
    loop.runs(running("web", 10.4))
    loop.has_a_pass(10.5, 10.6)
    loop.runs()
    loop.has_a_pass(11.0, 11.1, gone())
    assert loop.told == []


def test_an_end_before_a_start_whose_key_stayed_is_forgotten() -> None:
    """The key could not be removed, and is right again."""
    loop = watched(running("web", 1.0))
    loop.event(HintKind.DIE, 10.2)
    loop.runs()
    loop.has_a_pass(10.3, 10.4, gone(), ending=Result.FAILED)
    loop.runs(running("web", 11.0))
    loop.has_a_pass(11.1, 11.2)
    loop.event(HintKind.DIE, 20.0)
    loop.runs()
    loop.has_a_pass(20.1, 20.2, gone())
    assert loop.told == [(Phase.END, 0.2)]


def test_a_container_that_ends_during_the_pass_that_registers_it_is_measured() -> None:
    """The event is there before the pass has ended that saw the container for the first time."""
    loop = watched()
    loop.runs(running("web", 10.5))
    loop.event(HintKind.DIE, 10.6)
    loop.has_a_pass(10.55, 10.65, added(KEY))
    loop.runs()
    loop.has_a_pass(10.7, 10.8, gone())
    assert loop.told == [(Phase.START, 0.15), (Phase.END, 0.2)]


def test_ends_of_containers_that_no_pass_saw_are_not_kept() -> None:
    """They have no keys, and there may be any number of them while the registry is away."""
    loop = watched()
    for number in range(100):
        loop.event(HintKind.DIE, 11.0, f"id-{number}")
        loop.reports(11.0, 11.1, failed())
    loop.event(HintKind.OTHER, 11.0)
    loop.has_a_pass(12.0, 12.1)
    assert vars(loop.delays)["_ended"] == {}
