"""Health: whether the loops of an agent are alive and ready."""

from __future__ import annotations

import pytest
from attrs import evolve

from controller.observe.answer import Answer
from controller.observe.health import AllRegistries, Health
from model.plan import Plan
from model.report import PassReport, PassResult, Result
from tests.support.fakes import FakeTime
from tests.support.reports import DETAIL, added, failed, planned, refused

INTERVAL, PASS_SECONDS = 2.0, 10.0

#: How many seconds late a pass may be: three intervals and the time that a pass may take.
SLACK = 3 * INTERVAL + PASS_SECONDS


@pytest.fixture
def time() -> FakeTime:
    """Return the time that the health of the loops is measured by."""
    return FakeTime()


@pytest.fixture
def health(time: FakeTime) -> Health:
    """Return the health of a loop that has just started."""
    return Health(INTERVAL, PASS_SECONDS, time.clock)


# One loop: alive.


def test_a_loop_that_has_just_started_is_alive_and_not_ready(health: Health) -> None:
    """It is not ready because no pass has ended yet."""
    assert health.alive().good
    assert (health.ready().good, health.ready().text) == (False, "no pass has ended yet")


def test_a_loop_whose_first_pass_does_not_end_in_time_is_not_alive(health: Health, time: FakeTime) -> None:
    """The first pass may take as long as any other: three intervals and the time of a pass."""
    time.advance(SLACK)
    assert health.alive().good
    time.advance(0.1)
    assert not health.alive().good


@pytest.mark.parametrize("wait", [INTERVAL, 30.0], ids=["after a success", "in back-off"])
@pytest.mark.parametrize("report", [planned(), failed()], ids=["good", "bad"])
def test_a_loop_whose_passes_end_when_they_are_due_is_alive(
    health: Health, time: FakeTime, wait: float, report: PassReport
) -> None:
    """The result of the passes and the length of the back-off do not matter: a restart would repair neither the engine
    nor etcd."""
    for _ in range(10):
        health.ended(report, 0.0, wait)
        time.advance(wait + PASS_SECONDS)
        assert health.alive().good


def test_a_loop_that_hangs_is_not_alive_and_says_since_when(health: Health, time: FakeTime) -> None:
    """The text has the seconds since the next pass was due."""
    health.ended(planned(), 0.0, INTERVAL)
    time.advance(INTERVAL + SLACK)
    assert health.alive().text == "ok"
    time.advance(1)
    assert not health.alive().good
    assert health.alive().text == "no pass has ended since one was due 17 s ago"


def test_a_loop_is_alive_again_when_a_late_pass_ends(health: Health, time: FakeTime) -> None:
    """The next pass is due from that moment."""
    time.advance(1000)
    health.ended(planned(), 0.0, INTERVAL)
    assert health.alive().good


# One loop: ready.


def test_a_pass_that_begins_does_not_make_the_loop_ready(health: Health) -> None:
    """The loop is ready when a pass has ended with success."""
    health.begun(0.0)
    assert not health.ready().good


@pytest.mark.parametrize(
    ("report", "good", "text"),
    [
        (
            planned(added(), refusals=(refused(),), wanted=14, in_sync=12),
            True,
            "ok: 13 of 14 entries in sync, 1 refused.",
        ),
        (failed(PassResult.ENGINE_ERROR, "no engine"), False, "engine-error: no engine"),
        (failed(PassResult.REGISTRY_ERROR, "no etcd"), False, "registry-error: no etcd"),
        (failed(PassResult.INTERNAL_ERROR, "ValueError: x"), False, "internal-error: ValueError: x"),
        (planned(added(), ended=Result.REJECTED, result=PassResult.INCOMPLETE), True, f"incomplete: {DETAIL}"),
        (planned(added(), ended=Result.SKIPPED, result=PassResult.UNFINISHED), True, f"unfinished: {DETAIL}"),
        (
            PassReport(PassResult.OPERATION_ERROR, plan=Plan(), problem="cannot create /a: no"),
            False,
            "operation-error: cannot create /a: no",
        ),
    ],
    ids=lambda value: value.result.value if isinstance(value, PassReport) else None,
)
def test_a_loop_is_ready_only_while_the_entries_follow_the_host(
    health: Health, report: PassReport, good: bool, text: str
) -> None:
    """The text has the state after a successful pass, and the result and the problem of any other pass."""
    health.ended(report, 0.0, 1.0)
    assert (health.ready().good, health.ready().text) == (good, text)


