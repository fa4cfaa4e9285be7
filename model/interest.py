"""Which keys under a prefix matter to one host, so that a pass need not read those of all others.

A *place* is what can be looked at by itself: a key, or, if the text ends in a slash, everything below a key.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from model.entry import DefaultId
from model.keys import ancestors, is_utf8
from model.layout import Layout
from model.stored import Actual


@frozen
class Interest:
    """The keys that matter to one host: those whose ids name it, wherever they are, and those that are given here."""

    #: This host, as it stands in ids.
    owner: str
    layout: Layout
    #: The keys that the host's record claims, and those that the agent remembers.
    held: frozenset[str] = frozenset()
    #: The keys that the host's entries want, whether or not they get them.
    wanted: frozenset[str] = frozenset()
    #: Whether this host may have keys that neither the fields above nor its record name, and whose lifetimes need care:
    #: with -ttl they have to be renewed, and without it they must lose the lifetime that an earlier agent gave them.
    #: That is so while the engine does not describe a container, for example after a start while its inspects hang.
    renews_unknown_keys: bool = False

    @property
    def keys(self) -> frozenset[str]:
        """All keys that are given."""
        return self.held | self.wanted

    def names_owner(self, key: str) -> bool:
        """Return whether the key's id names the host as its owner."""
        key_id = self.layout.id_of(key)
        return key_id.startswith(f"{self.owner}:") and DefaultId.parse(key_id) is not None and is_utf8(key)

    def places(self, actual: Actual) -> frozenset[str]:
        """Return the places that decide about the given keys. Where a key hides the keys above it, these are also what
        lies above and below each wanted key that is absent."""
        if not self.layout.nesting_hides:
            return self.keys
        return self.keys.union(*(_around(key, self.layout.prefix) for key in self.wanted - actual.stored.keys()))

    def unobserved(self, actual: Actual) -> frozenset[str]:
        """Return the places that decide about the given keys and that were not looked at."""
        return frozenset() if actual.observed is None else self.places(actual) - actual.observed

    def without_others(self, actual: Actual) -> frozenset[str]:
        """Return the observed places that still matter: those that decide about the given keys, and the keys that are
        there and whose ids name the owner."""
        places, observed = self.places(actual), actual.observed or frozenset()
        rest = observed - places
        return (observed & places) | {each for each in rest if each in actual.stored and self.names_owner(each)}


def _around(key: str, prefix: str) -> Iterator[str]:
    """Yield the place below a key, and the keys above it that lie below the prefix."""
    yield f"{key}/"
    yield from (each for each in ancestors(key) if len(each) > len(prefix))
