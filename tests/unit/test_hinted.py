"""What the engine's events change in what is read of its containers."""

from __future__ import annotations

import pytest
from attrs import evolve

from controller.effects.clock import Deadline
from controller.source.docker import LIST_INTERVAL, Asking, Engine, Hinting
from controller.source.hinted import DOUBT, DOUBT_IF_LATE, MEMORY, PATIENCE_WITH_JOINERS
from model.hint import HintKind
from model.hint_pace import CRASH_LOOP_INTERVAL, Notice
from model.snapshot import Snapshot
from model.tag_template import Query
from tests.support.fakes import FakeDocker, FakeHints, FakeTime, Json, Postponed, inspected, listed, refusal


class Lagging(FakeDocker):
    """An engine whose list shows some containers as they were before. ``list_seconds`` is how long a list takes."""

    def __init__(self, *documents: Json) -> None:
        super().__init__(*documents)
        self.time = FakeTime()
        self.shown: dict[str, Json] = {}
        self.list_seconds = 0.0

    def containers(self, *, all: bool, filters: dict[str, list[str]] | None = None) -> list[Json]:
        """See EngineClient."""
        self.time.advance(self.list_seconds)
        lines: list[Json] = super().containers(all=all, filters=filters)
        found = {line["Id"]: line for line in lines} | {each: listed(was) for each, was in self.shown.items()}
        return list(found.values())


class Hinted:
    """An engine of which a test gives hints, in time that passes only when the test says so."""

    def __init__(
        self, *documents: Json, stopped_too: bool = False, filters: tuple[tuple[str, str], ...] = (), flows: bool = True
    ) -> None:
        self.fake = Lagging(*documents)
        self.time = self.fake.time
        self.hints = FakeHints()
        self.hints.flows = flows
        self.background = Postponed()
        self.woken = self.unchanged = 0
        hinting = Hinting(self.hints, self._wake, self._count)
        asking = Asking(self.background, self.time.clock, 0.0, hinting=hinting, tags=("{{.Config.Hostname}}",))
        self.engine = Engine(self.fake.dial, asking, stopped_too=stopped_too, filters=filters)
        self.first = self.read()
        self.fake.inspects()

    def _wake(self) -> None:
        self.woken += 1

    def _count(self, number: int) -> None:
        self.unchanged += number

    def read(self, *, hurried: bool = False, full: bool = False) -> Snapshot:
        """Read the containers, a hurried time after hints were taken in."""
        if hurried:
            self.engine.notice()
        return self.engine.read(Deadline.after(10, self.time.clock), hurried=hurried, full=full)

    def notice(self) -> Notice:
        """Take in the hints."""
        return self.engine.notice()

    def states(self, *, hurried: bool = True, full: bool = False) -> dict[str, str]:
        """Read the containers, and return their states by name."""
        snapshot = self.read(hurried=hurried, full=full)
        unknown = {each.ref.name: "unknown" for each in snapshot.unknown}
        return {each.name: each.status for each in snapshot.containers} | unknown

    def set(self, *documents: Json) -> None:
        """Change containers, or start new ones."""
        self.fake.documents |= {each["Id"]: each for each in documents}

    def lists(self) -> int:
        """Return how many lists were asked for since the last call."""
        asked, self.fake.asked = self.fake.asked, []
        return sum(each.startswith("list") for each in asked)


def up(name: str, second: int = 1, **more: str) -> Json:
    """Return the inspect document of a container that was started at this second."""
    document = inspected(name, **more)  # type: ignore[arg-type] # the others are no texts
    document["State"]["StartedAt"] = f"2026-01-01T00:00:{second:02}Z"
    return document


# When the list is asked for.


def test_while_events_arrive_the_list_is_asked_for_every_five_seconds() -> None:
    """In between, an unchanged host costs no request, and the snapshot is the same object."""
    hinted = Hinted(up("web"))
    hinted.lists()
    for _ in range(4):
        hinted.time.advance(1)
        assert hinted.read() is hinted.first
    assert hinted.lists() == 0
    hinted.time.advance(LIST_INTERVAL - 4)
    assert hinted.read() is hinted.first
    assert hinted.lists() == 1