def test_a_loop_whose_host_has_another_name_is_ready_and_says_so(health: Health) -> None:
    """The loop is ready because its entries are in order under the old name. The text has both names."""
    health.ended(evolve(planned(wanted=3, in_sync=3), new_name="core-02"), 0.0, 1.0)
    assert health.ready() == Answer(
        True,
        "ok: 3 of 3 entries in sync, 0 refused. "
        "The engine calls this host 'core-02' now; its entries stay under 'core-01' until a restart.",
    )


def test_readiness_follows_the_last_pass() -> None:
    """A failed pass makes the loop unready, and the next successful one makes it ready again."""
    health = Health(INTERVAL, PASS_SECONDS, FakeTime().clock)
    ready = []
    for report in (planned(), failed(), planned()):
        health.ended(report, 0.0, 1.0)
        ready.append(health.ready().good)
    assert ready == [True, False, True]


def test_a_loop_that_hangs_is_not_ready(health: Health, time: FakeTime) -> None:
    """Its last pass was good, but nothing follows the containers any more. When a pass ends, it is ready again."""
    health.ended(planned(), 0.0, INTERVAL)
    time.advance(INTERVAL + SLACK + 1)
    assert health.ready() == health.alive() == Answer(False, "no pass has ended since one was due 17 s ago")
    health.ended(planned(), 0.0, INTERVAL)
    assert health.ready().good


# The loops of several registries.


@pytest.fixture
def both(time: FakeTime) -> dict[str, Health]:
    """Return the health of two loops that have just started, by the labels of their registries."""
    return {label: Health(INTERVAL, PASS_SECONDS, time.clock) for label in ("etcd", "etcd-2")}


def test_an_agent_with_one_registry_answers_as_its_loop_does(health: Health, time: FakeTime) -> None:
    """The answers do not have the label of the registry."""
    alone = AllRegistries({"etcd": health})
    for report in (planned(in_sync=3), failed()):
        health.ended(report, 0.0, 1.0)
        assert (alone.ready(), alone.alive()) == (health.ready(), health.alive())
    time.advance(1000)
    assert (alone.alive(), alone.alive().good) == (health.alive(), False)


def test_an_agent_with_several_registries_is_ready_if_all_their_loops_are(both: dict[str, Health]) -> None:
    """The text has one line for each registry. A line break in a problem is escaped."""
    together = AllRegistries(both)
    assert together.ready() == Answer(False, "etcd: no pass has ended yet\netcd-2: no pass has ended yet")
    both["etcd"].ended(planned(wanted=3, in_sync=3), 0.0, 1.0)
    both["etcd-2"].ended(failed(problem="nobody\nanswers"), 0.0, 1.0)
    assert not together.ready().good
    assert together.ready().text.splitlines() == [
        "etcd: ok: 3 of 3 entries in sync, 0 refused.",
        "etcd-2: registry-error: nobody\\nanswers",
    ]
    both["etcd-2"].ended(planned(), 0.0, 1.0)
    assert together.ready().good


def test_an_agent_with_several_registries_is_not_alive_if_one_loop_hangs(
    both: dict[str, Health], time: FakeTime
) -> None:
    """The passes of the other loop do not hide it."""
    together = AllRegistries(both)
    assert together.alive() == Answer(True, "etcd: ok\netcd-2: ok")
    time.advance(SLACK + 1)
    both["etcd"].ended(planned(), 0.0, INTERVAL)
    assert together.alive() == Answer(False, "etcd: ok\netcd-2: no pass has ended since one was due 17 s ago")
