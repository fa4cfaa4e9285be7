"""Find out whether two registries of one process are one place: keys of the same cluster, spelt in two ways.

Two such URIs that have an endpoint in common are refused when the settings are read. But that ``localhost`` and
``127.0.0.1`` are the same place can only be seen from the cluster id in etcd's answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.base import Reading, ReadWriteRegistry, Registry
from controller.registry.uri import RegistryUri
from model.interest import Interest
from model.record import InnerPrefix
from model.report import Outcome
from model.stored import Actual, Stored, StorePosition


class OnePlaceCheck:
    """Remembers which cluster answered for which registry. Of two registries that are the same place, it refuses the
    one that was given later."""

    def __init__(self, uris: Mapping[str, RegistryUri]) -> None:
        """``uris`` are all registries of the process by their texts, in the order in which they were given."""
        self._uris = uris
        self._clusters: dict[str, str] = {}

    @property
    def suspects(self) -> tuple[str, ...]:
        """The registries that have keys in common with another one, if both are in the same cluster."""
        return tuple(text for text in self._uris if any(self._sharing(text, other) for other in self._uris))

    def problem(self, text: str, cluster: str) -> str:
        """Note that this cluster answered for the registry with this text. Return a message if an earlier registry is
        the same place, an empty string otherwise."""
        self._clusters[text] = cluster
        for earlier in self._uris:
            if earlier == text:
                break
            if cluster and self._clusters.get(earlier) == cluster and self._sharing(text, earlier):
                return (
                    f"registry URIs {earlier!r} and {text!r} are in the same etcd cluster and have keys in common: "
                    "give one of them, or prefixes that do not contain each other"
                )
        return ""

    def _sharing(self, text: str, other: str) -> bool:
        return text != other and self._uris[text].shares_keys_with(self._uris[other])


def checked(registry: Registry, text: str, check: OnePlaceCheck) -> Registry:
    """Return the registry with a check of each read, which raises RegistryUnavailable if an earlier registry turns out
    to be the same place. Such a registry is never written either, because a pass that cannot read does not write."""
    return ReadWriteRegistry(_CheckedReader(registry, text, check), registry)


@frozen
class _CheckedReader:
    """The reader of a registry, with the check that ``checked`` describes."""

    registry: Registry
    text: str
    check: OnePlaceCheck

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """See Reader."""
        actual = self.registry.read(owner, deadline, consistent=consistent)
        self._check(actual.store_position)
        return actual

    def about_owner(self, owner: str, deadline: Deadline) -> Actual:
        """See Reader."""
        actual = self.registry.about_owner(owner, deadline)
        self._check(actual.store_position)
        return actual

    def observe(
        self, interest: Interest, deadline: Deadline, *, consistent: bool = False, hurried: bool = False
    ) -> Reading:
        """See Reader."""
        reading = self.registry.observe(interest, deadline, consistent=consistent, hurried=hurried)
        self._check(reading.store_position)
        return reading

    def look_up(self, interest: Interest, deadline: Deadline, again: frozenset[str] = frozenset()) -> Reading:
        """See Reader."""
        return self.registry.look_up(interest, deadline, again)

    def take_in(self, owner: str, outcome: Outcome) -> None:
        """See Reader. The registry has made the change itself, so its reader knows of it."""

    def _check(self, position: StorePosition | None) -> None:
        """Raise RegistryUnavailable if another registry of this agent has the same keys in the same cluster.
        ``position`` is the store position at which this registry was read."""
        if problem := self.check.problem(self.text, position.cluster if position else ""):
            raise RegistryUnavailable(problem)

    def other_records(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """See Reader."""
        return self.registry.other_records(owner, deadline)

    def inner_prefixes(self, deadline: Deadline) -> tuple[InnerPrefix, ...]:
        """See Reader."""
        return self.registry.inner_prefixes(deadline)
