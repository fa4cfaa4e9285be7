"""When a change that the registry did not make is tried again. Each such change has a wait of its own, so that it holds
up no other change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import evolve

from model.plan import Action, Change
from model.report import Outcome, Result, Setback

#: The most seconds that a change waits until it is tried again.
LONGEST_WAIT = 60.0

#: The results of a change that was tried and not made.
_NOT_MADE = frozenset({Result.FAILED, Result.REJECTED, Result.CONFLICT})


def waiting(changes: Iterable[Change], setbacks: Mapping[str, Setback], now: float) -> dict[str, Setback]:
    """Return, by key, the setbacks of the ``changes`` that are not to be tried yet. ``now`` is in monotonic seconds."""
    found = ((change.key, setback) for change in changes if (setback := _setback_of(change, setbacks)))
    return {key: setback for key, setback in found if setback.due > now}


def in_parts(changes: Sequence[Change], setbacks: Mapping[str, Setback]) -> Iterator[Sequence[Change]]:
    """Yield the changes in parts, each of which the registry is asked to make at once.

    The first part has all changes that got an answer at their last try, or were not tried yet. The changes that got no
    answer come last, because each request for them may cost its whole time limit. A registry that makes several changes
    in one request answers for all of them or for none, and a single one may be the cause. So the parts get smaller with
    each try, a half, a quarter and so on, until the cause is alone. Renewals stay in the first part, because none of
    them can be the cause.
    """
    silent = {
        key: each for key, each in setbacks.items() if each.result is Result.FAILED and each.action is not Action.RENEW
    }
    tries = {change.key: setback.tries for change in changes if (setback := _setback_of(change, silent))}
    yield [change for change in changes if change.key not in tries]
    for number in sorted(set(tries.values())):
        part = [change for change in changes if tries.get(change.key) == number]
        size = max(1, len(part) >> number)
        yield from (part[start : start + size] for start in range(0, len(part), size))


def setbacks_after(outcomes: Iterable[Outcome], setbacks: Mapping[str, Setback], now: float) -> dict[str, Setback]:
    """Return, by their keys, the changes that were not made when they were last tried.

    ``setbacks`` are those of the pass before, and ``now`` is in monotonic seconds. A change that is not among the
    outcomes is forgotten, because the pass did not need it, or needed another change of the same key.
    """
    after = {}
    for outcome in outcomes:
        setback = _setback_of(outcome.change, setbacks)
        if outcome.result in _NOT_MADE:
            after[outcome.change.key] = _set_back(outcome, setback.tries + 1 if setback else 1, now)
        elif setback and outcome.result is not Result.APPLIED:
            after[outcome.change.key] = setback
    return after


def due_at_once(setbacks: Mapping[str, Setback]) -> dict[str, Setback]:
    """Return the same setbacks, all of which may be tried again at once."""
    return {key: evolve(each, due=0.0) for key, each in setbacks.items()}


def _setback_of(change: Change, setbacks: Mapping[str, Setback]) -> Setback | None:
    setback = setbacks.get(change.key)
    return setback if setback and setback.is_of(change) else None


def _set_back(outcome: Outcome, tries: int, now: float) -> Setback:
    change = outcome.change
    return Setback(change.action, change.value, outcome.result, outcome.detail, tries, now + _wait(outcome, tries))


def _wait(outcome: Outcome, tries: int) -> float:
    """Return how many seconds a change waits that was tried ``tries`` times in a row and not made: 1, 2, 4 and so on.

    After the first lost race or lost answer it does not wait, because the next pass reads what became of the key.
    Renewals do not wait, because keys expire meanwhile.
    """
    if outcome.change.action is Action.RENEW:
        return 0.0
    doublings = tries - 1 if outcome.result is Result.REJECTED else tries - 2
    return min(2.0**doublings, LONGEST_WAIT) if doublings >= 0 else 0.0
