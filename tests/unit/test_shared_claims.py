"""Claims that two agents have to do with: two on one host, or the next host that waits for an id."""

from __future__ import annotations

import pytest

from model.desired import Desired
from model.layout import PlainLayout
from model.ownership import Known, Ownership
from model.plan import Action, plan
from model.record import Claim, OwnerRecord
from model.stored import Actual, Stored
from tests.support.builders import entry

LAYOUT = PlainLayout.under("/services")
CUSTOM, DEFAULT = "/services/web/shared", "/services/web/core-01:web:80"
VALUE = "192.0.2.1:80"
CLAIM = Claim("id-web", (VALUE,))


def holding(value: str, key: str = CUSTOM) -> Actual:
    """A store with one key."""
    return Actual({key: Stored(key, value, 7)})


def others(value: str) -> list[OwnerRecord]:
    """The record of another host that claims the key with this value, and one that claims nothing."""
    return [OwnerRecord("B", {CUSTOM: Claim("id-other", (value,))}), OwnerRecord("C")]


@pytest.mark.parametrize(("theirs", "deletes"), [(VALUE, 0), ("192.0.2.2:80", 1)])
def test_what_we_want_no_more_is_the_one_who_wrote_the_same(theirs: str, deletes: int) -> None:
    """A claim with another value is one that came too late: the key is still ours to remove."""
    actual = holding(VALUE)
    ownership = Ownership("core-01", LAYOUT, {CUSTOM: CLAIM}).with_other_records(others(theirs), {}, actual)
    result = plan(Desired(), actual, ownership)
    assert (result.count(Action.DELETE), result.foreign) == (deletes, 1 - deletes)
    assert len(ownership.next_claims({}, actual)) == deletes


def test_what_we_want_and_hold_stays_ours() -> None:
    """Whoever claims it, too."""
    wanted = {CUSTOM: entry("web", "shared")}
    ownership = Ownership("core-01", LAYOUT, {CUSTOM: CLAIM}).with_other_records(others(VALUE), wanted, holding(VALUE))
    assert ownership.claims == {CUSTOM: CLAIM}
    assert ownership.contested == {CUSTOM}


@pytest.mark.parametrize(("value", "claimed"), [(VALUE, True), ("192.0.2.2:80", False)])
def test_what_we_have_just_written_is_claimed_again(value: str, claimed: bool) -> None:
    """Another agent of this host may have taken the claim out of the record in between; what holds another value by
    now is not what we have written."""
    ownership = Ownership("core-01", LAYOUT, known={CUSTOM: Known(VALUE, "id-web")}).with_remembered_claims(
        holding(value)
    )
    assert ownership.claims == ({CUSTOM: CLAIM} if claimed else {})
    assert plan(Desired(), holding(value), ownership).count(Action.DELETE) == claimed


def test_a_claim_that_is_in_the_record_is_not_touched_by_memory() -> None:
    """It may know more; and an id that tells its owner needs none."""
    claim = Claim("id-new", (VALUE, "192.0.2.2:80"))
    known = {CUSTOM: Known(VALUE, "id-web"), DEFAULT: Known(VALUE, "id-web")}
    before = Ownership("core-01", LAYOUT, {CUSTOM: claim}, known)
    assert before.with_remembered_claims(holding(VALUE)).claims == {CUSTOM: claim}
    assert before.with_remembered_claims(holding(VALUE, DEFAULT)).claims == {CUSTOM: claim}


@pytest.mark.parametrize(("held", "doubts"), [((), {CUSTOM}), (("id-web",), set()), (("id-other",), {CUSTOM})])
def test_others_need_not_be_asked_about_what_stays_as_it_is(held: tuple[str, ...], doubts: set[str]) -> None:
    """A failed container can be held for days: its passes cost no more than others."""
    ownership = Ownership("core-01", LAYOUT, {CUSTOM: CLAIM})
    assert ownership.keys_needing_other_records({}, holding(VALUE), held) == doubts
    assert ownership.keys_needing_other_records({}, holding("192.0.2.2:80"), held) == {CUSTOM}
