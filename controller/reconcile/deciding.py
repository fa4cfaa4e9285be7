"""The functions of the model by which a pass decides, and the same ones with a memory for an agent's passes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Self

from attrs import frozen

from controller.reconcile.memo import Continued, Memo
from model.desired import Desired, desired
from model.drain_order import DrainOrder
from model.entry import Entry
from model.layout import Layout
from model.ownership import Holding, Ownership
from model.plan import Plan, plan_with_record
from model.record import OwnerRecord
from model.rules import Rules
from model.snapshot import Snapshot
from model.stored import Actual, Lifetime


@frozen
class Deciding:
    """What a pass asks the model for, in this order."""

    #: Which containers the operator drains.
    drained: Callable[[Snapshot, DrainOrder], Snapshot] = Snapshot.with_drain_order
    #: Which keys are this host's, with the claims that this agent remembers.
    ownership: Callable[[Ownership, Actual], Ownership] = Ownership.with_remembered_claims
    #: Who has which key now.
    holdings: Callable[[Ownership, Actual], Mapping[str, Holding]] = Ownership.holdings
    #: What this host should have registered.
    desired: Callable[[Snapshot, Rules, Layout, Mapping[str, Holding]], Desired] = desired
    #: For which keys the records of the other hosts are needed.
    keys_needing_other_records: Callable[[Ownership, Mapping[str, Entry], Actual, Collection[str]], Collection[str]] = (
        Ownership.keys_needing_other_records
    )
    #: What has to be changed, and the owner record that has to be there before.
    plan: Callable[[Desired, Actual, Ownership, Lifetime, str], tuple[Plan, OwnerRecord]] = plan_with_record

    @classmethod
    def remembering(cls) -> Self:
        """Return functions that remember their last answers, for the passes over one registry. A pass in which nothing
        has changed costs next to nothing with them, and one in which little has changed costs little."""
        return cls(
            Memo(Snapshot.with_drain_order),
            Memo(Ownership.with_remembered_claims),
            Memo(Ownership.holdings),
            Continued(desired),
            Memo(Ownership.keys_needing_other_records),
            Memo(plan_with_record),
        )