def test_a_list_that_takes_long_is_asked_for_less_often() -> None:
    """Lists take two percent of the time at most."""
    hinted = Hinted(up("web"))
    hinted.fake.list_seconds = 1.0
    hinted.read(full=True)
    hinted.lists()
    hinted.time.advance(48)
    hinted.read()
    assert hinted.lists() == 0
    hinted.time.advance(2)
    hinted.read()
    assert hinted.lists() == 1


def test_without_events_each_ordinary_read_asks_for_the_list() -> None:
    """A hurried one does not."""
    hinted = Hinted(up("web"), flows=False)
    hinted.lists()
    assert hinted.read() is hinted.read() is hinted.first
    assert hinted.lists() == 2
    hinted.read(hurried=True)
    assert hinted.lists() == 0


def test_after_a_gap_the_next_ordinary_read_asks_for_the_list() -> None:
    """Events were missed, and with them perhaps the end of a container."""
    hinted = Hinted(up("web"))
    hinted.hints.gap = True
    hinted.fake.documents.clear()
    assert hinted.states() == {"web": "running"}
    assert hinted.states(hurried=False) == {}


def test_a_full_read_always_asks_for_the_list() -> None:
    """It is for a pass that is about to delete something."""
    hinted = Hinted(up("web"))
    hinted.fake.documents.clear()
    assert hinted.states(hurried=True, full=True) == {}


def test_after_an_error_the_list_is_asked_for() -> None:
    """Another engine may answer the next request."""
    hinted = Hinted(up("web"))
    hinted.engine.close()
    hinted.fake.documents.clear()
    assert hinted.states(hurried=False) == {}


def test_a_container_that_could_not_be_read_is_looked_at_in_each_ordinary_read() -> None:
    """As without events."""
    hinted = Hinted(up("web"))
    hinted.set(up("new"))
    hinted.fake.errors["inspect new"] = refusal(500, "busy")
    assert hinted.states(hurried=False, full=True) == {"web": "running", "new": "unknown"}
    hinted.fake.errors.clear()
    hinted.time.advance(60)
    assert hinted.states(hurried=False) == {"web": "running", "new": "running"}


# Containers that start and change.


def test_a_container_that_starts_is_read_by_its_inspect_alone() -> None:
    """The next list takes it over without another inspect. The engine confirmed the container itself."""
    hinted = Hinted(up("web"))
    hinted.set(up("new"))
    hinted.hints.give("new", HintKind.START)
    hinted.time.advance(1)
    assert hinted.notice() == Notice(changed_at=1)
    assert hinted.woken == 1
    snapshot = hinted.read(hurried=True)
    assert ([each.name for each in snapshot.containers], {*snapshot.confirmed}) == (["web", "new"], {"new"})
    assert hinted.notice() == Notice()
    hinted.time.advance(LIST_INTERVAL)
    assert hinted.read() is snapshot
    assert hinted.fake.inspects() == ["new"]


def test_templates_are_answered_for_a_container_that_a_hint_names() -> None:
    """Its inspect is read in the same way as one that a list led to."""
    hinted, document = Hinted(), up("new")
    document["Config"]["Hostname"] = "web-1"
    hinted.set(document)
    hinted.hints.give("new", HintKind.START)
    (container,) = hinted.read(hurried=True).containers
    assert container.answers == {Query(("Config", "Hostname")): "web-1"}


def test_a_hint_of_a_container_that_did_not_change_makes_no_pass() -> None:
    """It is counted as one that changed nothing."""
    hinted = Hinted(up("web"))
    hinted.hints.give("web", HintKind.KILL)
    hinted.notice()
    assert hinted.notice() == Notice()
    assert hinted.unchanged == 1
    assert hinted.read(hurried=True) is hinted.first


def test_a_container_that_is_only_created_changes_nothing() -> None:
    """It is not among the containers that a list shows."""
    hinted = Hinted(up("web"))
    hinted.set(inspected("new", status="created"))
    hinted.hints.give("new")
    hinted.notice()
    assert hinted.notice() == Notice()


def test_a_container_that_changes_takes_the_place_of_what_it_was() -> None:
    """As after a rename. An ordinary read without a list sees it, too."""
    hinted = Hinted(up("web"), up("db"))
    hinted.set({**up("web"), "Name": "/www"})
    hinted.hints.give("web")
    hinted.notice()
    assert hinted.states(hurried=False) == {"www": "running", "db": "running"}


