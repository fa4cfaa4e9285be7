"""Tests of model.setbacks: when a change that the registry did not make is tried again."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from model.plan import Change
from model.report import Outcome, Result, Setback
from model.setbacks import due_at_once, in_parts, setbacks_after, waiting
from tests.support.reports import added, altered, recorded, removed, renewed

KEY = "/services/web/core-01:web:80"
CREATE = added(KEY)

#: The results of a change that was tried and not made.
NOT_MADE = [Result.FAILED, Result.REJECTED, Result.CONFLICT]


def waits(change: Change, result: Result, times: int) -> list[float]:
    """Return how many seconds a change waits after each of ``times`` tries. Each try is made when it is due, and ends
    with ``result``."""
    setbacks: Mapping[str, Setback] = {}
    found, now = [], 0.0
    for _ in range(times):
        setbacks = setbacks_after([Outcome(change, result, "no")], setbacks, now)
        found.append(setbacks[change.key].due - now)
        now = setbacks[change.key].due
    return found


@pytest.mark.parametrize("change", [CREATE, altered(KEY, "a", "b"), removed(KEY), recorded()], ids=lambda c: c.action)
def test_a_change_that_is_rejected_waits_longer_each_time_and_a_minute_at_most(change: Change) -> None:
    """This holds for every kind of change but renewals."""
    assert waits(change, Result.REJECTED, 9) == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize("result", [Result.CONFLICT, Result.FAILED], ids=lambda each: each.value)
def test_the_first_lost_race_or_answer_costs_no_time(result: Result) -> None:
    """The change is tried again at once, because the next pass reads what became of the key. If that happens again and
    again, the change waits like one that is rejected."""
    assert waits(CREATE, result, 9) == [0, 1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize("result", NOT_MADE, ids=lambda each: each.value)
def test_a_renewal_never_waits(result: Result) -> None:
    """The key would expire while its renewal waits."""
    assert waits(renewed(KEY), result, 4) == [0, 0, 0, 0]


def test_only_the_change_that_was_not_made_waits_and_only_until_it_is_due() -> None:
    """A change of another key, another action and another value are tried at once."""
    setbacks = setbacks_after([Outcome(CREATE, Result.REJECTED, "no")], {}, 100.0)
    others = [added("/services/web/core-01:db:80"), altered(KEY, "a", "b"), removed(KEY), added(KEY, "10.0.0.1:8001")]
    assert waiting(others, setbacks, 100.0) == {}
    assert waiting([CREATE, *others[:1]], setbacks, 100.9) == setbacks
    assert waiting([CREATE], setbacks, 101.0) == {}
    assert waiting([CREATE], due_at_once(setbacks), 100.0) == {}


def test_another_change_of_the_key_begins_to_count_anew() -> None:
    """The other change may succeed where the first one did not."""
    setbacks = setbacks_after([Outcome(CREATE, Result.REJECTED, "no")], {}, 0.0)
    setbacks = setbacks_after([Outcome(CREATE, Result.REJECTED, "no")], setbacks, 1.0)
    assert setbacks[KEY].tries == 2
    other = added(KEY, "10.0.0.1:8001")
    assert setbacks_after([Outcome(other, Result.REJECTED, "no")], setbacks, 2.0)[KEY].tries == 1


@pytest.mark.parametrize("result", [Result.WAITING, Result.SKIPPED, Result.PENDING], ids=lambda each: each.value)
def test_a_change_that_was_not_tried_is_remembered_as_it_was(result: Result) -> None:
    """If the change was never tried before, there is nothing to remember."""
    setbacks = setbacks_after([Outcome(CREATE, Result.REJECTED, "no")], {}, 0.0)
    assert setbacks_after([Outcome(CREATE, result, "later")], setbacks, 9.0) == setbacks
    assert setbacks_after([Outcome(CREATE, result, "later")], {}, 9.0) == {}


@pytest.mark.parametrize("outcomes", [[Outcome(CREATE, Result.APPLIED)], []], ids=["made", "not needed"])
def test_a_change_that_is_made_or_not_needed_any_more_is_forgotten(outcomes: list[Outcome]) -> None:
    """If the change fails again later, it first waits for one second."""
    setbacks = setbacks_after([Outcome(CREATE, Result.REJECTED, "no")], {}, 0.0)
    assert setbacks_after(outcomes, setbacks, 1.0) == {}


def test_a_setback_says_how_the_last_try_ended() -> None:
    """A change that first got no answer may be rejected when it is tried again."""
    setbacks = setbacks_after([Outcome(CREATE, Result.FAILED, "no answer")], {}, 0.0)
    setback = setbacks_after([Outcome(CREATE, Result.REJECTED, "denied")], setbacks, 1.0)[KEY]
    assert (setback.result, setback.detail, setback.tries) == (Result.REJECTED, "denied", 2)


def test_changes_that_got_no_answer_are_asked_for_last_and_in_more_parts_each_time() -> None:
    """One of the changes may be the cause, and the registry may answer for several changes at once or not at all. So
    the parts get smaller."""
    changes = [added(f"/a/{number}") for number in range(9)]
    fresh, silent = changes[:1], changes[1:]
    setbacks: Mapping[str, Setback] = {}
    sizes = []
    for _ in range(5):
        setbacks = setbacks_after([Outcome(each, Result.FAILED, "no answer") for each in silent], setbacks, 0.0)
        first, *parts = in_parts([*silent, *fresh], setbacks)
        assert list(first) == fresh
        assert [change for part in parts for change in part] == silent
        sizes.append([len(part) for part in parts])
    assert sizes == [[4, 4], [2] * 4, [1] * 8, [1] * 8, [1] * 8]


def test_changes_that_were_rejected_are_asked_for_together_with_new_ones() -> None:
    """The registry answered, so it is known which change it rejects."""
    setbacks = setbacks_after([Outcome(CREATE, Result.REJECTED, "no")], {}, 0.0)
    changes = [CREATE, added("/a/b")]
    assert list(in_parts(changes, setbacks)) == [changes]


def test_renewals_are_always_asked_for_together() -> None:
    """By v3 all renewals are one request, however many keys they renew."""
    changes = [renewed("/a/b"), renewed("/a/c")]
    setbacks = setbacks_after([Outcome(each, Result.FAILED, "no answer") for each in changes], {}, 0.0)
    assert list(in_parts(changes, setbacks)) == [changes]
