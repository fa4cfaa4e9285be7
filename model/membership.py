"""Which endpoints are members of the one cluster that is written to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from attrs import evolve, frozen


@frozen
class Membership:
    """The cluster of the endpoints of one URI: that of the first one that answered, unless another has replaced it."""

    #: The cluster's id; empty before the first answer.
    cluster: str = ""
    #: The endpoints that have ever answered as members of it.
    members: frozenset[str] = frozenset()

    def admits(self, cluster: str) -> bool:
        """Return whether an endpoint that answers with this cluster id is a member. An empty id, of an answer that has
        none, says nothing against it."""
        return cluster in {"", self.cluster} or not self.cluster

    def with_member(self, endpoint: str, cluster: str) -> Self:
        """Return what is known after a member has answered with this cluster id."""
        if not cluster or endpoint in self.members:
            return self
        return evolve(self, cluster=cluster, members=self.members | {endpoint})

    def replaced_by(self, answered: Mapping[str, str], missed_for: float, patience: float) -> str:
        """Return the id of the cluster that has replaced this one; empty if none has.

        ``answered`` are the cluster ids of all endpoints that answer now, and none of them is a member. ``missed_for``
        is for how many seconds that has been so. A cluster that is merely slow or away is not replaced by another one
        that answers meanwhile. It is replaced if all that answer agree on one id, and

        - most of its members answer with it: their store was wiped, or restored from a backup; or
        - no member has answered for ``patience`` seconds.
        """
        clusters = set(answered.values())
        moved = self.members & answered.keys()
        if len(clusters) != 1 or not (2 * len(moved) > len(self.members) or missed_for >= patience):
            return ""
        return clusters.pop()