def test_a_hint_during_an_inspect_has_the_container_inspected_again() -> None:
    """The first answer may be older than the hint, and is used all the same."""
    hinted = Hinted()
    hinted.background.postpones = True
    hinted.set(up("new"))
    hinted.hints.give("new")
    hinted.notice()
    hinted.hints.give("new")
    hinted.notice()
    hinted.background.go()
    assert hinted.states() == {"new": "running"}
    assert hinted.notice() == Notice()
    assert hinted.fake.inspects() == ["new", "new"]


def test_an_inspect_that_fails_is_made_up_for_by_the_list() -> None:
    """The next ordinary read asks for it."""
    hinted = Hinted(up("web"))
    hinted.set({**up("web"), "Name": "/www"})
    hinted.fake.errors["inspect web"] = refusal(500, "busy")
    hinted.hints.give("web")
    hinted.notice()
    assert hinted.notice() == Notice()
    hinted.fake.errors.clear()
    assert hinted.states(hurried=False) == {"www": "running"}


def test_when_a_container_starts_those_that_join_its_network_are_inspected() -> None:
    """They may have been started again, too, and their start decides whether the network is alive."""
    side = up("side", 5)
    side["HostConfig"]["NetworkMode"] = "container:net"
    hinted = Hinted(side, up("net", 1), up("other"))
    hinted.set(up("net", 9))
    hinted.hints.give("net", HintKind.START)
    hinted.notice()
    hinted.notice()
    assert hinted.fake.inspects() == ["net", "side"]


def joined() -> Hinted:
    """Return a hinted engine in which a container and one that joins its network were started again, and only the hint
    of the first one's start has arrived. No inspect answers yet."""
    side, again = up("side", 5), up("side", 9)
    for each in (side, again):
        each["HostConfig"]["NetworkMode"] = "container:net"
    hinted = Hinted(side, up("net", 1))
    hinted.background.postpones = True
    hinted.set(up("net", 8), again)
    hinted.hints.give("net", HintKind.START)
    hinted.notice()
    return hinted


def answer(hinted: Hinted) -> None:
    """Let the inspects answer that wait."""
    hinted.background.go()
    hinted.background.postpones = True


def started(snapshot: Snapshot) -> dict[str, int]:
    """Return the seconds of the containers' starts, by name."""
    return {each.name: int(each.started[17:19]) for each in snapshot.containers}


def test_a_start_acts_together_with_that_of_a_container_that_joins_the_network() -> None:
    """No pass sees the one without the other, because it would take the entries of the one that joins away."""
    hinted = joined()
    for _ in range(2):
        assert started(hinted.read(hurried=True)) == started(hinted.read()) == {"side": 5, "net": 1}
        answer(hinted)
    assert started(hinted.read(hurried=True)) == {"side": 9, "net": 8}
    assert hinted.fake.inspects() == ["net", "side"]


def test_a_start_does_not_wait_for_ever_for_a_container_that_joins_the_network() -> None:
    """The inspect of that one may have no answer."""
    hinted = joined()
    answer(hinted)
    assert hinted.notice() == Notice(None, PATIENCE_WITH_JOINERS)
    hinted.time.advance(PATIENCE_WITH_JOINERS)
    assert hinted.notice().changed_at is not None
    assert started(hinted.read(hurried=True)) == {"side": 5, "net": 8}


def test_with_filters_a_hurried_read_asks_for_both_lists() -> None:
    """Only a list tells what the filters select."""
    hinted = Hinted(up("web"), filters=(("name", "web"),))
    hinted.lists()
    hinted.read(hurried=True)
    assert hinted.lists() == 2


def test_a_list_that_lacks_a_container_does_not_confirm_its_end() -> None:
    """It was confirmed that the container runs. The list of an engine that is being restarted may be empty."""
    hinted = Hinted(up("web"))
    hinted.hints.give("web", HintKind.KILL)
    assert hinted.read(hurried=True) is hinted.first
    hinted.fake.documents.clear()
    snapshot = hinted.read(full=True)
    assert (snapshot.containers, {*snapshot.confirmed}) == ((), set())


# Containers that end.


