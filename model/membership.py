"""Which endpoints are members of the one cluster that is written to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Self

from attrs import evolve, frozen


@frozen
class Membership:
    """The cluster that the endpoints of one URI belong to: the first that answered, until another one replaces it."""

    #: The cluster's id; empty before the first answer.
    cluster: str = ""
    #: The endpoints that have ever answered with this id.
    members: frozenset[str] = frozenset()

    def admits(self, cluster: str) -> bool:
        """Return whether an endpoint that answers with this cluster id is a member. An empty id, which stands for an
        answer without one, is admitted."""
        return cluster in {"", self.cluster} or not self.cluster

    def with_member(self, endpoint: str, cluster: str) -> Self:
        """Return what is known after a member has answered with this cluster id."""
        if not cluster or endpoint in self.members:
            return self
        return evolve(self, cluster=cluster, members=self.members | {endpoint})

    def of(self, endpoints: Collection[str]) -> Self:
        """Return what is known of these endpoints alone. The cluster stays the same: if there are only new endpoints,
        they have to belong to it, too."""
        return evolve(self, members=self.members.intersection(endpoints))

    def replaced_by(self, answered: Mapping[str, str], missed_for: float, patience: float) -> str:
        """Return the id of the cluster that has replaced this one; empty if none has.

        ``answered`` has the cluster id of each endpoint that answers now; none of them is this cluster's.
        ``missed_for`` is the number of seconds since members stopped answering and other clusters began to. A cluster
        that is only slow or away is not replaced by another one that answers meanwhile. It is replaced if all endpoints
        that answer have the same new id, and

        - most of the known members are among them: their store was wiped, or restored from a backup; or
        - no member has answered for ``patience`` seconds.
        """
        clusters = set(answered.values())
        moved = self.members & answered.keys()
        if len(clusters) != 1 or not (2 * len(moved) > len(self.members) or missed_for >= patience):
            return ""
        return clusters.pop()
