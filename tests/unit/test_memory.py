"""Tests of model.memory: what a pass hands to the next one."""

from __future__ import annotations

import pytest
from attrs import evolve

from model.guard import HeldDelete
from model.memory import Memory, memory_after
from model.ownership import Known, Ownership
from model.plan import Action, Change, Plan, Reason, plan
from model.report import Outcome, PassReport, PassResult, Result
from model.snapshot import Presence
from model.stored import Actual, Stored, StorePosition
from model.take_over import LivenessWait
from tests.support.builders import OWNER, PLAIN, entry, wanting
from tests.support.reports import ONE_CHANGE_PER_ACTION, added, failed, planned, report_with_results

HELD = HeldDelete(Presence.ABSENT, 2, 5.0)
MEMORY = Memory({"/services/a": Known("x", "id")}, {"/services/b": HELD}, StorePosition("c1", 7), 3)


@pytest.mark.parametrize(
    "result",
    [each for each in PassResult if not PassReport(each).planned],
    ids=lambda each: each.value,
)
def test_a_pass_that_made_no_plan_leaves_the_memory_unchanged(result: PassResult) -> None:
    """A container that could not be read is not gone, so what is known of it stays. Only the guard starts to count
    anew."""
    assert memory_after(PassReport(result), MEMORY) == evolve(MEMORY, held_deletes={})


def test_a_written_key_is_known_and_a_deleted_key_is_forgotten() -> None:
    """A known key that is no longer there is forgotten, too."""
    known = {key: Known("x", "id") for key in ("/services/c", "/services/old")}
    after = memory_after(report_with_results(*[Result.APPLIED] * 5), Memory(known)).known
    assert {key: each.value for key, each in after.items()} == {
        "/services/a": "10.0.0.1:80",
        "/services/b": "y",
        "/services/d": "x",
    }


def test_a_key_whose_delete_failed_stays_known() -> None:
    """If it were forgotten, no pass would try again where the key's custom id does not name its owner."""
    known = {"/services/c": Known("x", "id")}
    assert "/services/c" in memory_after(report_with_results(*[Result.FAILED] * 5), Memory(known)).known


def test_keys_in_order_and_keys_whose_delete_failed_stay_known() -> None:
    """A key that was written is known from then on, and a key that was deleted is forgotten."""
    in_order, new, gone, stuck = (f"/services/{name}/core-01:web:80" for name in ("nginx", "new", "gone", "stuck"))
    value = PLAIN.value(entry())
    known = {key: Known(value, "id-web") for key in (in_order, gone, stuck)}
    actual = Actual({key: Stored(key, value, 7) for key in known})
    planned = plan(wanting(entry(), entry("new")), actual, Ownership(OWNER, PLAIN, known=known))
    results = {new: Result.APPLIED, gone: Result.APPLIED, stuck: Result.FAILED}
    outcomes = tuple(Outcome(change, results[change.key]) for change in planned.changes)
    after = memory_after(PassReport(PassResult.SUCCESS, plan=planned, outcomes=outcomes), Memory(known)).known
    assert set(after) == {in_order, new, stuck}


def test_the_keys_of_a_pass_without_changes_are_remembered_as_its_plan_has_them() -> None:
    """They are the same object, by which the next pass sees that they have not changed."""
    planned = Plan(settled={"/services/a": Known("x", "id")})
    assert memory_after(PassReport(PassResult.SUCCESS, plan=planned), Memory()).known is planned.settled


def test_held_deletes_and_store_position_come_from_the_latest_pass() -> None:
    """They replace those that the pass before remembered."""
    report = PassReport(PassResult.SUCCESS, held_deletes={"/services/x": HELD}, store_position=StorePosition("c1", 9))
    after = memory_after(report, Memory({}, {"/services/y": HELD}, StorePosition("c1", 7)))
    assert after == Memory({}, {"/services/x": HELD}, StorePosition("c1", 9), passes_since_consistent_read=1)


def test_what_was_learned_of_the_engine_outlasts_a_pass_without_a_plan() -> None:
    """A pass that does not learn the owner and the engine's id does not forget them. The wait of a take-over is always
    that of the latest pass, which may have none."""
    wait = LivenessWait("OTHER", 1.0)
    learned = PassReport(PassResult.OWNER_CONFLICT, owner="core-01", engine_id="E", take_over=wait)
    memory = memory_after(learned, Memory())
    assert memory == Memory(owner="core-01", engine_id="E", take_over=wait)
    assert memory_after(PassReport(PassResult.REGISTRY_ERROR), memory) == evolve(memory, take_over=None)


@pytest.mark.parametrize(
    ("before", "result", "replaced"),
    [
        (None, Result.APPLIED, 0),
        (7, Result.APPLIED, 7),
        (None, Result.FAILED, None),
        (7, Result.CONFLICT, None),
    ],
)
def test_the_version_of_the_note_that_was_replaced_is_kept(
    before: int | None, result: Result, replaced: int | None
) -> None:
    """If the note could not be written, no version is kept, and so the next pass writes the note. A pass that does not
    write the note changes nothing."""
    stored = None if before is None else Stored("/note", "old", before)
    change = Change(Action.NOTE, "/note", "new", stored, Reason.STARTED)
    others = Outcome(ONE_CHANGE_PER_ACTION[0], Result.APPLIED)
    report = PassReport(PassResult.SUCCESS, outcomes=(others, Outcome(change, result)))
    memory = memory_after(report, Memory(replaced_note=3))
    assert memory.replaced_note == replaced
    assert memory_after(PassReport(PassResult.SUCCESS, outcomes=(others,)), memory).replaced_note == replaced


@pytest.mark.parametrize(("replaced", "kept"), [(False, {"/services/c"}), (True, set())], ids=["same", "replaced"])
def test_a_held_back_key_stays_known_unless_the_store_was_replaced(replaced: bool, kept: set[str]) -> None:
    """When the delete of a known key is made at last, its reason is ``gone`` and not ``orphan``."""
    delete = ONE_CHANGE_PER_ACTION[2]
    report = PassReport(PassResult.SUCCESS, plan=Plan(held_back=(delete,)), replaced=replaced)
    known = {delete.key: Known("x", "id"), "/services/z": Known("x", "id")}
    assert set(memory_after(report, Memory(known)).known) == kept


def test_the_changes_that_were_not_made_are_those_of_the_latest_pass() -> None:
    """A pass that made no plan leaves the changes as they were. A pass that is told to try everything tries each of
    them at once."""
    report = planned(added("/services/a"), ended=Result.REJECTED, result=PassResult.INCOMPLETE)
    after = memory_after(report, Memory())
    assert after.setbacks == report.setbacks
    assert memory_after(failed(), after) == after
    assert [each.due for each in after.trying_everything().setbacks.values()] == [0.0]
    assert memory_after(planned(), after).setbacks == {}