def ending(*documents: Json) -> Hinted:
    """Return a hinted engine with a container, and others, that has just ended by an event. Its list still shows the
    container, and its inspect does not answer yet."""
    hinted = Hinted(up("web"), *documents)
    hinted.background.postpones = True
    hinted.fake.shown["web"] = up("web")
    hinted.set(inspected("web", status="exited"))
    hinted.hints.give("web", HintKind.DIE)
    return hinted


def test_an_end_counts_at_once_and_whatever_the_list_shows() -> None:
    """It waits a millisecond for an inspect that says that the container runs."""
    hinted = ending(up("db"))
    assert hinted.notice() == Notice(None, DOUBT)
    hinted.time.advance(DOUBT)
    assert hinted.notice().changed_at == pytest.approx(DOUBT)
    snapshot = hinted.read(hurried=True)
    assert ([each.name for each in snapshot.containers], {*snapshot.confirmed}) == (["db"], {"web"})
    assert hinted.states(hurried=False, full=True) == {"db": "running"}
    hinted.background.go()
    assert hinted.states(hurried=False) == {"db": "running"}
    hinted.fake.shown.clear()
    assert hinted.read(full=True).confirmed == {"web"}
    assert hinted.states(hurried=False, full=True) == {"db": "running"}


def test_an_end_that_a_signal_announced_does_not_wait() -> None:
    """Two events tell of it."""
    hinted = Hinted(up("web"))
    hinted.hints.give("web", HintKind.KILL)
    hinted.notice()
    hinted.background.postpones = True
    hinted.hints.give("web", HintKind.DIE)
    assert hinted.notice().changed_at == 0
    assert hinted.states() == {}


def test_an_end_that_is_told_late_waits_longer_for_an_inspect() -> None:
    """The container may run again by then, even if a signal announced its end."""
    hinted = Hinted(up("web"))
    hinted.background.postpones = True
    hinted.hints.give("web", HintKind.KILL)
    hinted.hints.give("web", HintKind.DIE)
    hinted.hints.waiting[-1] = evolve(hinted.hints.waiting[-1], late=True)
    assert hinted.notice() == Notice(None, DOUBT_IF_LATE)
    hinted.set(up("web", second=9))
    hinted.background.go()
    assert hinted.states() == {"web": "running"}


def test_an_inspect_that_says_that_the_container_runs_refutes_its_end() -> None:
    """The event was false. The container was never away."""
    hinted = Hinted(up("web"))
    hinted.hints.give("web", HintKind.DIE)
    hinted.notice()
    assert hinted.notice() == Notice()
    assert hinted.read(hurried=True) is hinted.first


def test_a_late_inspect_brings_a_container_back() -> None:
    """So a false event costs the container its place for a moment only."""
    hinted = Hinted(up("web"))
    hinted.background.postpones = True
    hinted.hints.give("web", HintKind.DIE)
    hinted.notice()
    hinted.time.advance(DOUBT)
    assert hinted.states() == {}
    hinted.background.go()
    assert hinted.states() == {"web": "running"}


def test_an_inspect_from_before_the_end_does_not_refute_it() -> None:
    """It was asked for another reason, and its answer is old."""
    hinted = Hinted(up("web"))
    hinted.background.postpones = True
    hinted.hints.give("web", HintKind.KILL)
    hinted.notice()
    hinted.background.go()
    hinted.background.postpones = True
    hinted.time.advance(0.1)
    hinted.set(inspected("web", status="exited"))
    hinted.hints.give("web", HintKind.DIE)
    hinted.notice()
    hinted.time.advance(DOUBT)
    assert hinted.states() == {}


def test_the_end_of_an_earlier_run_changes_nothing() -> None:
    """Such an event is late, or doubled."""
    hinted = Hinted(up("web", 40))
    hinted.background.postpones = True
    hinted.hints.give("web", HintKind.DIE, 30)
    hinted.notice()
    hinted.time.advance(DOUBT)
    assert hinted.notice() == Notice()
    assert hinted.states(hurried=False, full=True) == {"web": "running"}


def test_a_container_that_starts_again_is_back_after_its_inspect() -> None:
    """An event of its start alone does not tell its ports."""
    hinted = ending()
    hinted.notice()
    hinted.time.advance(DOUBT)
    assert hinted.states() == {}
    hinted.set(up("web", 35))
    hinted.hints.give("web", HintKind.START, 35)
    hinted.notice()
    assert hinted.states() == {}
    hinted.background.go()
    assert hinted.states() == {"web": "running"}


