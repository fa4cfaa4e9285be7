"""Which containers drain, as the engine's events, its history and its states tell."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from controller.effects.background import Threads
from controller.effects.clock import Clock, Deadline
from controller.source.docker import LIST_INTERVAL, PATIENCE, RECALL, Asking, Engine, Hinting
from model.draining import STOP_GRACE, StopRule
from model.hint import HintKind
from model.hint_pace import Notice
from model.snapshot import Snapshot
from model.stop_signal import KILL, TERM
from tests.support.fakes import EPOCH, FakeDocker, FakeHints, Inline, Json, inspected, refusal
from tests.support.waiting import wait_until
from tests.unit.test_hinted import Hinted, up

HUP = 1

#: A clock by which no event is old.
CLOCK = Clock(wall=lambda: EPOCH)


def event(action: str, container: str, second: float, **attributes: str) -> Json:
    """Return an event at this second of the year 2026."""
    nanoseconds = round((datetime(2026, 1, 1, tzinfo=UTC).timestamp() + second) * 1e9)
    actor = {"ID": container, "Attributes": attributes}
    return {"Type": "container", "Action": action, "Actor": actor, "timeNano": nanoseconds}


def stop(hinted: Hinted, container: str = "web", signal: int = TERM, second: float = 30.0) -> None:
    """Let the engine send a signal, and tell of it."""
    hinted.hints.give(container, HintKind.KILL, second, signal=signal)


def reading(fake: FakeDocker, hinting: Hinting, *, stopped_too: bool = False) -> Snapshot:
    """Return what a first read of this engine says."""
    return Engine(fake.dial, Asking(Inline(), CLOCK, hinting=hinting), stopped_too=stopped_too).read(soon())


def soon() -> Deadline:
    """Return a deadline that does not matter to the test."""
    return Deadline.after(10, Clock())


# Events.


def test_a_signal_that_stops_a_container_makes_it_drain_at_once() -> None:
    """No inspect has to answer first. When its grace is over and it still runs, it drains no longer."""
    hinted = Hinted(up("web"), up("db"))
    hinted.background.postpones = True
    stop(hinted)
    assert hinted.notice() == Notice(0, STOP_GRACE)
    snapshot = hinted.read(hurried=True)
    assert {*snapshot.draining} == {"web"}
    assert snapshot.draining["web"].why == "the engine has sent it the signal TERM"
    assert {each.name for each in snapshot.containers} == {"web", "db"}
    hinted.time.advance(STOP_GRACE)
    assert hinted.notice().changed_at == STOP_GRACE
    assert hinted.read(hurried=True) == hinted.first


def test_any_other_signal_changes_nothing() -> None:
    """Many programs read their configuration again after HUP."""
    hinted = Hinted(up("web"))
    stop(hinted, signal=HUP)
    hinted.notice()
    assert hinted.notice() == Notice()
    assert hinted.read(hurried=True) is hinted.first


def test_an_ordinary_read_and_a_list_leave_a_container_draining() -> None:
    """The list shows it as running."""
    hinted = Hinted(up("web"))
    stop(hinted)
    assert {*hinted.read().draining} == {"web"}
    hinted.time.advance(LIST_INTERVAL)
    assert {*hinted.read().draining} == {*hinted.read(full=True).draining} == {"web"}


def test_a_container_that_ends_drains_no_longer_and_its_next_run_does_not_drain() -> None:
    """As after ``docker restart``."""
    hinted = Hinted(up("web"))
    stop(hinted)
    assert hinted.read(hurried=True).draining
    hinted.set(inspected("web", status="exited"))
    hinted.hints.give("web", HintKind.DIE, 31)
    hinted.notice()
    assert hinted.read(hurried=True) == Snapshot(confirmed=frozenset({"web"}))
    hinted.set(up("web", 32))
    hinted.hints.give("web", HintKind.START, 32)
    hinted.notice()
    snapshot = hinted.read(hurried=True)
    assert ([each.name for each in snapshot.containers], dict(snapshot.draining)) == (["web"], {})


def test_a_container_that_is_stopped_while_its_first_inspect_is_open_drains_from_the_first() -> None:
    """No read shows it otherwise."""
    hinted = Hinted()
    hinted.background.postpones = True
    hinted.set(up("new", 29))
    hinted.hints.give("new", HintKind.START, 29)
    hinted.notice()
    stop(hinted, "new")
    assert hinted.notice() == Notice()
    hinted.background.go()
    snapshot = hinted.read(hurried=True)
    assert ([each.name for each in snapshot.containers], {*snapshot.draining}) == (["new"], {"new"})


def test_a_container_that_the_engine_stops_describing_drains_again_when_it_is_described() -> None:
    """Meanwhile its entries are held, so those that are gone do not come back."""
    hinted = Hinted(up("web"))
    stop(hinted)
    assert hinted.read(hurried=True).draining
    hinted.fake.errors["inspect web"] = refusal(500, "busy")
    hinted.set({**up("web"), "Name": "/www"})
    snapshot = hinted.read(full=True)
    assert ([each.ref.id for each in snapshot.unknown], dict(snapshot.draining)) == (["web"], {})
    hinted.fake.errors.clear()
    assert {*hinted.read().draining} == {"web"}


def test_the_rule_of_the_operator_decides() -> None:
    """With ``--no-drain-on-stop``, no event makes a container drain, and no history is asked for."""
    fake, hints = FakeDocker(up("web")), FakeHints()
    hinting = Hinting(hints, stop_rule=StopRule(on=False))
    source = Engine(fake.dial, Asking(Inline(), Clock(), hinting=hinting), stopped_too=False)
    before = source.read(soon())
    hints.give("web", HintKind.KILL, signal=TERM)
    hints.gap = True
    source.notice()
    assert source.read(soon()) is before
    assert "event history" not in fake.asked


# The history.


def test_the_first_read_knows_of_a_stop_that_is_under_way() -> None:
    """It was begun before the program ran. HUP was sent to another container, and one was started again."""
    fake = FakeDocker(up("web"), up("db"), up("again", 20))
    fake.happened = [
        event("kill", "web", 10, signal="15"),
        event("kill", "db", 11, signal="1"),
        event("kill", "again", 19, signal="15"),
        event("start", "again", 20),
        event("kill", "gone", 20, signal="9"),
        {"Type": "image"},
    ]
    assert {*reading(fake, Hinting()).draining} == {"web"}
    assert fake.inspects() == ["web", "db", "again"]


def test_the_history_is_asked_for_as_far_back_as_it_may_matter() -> None:
    """By the clock of this program. Once is enough, until events may have been missed."""
    hinted = Hinted(up("web"))
    asked: list[tuple[float, float, Any]] = []
    hinted.fake.event_history = lambda *asking: asked.append(asking) or []  # type: ignore[func-returns-value,method-assign]
    hinted.time.advance(7)
    for gap in (False, True, False):
        hinted.hints.gap = gap
        hinted.time.advance(1)
        hinted.read()
        hinted.read(full=True)
    now = EPOCH + 9
    assert asked == [(now - RECALL, now, {"type": ["container"], "event": ["start", "kill"]})]


def test_after_a_gap_a_stop_that_was_missed_is_recalled() -> None:
    """No hint told of it. The list shows the container as before."""
    hinted = Hinted(up("web"))
    hinted.fake.happened = [event("kill", "web", 30, signal="9")]
    hinted.hints.gap = True
    assert {*hinted.read().draining} == {"web"}


def test_a_start_that_was_missed_ends_the_draining() -> None:
    """Although the list shows nothing of it, so that the container is not inspected again."""
    hinted = Hinted(up("web"))
    stop(hinted)
    assert hinted.read(hurried=True).draining
    hinted.fake.happened = [event("kill", "web", 30, signal="15"), event("start", "web", 31)]
    hinted.hints.gap = True
    assert hinted.read().draining == {}


def test_an_engine_that_refuses_to_tell_its_history_is_read_without_it() -> None:
    """A proxy before it may let no events through. It is not asked again and again, and that counts as no failure."""
    fake, failures = FakeDocker(up("web")), list[None]()
    fake.errors["event history"] = refusal(403, "Forbidden")
    asking = Asking(Inline(), CLOCK, hinting=Hinting())
    source = Engine(fake.dial, asking, stopped_too=False, on_error=lambda: failures.append(None))
    for _ in range(3):
        snapshot = source.read(soon())
    assert [each.name for each in snapshot.containers] == ["web"]
    assert (fake.asked.count("event history"), failures) == (1, [])


class Behind(FakeDocker):
    """An engine whose clock is behind: it answers about its history only when ``released`` is set."""

    def __init__(self, *documents: Json) -> None:
        super().__init__(*documents)
        self.released = threading.Event()

    def event_history(self, since: float, until: float, filters: dict[str, list[str]]) -> list[Any]:
        """See EngineClient."""
        told = super().event_history(since, until, filters)
        assert self.released.wait(30)
        return told


@pytest.fixture
def behind() -> Iterator[Behind]:
    """Yield such an engine, with a container that is being stopped."""
    fake = Behind(up("web"))
    fake.happened = [event("kill", "web", 10, signal="15")]
    yield fake
    fake.released.set()


def test_an_engine_whose_clock_is_behind_is_waited_for_once(behind: Behind) -> None:
    """It answers when its clock shows the time up to which it was asked. A later read uses the answer."""
    source = Engine(behind.dial, Asking(Threads(), CLOCK, hinting=Hinting()), stopped_too=False)
    began = CLOCK.monotonic()
    for _ in range(5):
        assert source.read(soon()).draining == {}
    assert PATIENCE <= CLOCK.monotonic() - began < 2 * PATIENCE
    behind.released.set()
    wait_until(lambda: {*source.read(soon()).draining} == {"web"}, 5, "the late answer")
    assert behind.asked.count("event history") == 1


# States.


def test_a_container_in_state_stopping_drains_without_an_event() -> None:
    """Podman tells of no signal. An inspect shows the state, and so does a list of all containers."""
    hinted = Hinted(up("web"))
    hinted.set(up("web", status="stopping"))
    hinted.hints.give("web")
    hinted.notice()
    snapshot = hinted.read(hurried=True)
    assert snapshot.draining["web"].why == "the engine is stopping it"
    listed = reading(FakeDocker(up("web", status="stopping")), Hinting(), stopped_too=True)
    assert {*listed.draining} == {"web"}


@pytest.mark.parametrize("on", [True, False])
def test_a_container_in_state_stopping_may_serve_to_its_end(on: bool) -> None:
    """If the container or the operator switches draining off."""
    document = up("web", status="stopping")
    document["Config"]["Labels"] = {"SERVICE_DRAIN": "false"} if on else {}
    snapshot = reading(FakeDocker(document), Hinting(stop_rule=StopRule(on)), stopped_too=True)
    assert (snapshot.containers[0].serving, dict(snapshot.draining)) == (True, {})


def test_a_signal_says_more_than_the_state() -> None:
    """A container may have both."""
    hinted = Hinted(up("web"))
    hinted.set(up("web", status="stopping"))
    stop(hinted, signal=KILL)
    hinted.notice()
    assert hinted.read(hurried=True).draining["web"].why == "the engine has sent it the signal KILL"
