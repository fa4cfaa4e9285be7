"""Alive and ready."""

from __future__ import annotations

import pytest

from controller.observe.health import AllRegistries, Answer, Health
from model.plan import Plan
from model.report import PassReport, PassResult
from tests.support.fakes import FakeTime
from tests.support.reports import added, failed, planned, refused

INTERVAL, PASS_SECONDS = 2.0, 10.0

#: How late a pass may be: a few intervals and the time that a pass may take.
SLACK = 3 * INTERVAL + PASS_SECONDS


@pytest.fixture
def time() -> FakeTime:
    """The time that the agent goes by."""
    return FakeTime()


@pytest.fixture
def health(time: FakeTime) -> Health:
    """An agent that has just started."""
    return Health(INTERVAL, PASS_SECONDS, time.clock)


def test_an_agent_that_starts_is_alive_and_not_ready(health: Health) -> None:
    """It has shown nothing yet, and is given time."""
    assert health.alive().good
    assert (health.ready().good, health.ready().text) == (False, "no pass has ended yet")


def test_a_pass_that_begins_proves_nothing(health: Health) -> None:
    """Readiness waits for its end."""
    health.begun(0.0)
    assert not health.ready().good


def test_an_agent_whose_first_pass_never_ends_is_dead(health: Health, time: FakeTime) -> None:
    """Nobody waits for it for longer than the slack."""
    time.advance(SLACK)
    assert health.alive().good
    time.advance(0.1)
    assert not health.alive().good


@pytest.mark.parametrize("wait", [INTERVAL, 30.0], ids=["after a success", "in back-off"])
@pytest.mark.parametrize("report", [planned(), failed()], ids=["good", "bad"])
def test_passes_that_come_when_due_keep_it_alive(
    health: Health, time: FakeTime, wait: float, report: PassReport
) -> None:
    """Whatever they end in, and however long the back-off: a restart would mend neither engine nor etcd."""
    for _ in range(10):
        health.ended(report, 0.0, wait)
        time.advance(wait + PASS_SECONDS)
        assert health.alive().good


def test_a_loop_that_hangs_is_dead_and_says_since_when(health: Health, time: FakeTime) -> None:
    """The age of the loop is what counts, not that the process answers."""
    health.ended(planned(), 0.0, INTERVAL)
    time.advance(INTERVAL + SLACK)
    assert health.alive().text == "ok"
    time.advance(1)
    assert not health.alive().good
    assert health.alive().text == "no pass has ended since one was due 17 s ago"


def test_it_comes_to_life_again(health: Health, time: FakeTime) -> None:
    """A pass that ends after all makes up for the wait."""
    time.advance(1000)
    health.ended(planned(), 0.0, INTERVAL)
    assert health.alive().good


@pytest.mark.parametrize(
    ("report", "good", "text"),
    [
        (
            planned(added(), refusals=(refused(),), in_sync=12),
            True,
            "ok: Plan: 1 to create, 0 to update, 0 to delete, 12 in sync, 1 refused.",
        ),
        (failed(PassResult.ENGINE_ERROR, "no engine"), False, "engine-error: no engine"),
        (failed(PassResult.REGISTRY_ERROR, "no etcd"), False, "registry-error: no etcd"),
        (failed(PassResult.INTERNAL_ERROR, "ValueError: x"), False, "internal-error: ValueError: x"),
        (
            PassReport(PassResult.OPERATION_ERROR, plan=Plan(), problem="cannot create /a: no"),
            False,
            "operation-error: cannot create /a: no",
        ),
    ],
    ids=lambda value: value.result.value if isinstance(value, PassReport) else None,
)
def test_ready_is_what_the_last_pass_ended_in(health: Health, report: PassReport, good: bool, text: str) -> None:
    """Good after a success only, and the body says what the pass found or failed at."""
    health.ended(report, 0.0, 1.0)
    assert (health.ready().good, health.ready().text) == (good, text)


def test_the_last_pass_counts() -> None:
    """Readiness goes and comes with each."""
    health = Health(INTERVAL, PASS_SECONDS, FakeTime().clock)
    seen = []
    for report in (planned(), failed(), planned()):
        health.ended(report, 0.0, 1.0)
        seen.append(health.ready().good)
    assert seen == [True, False, True]


@pytest.fixture
def both(time: FakeTime) -> dict[str, Health]:
    """Two registries' loops that have just started."""
    return {label: Health(INTERVAL, PASS_SECONDS, time.clock) for label in ("etcd", "etcd-2")}


def test_one_registry_speaks_for_itself(health: Health, time: FakeTime) -> None:
    """To the letter."""
    alone = AllRegistries({"etcd": health})
    for report in (planned(in_sync=3), failed()):
        health.ended(report, 0.0, 1.0)
        assert (alone.ready(), alone.alive()) == (health.ready(), health.alive())
    time.advance(1000)
    assert (alone.alive(), alone.alive().good) == (health.alive(), False)


def test_several_are_ready_when_each_is(both: dict[str, Health]) -> None:
    """A line for each says which is not, and why; a problem does not break out of its line."""
    together = AllRegistries(both)
    assert together.ready() == Answer(False, "etcd: no pass has ended yet\netcd-2: no pass has ended yet")
    both["etcd"].ended(planned(in_sync=3), 0.0, 1.0)
    both["etcd-2"].ended(failed(problem="nobody\nanswers"), 0.0, 1.0)
    assert not together.ready().good
    assert together.ready().text.splitlines() == [
        "etcd: ok: Plan: 0 to create, 0 to update, 0 to delete, 3 in sync, 0 refused.",
        "etcd-2: registry-error: nobody\\nanswers",
    ]
    both["etcd-2"].ended(planned(), 0.0, 1.0)
    assert together.ready().good


def test_one_loop_that_hangs_is_enough(both: dict[str, Health], time: FakeTime) -> None:
    """The other's passes do not hide it."""
    together = AllRegistries(both)
    assert together.alive() == Answer(True, "etcd: ok\netcd-2: ok")
    time.advance(SLACK + 1)
    both["etcd"].ended(planned(), 0.0, INTERVAL)
    assert together.alive() == Answer(False, "etcd: ok\netcd-2: no pass has ended since one was due 17 s ago")