def test_an_ended_container_that_the_list_shows_is_inspected_once_more_if_its_inspect_failed() -> None:
    """It stays ended while there is no answer. Its start may have been missed, so the answer decides."""
    hinted = ending()
    hinted.fake.errors["inspect web"] = refusal(500, "busy")
    hinted.notice()
    hinted.time.advance(DOUBT)
    hinted.background.go()
    assert hinted.states(hurried=False) == {}
    hinted.fake.errors.clear()
    hinted.set(up("web", 35))
    hinted.time.advance(60)
    assert hinted.states(hurried=False, full=True) == {"web": "running"}


def test_an_end_that_matters_by_its_exit_code_waits_for_the_inspect() -> None:
    """With ``-deregister on-success``."""
    hinted = Hinted(up("web"), stopped_too=True)
    hinted.background.postpones = True
    hinted.set(inspected("web", status="exited", exit_code=3))
    hinted.hints.give("web", HintKind.DIE)
    hinted.notice()
    hinted.time.advance(1)
    assert hinted.states() == {"web": "running"}
    hinted.background.go()
    (container,) = hinted.read(hurried=True).containers
    assert (container.status, container.exit_code) == ("exited", 3)


def test_a_container_of_which_nothing_is_known_does_not_end_without_an_inspect() -> None:
    """Its event may be that of an earlier run."""
    hinted = Hinted(up("web"))
    hinted.set(up("new"))
    hinted.fake.errors["inspect new"] = refusal(500, "busy")
    assert hinted.states(hurried=False, full=True) == {"web": "running", "new": "unknown"}
    hinted.hints.give("new", HintKind.DIE)
    hinted.notice()
    hinted.time.advance(DOUBT)
    assert hinted.notice() == Notice()
    assert hinted.states() == {"web": "running", "new": "unknown"}


def test_a_container_that_is_removed_is_gone() -> None:
    """Its inspect says that there is none."""
    hinted = Hinted(up("web"))
    hinted.fake.documents.clear()
    hinted.hints.give("web")
    hinted.notice()
    assert hinted.states() == {}
    assert hinted.read(hurried=True).confirmed == {"web"}


# Crash loops.


def test_a_container_in_a_crash_loop_acts_once_a_second() -> None:
    """Others are not slowed down, and an ordinary read sees it as it is."""
    hinted = Hinted(up("db"))
    for second in (31.0, 32.0):
        hinted.hints.give("web", HintKind.START, second)
        hinted.hints.give("web", HintKind.DIE, second + 0.5)
    hinted.notice()
    hinted.notice()
    hinted.set(up("web", 33))
    hinted.hints.give("web", HintKind.START, 33.0)
    hinted.time.advance(0.25)
    hinted.notice()
    assert hinted.notice() == Notice(None, CRASH_LOOP_INTERVAL)
    hinted.set(up("other"))
    hinted.hints.give("other", HintKind.START)
    hinted.notice()
    assert hinted.notice().changed_at == pytest.approx(0.25)
    assert hinted.states() == {"db": "running", "other": "running"}
    hinted.time.advance(CRASH_LOOP_INTERVAL - 0.25)
    assert hinted.notice().changed_at == pytest.approx(CRASH_LOOP_INTERVAL)
    assert hinted.states() == {"db": "running", "other": "running", "web": "running"}
    hinted.set(inspected("web", status="exited"))
    hinted.hints.give("web", HintKind.DIE, 34.0)
    hinted.notice()
    assert hinted.notice().changed_at is None
    assert hinted.states(hurried=False) == {"db": "running", "other": "running"}


def test_the_runs_of_a_container_that_went_away_are_forgotten() -> None:
    """Some time after it was listed last, it is like a new one."""
    hinted = Hinted(up("db"))
    for second in (31.0, 32.0):
        hinted.hints.give("web", HintKind.START, second)
        hinted.hints.give("web", HintKind.DIE, second + 0.5)
    hinted.notice()
    hinted.time.advance(MEMORY + 1)
    hinted.read(full=True)
    hinted.set(up("web", 33))
    hinted.hints.give("web", HintKind.START, 33.0)
    hinted.notice()
    assert hinted.notice().look_at is None
