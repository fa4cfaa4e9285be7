"""The guard of creates under a custom id.

etcd can carry out a create late. A member may stand still with a create, and pass it on only after this program sent
the same create to another member, which made it, and after the key was deleted again. By then the key is absent, as it
was when the create was decided on, so the condition that the key is absent does not stop the late create. Nothing in a
key under a custom id says that it is this host's; only a claim in the owner record does. So such a create has one more
condition: that the owner record is unchanged.

In a hurried pass every write has this condition. The pass did not read the record, and another engine may have taken
over the owner name since it was read.
"""

from __future__ import annotations

from controller.registry.etcd_v3.documents import Document, is_unchanged
from model.record import RecordKeys


class RecordGuard:
    """Knows at which revision the owner records under one prefix were last read or written by this program. The reader
    and the writer of a registry share one."""

    def __init__(self, record_keys: RecordKeys) -> None:
        self._record_keys = record_keys
        self._revisions: dict[str, int] = {}
        #: Whether the present pass is hurried.
        self.hurried = False

    def note(self, owner: str, revision: int) -> None:
        """Remember that the owner's record was read or written at this revision; 0 stands for a record that is
        absent."""
        self._revisions[owner] = revision

    def revision(self, owner: str) -> int:
        """Return the revision at which the owner's record was last read or written; 0 for a record that is absent, and
        where it never was."""
        return self._revisions.get(owner, 0)

    def condition(self, owner: str) -> Document | None:
        """Return the condition that the owner's record is as it was last read or written; None if it never was."""
        revision = self._revisions.get(owner)
        return None if revision is None else is_unchanged(self._record_keys.record(owner), revision)
