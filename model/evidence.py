"""What a pass decided by, kept for those who ask why: for ``wharfinger explain``, and for the pages of the agent."""

from __future__ import annotations

from attrs import frozen

from model.desired import Desired
from model.layout import Layout
from model.ownership import Ownership
from model.rules import Rules
from model.snapshot import Snapshot
from model.stored import Actual


@frozen(eq=False)
class Evidence:
    """What a pass read and decided. It refers to what the pass has in memory anyway, and copies nothing."""

    #: The containers, those that drain included.
    snapshot: Snapshot
    #: The operator's rules, with the owner, and with this host's address if it was guessed.
    rules: Rules
    layout: Layout
    #: What this host should have registered.
    wanted: Desired
    #: What the registry held before the changes of the pass.
    actual: Actual
    #: Which of the keys are this host's.
    ownership: Ownership
