"""Which keys are this host's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Self

from attrs import evolve, field, frozen

from model.entry import DefaultId, Entry
from model.frozen import frozen_dict
from model.keys import is_utf8
from model.layout import Layout
from model.record import Claim, InnerPrefix, OwnerRecord, claimed_keys
from model.stored import Actual, Stored


@frozen
class Known:
    """A key that this agent found or put in order in an earlier pass.

    It tells drift from an ordinary change, and finds the keys of a container whose name is not in them. It also
    restores a claim that another agent of this host took out of the record. A plan without it has the same changes with
    other reasons.
    """

    value: str
    container_id: str
    #: The container's name, for messages; empty where not known.
    container_name: str = ""


@frozen
class Holding:
    """Who has a key now."""

    #: The id of the container that our owner record claims the key for; empty where the record does not claim it.
    container_id: str
    #: The key's value; empty where the key is absent.
    value: str
    #: The name of the container in the key's id; empty for a custom id.
    container_name: str = ""


@frozen
class Ownership:
    """Decides which keys are this host's:

    ======================  =====================  ===================================  ================
    id                      our record's claim     the key's value                      owner
    ======================  =====================  ===================================  ================
    ``<owner>:<c>:<port>``  any                    any                                  we
    ``<other>:<c>:<port>``  any                    any                                  somebody else
    custom                  none                   any                                  somebody else
    custom                  with values            one of them                          we
    custom                  with values            another, and nobody else claims it   we (overwritten)
    custom                  with values            another, and somebody else claims    somebody else
    ======================  =====================  ===================================  ================

    A key that is not UTF-8 is somebody else's, whatever its id looks like. A key below an inner prefix is somebody
    else's, too: the agents of that prefix keep it.
    """

    #: This host, as it stands in ids.
    owner: str
    layout: Layout
    #: The keys that our owner record claims.
    claims: Mapping[str, Claim] = field(factory=dict, converter=frozen_dict)
    #: The keys that this agent found in order before.
    known: Mapping[str, Known] = field(factory=dict, converter=frozen_dict)
    #: The keys that other hosts' records claim. Empty until ``with_other_records``.
    contested: frozenset[str] = frozenset()
    #: The prefixes within this one that have owner records of their own.
    inner: tuple[InnerPrefix, ...] = ()
    #: Whether this pass may take over a key under a custom id that nobody claims, if it holds the wanted value.
    may_adopt: bool = False

    def id_is_ours(self, key: str) -> bool:
        """Return whether the key's id itself names this host as its owner."""
        return self._own_default_id(key) is not None

    def _own_default_id(self, key: str) -> DefaultId | None:
        """Return the key's id if it names this host as its owner."""
        return _default_id_of(self.owner, self.layout, key)

    def inner_prefix_of(self, key: str) -> InnerPrefix | None:
        """Return the inner prefix that a key lies below, or None."""
        return next((each for each in self.inner if each.contains(key)), None) if self.inner else None

    def owns(self, stored: Stored) -> bool:
        """Return whether the key can be shown to be this host's."""
        if self.inner_prefix_of(stored.key):
            return False
        if self.id_is_ours(stored.key):
            return True
        claim = self.claims.get(stored.key)
        return claim is not None and (claim.covers(stored.value) or stored.key not in self.contested)

    def adopts(self, stored: Stored) -> bool:
        """Return whether a wanted key that already holds the right value may be taken for this host's."""
        if self.owns(stored):
            return True
        return self.may_adopt and stored.key not in self.contested and not self.inner_prefix_of(stored.key)

    def container_of(self, key: str) -> tuple[str, str]:
        """Return id and name of the container that an own key was written for; empty where not known."""
        claim, known, default = self.claims.get(key), self.known.get(key), DefaultId.parse(self.layout.id_of(key))
        container_id = claim.container_id if claim else known.container_id if known else ""
        return container_id, default.container if default else ""

    def keys_written_for(self, containers: Collection[str] | None, actual: Actual) -> tuple[str, ...]:
        """Return the keys that hold what this host wrote for these containers, which are given by id or name; None
        stands for all containers."""
        own = (key for key, stored in actual.stored.items() if self.owns(stored) and self._wrote(stored))
        if containers is None:
            return tuple(own)
        return tuple(key for key in own if any(each in containers for each in self.container_of(key) if each))

    def _wrote(self, stored: Stored) -> bool:
        """Return whether this host wrote the value of an own key, as far as its id and the record tell."""
        return self.id_is_ours(stored.key) or self.claims[stored.key].covers(stored.value)

    def keys_needing_other_records(
        self, wanted: Mapping[str, Entry], actual: Actual, held: Collection[str] = frozenset()
    ) -> frozenset[str]:
        """Return the keys that can be decided only with the other hosts' records.

        - A key that we claim, if it is no longer wanted, or holds a value that we did not write. ``held`` are the ids
          of the containers whose keys stay as they are: their keys count as wanted.
        - Where this pass may adopt, a wanted key that we do not claim and that already holds the wanted value.
        """
        return frozenset(self._undecided(wanted, actual, held))

    def _undecided(self, wanted: Mapping[str, Entry], actual: Actual, held: Collection[str]) -> Iterator[str]:
        for key, claim in self.claims.items():
            stored = actual.stored.get(key)
            settled = key in wanted or claim.container_id in held
            if stored and not (settled and claim.covers(stored.value)):
                yield key
        for key, entry in wanted.items() if self.may_adopt else ():
            stored = actual.stored.get(key)
            if not stored or key in self.claims or self.id_is_ours(key):
                continue
            if stored.value == self.layout.value(entry):
                yield key

    def with_other_records(self, others: Collection[OwnerRecord], wanted: Mapping[str, Entry], actual: Actual) -> Self:
        """Return the same with the other hosts' records taken into account. A claim to a key that is no longer wanted
        is dropped if another host claims the value that the key holds: that host has waited for the key, and owns it
        now."""
        theirs = {key for record in others for key, claim in record.claims.items() if _is_covered(actual, key, claim)}
        claims = {key: claim for key, claim in self.claims.items() if key in wanted or key not in theirs}
        return evolve(self, claims=claims, contested=claimed_keys(others))

    def with_remembered_claims(self, actual: Actual) -> Self:
        """Return a copy that also claims the keys under custom ids that this agent found in order before and that still
        hold that value. A second agent on this host may have taken such a claim out of the record."""
        custom = ((key, each) for key, each in self.known.items() if not self.id_is_ours(key))
        seen = {key: Claim.of(known.container_id, [known.value]) for key, known in custom if key not in self.claims}
        lost = {key: claim for key, claim in seen.items() if _is_covered(actual, key, claim)}
        return evolve(self, claims={**lost, **self.claims}) if lost else self

    def holdings(self, actual: Actual) -> Mapping[str, Holding]:
        """Return who has each key that we claim or whose id is ours. Where this pass may adopt, the keys under custom
        ids that we do not claim are among them."""
        held = {
            each.key: Holding("", each.value, default.container)
            for each in actual.stored.values()
            if (default := self._own_default_id(each.key))
        }
        held |= {key: Holding(claim.container_id, _value_at(actual, key)) for key, claim in self.claims.items()}
        if not self.may_adopt:
            return held
        custom = (each for each in actual.stored.values() if not DefaultId.parse(self.layout.id_of(each.key)))
        return {each.key: Holding("", each.value) for each in custom} | held

    def next_claims(self, wanted: Mapping[str, Entry], actual: Actual) -> dict[str, Claim]:
        """Return what the record has to claim before the changes are made.

        It claims every wanted key under a custom id that is free or ours, with the value that the key will have and the
        value of ours that it has now; and every other key that we still hold.
        """
        claims = {key: claim for key, claim in self.claims.items() if self._still_owned(key, actual)}
        for key, entry in wanted.items():
            if self.id_is_ours(key) or self.inner_prefix_of(key):
                continue
            stored, value = actual.stored.get(key), self.layout.value(entry)
            if stored is None or self._may_write(stored, value):
                claims[key] = self._claim(entry, value, stored)
        return claims

    def _still_owned(self, key: str, actual: Actual) -> bool:
        stored = actual.stored.get(key)
        return stored is not None and self.owns(stored)

    def _may_write(self, stored: Stored, value: str) -> bool:
        return self.owns(stored) or (stored.value == value and self.adopts(stored))

    def _claim(self, entry: Entry, value: str, stored: Stored | None) -> Claim:
        before = self.claims.get(self.layout.key(entry))
        kept = [stored.value] if stored and before and before.covers(stored.value) else []
        return Claim.of(entry.container.id, [value, *kept])


#: How many keys are remembered with the ids that were read from them. A host with more keys reads ids more than once.
_REMEMBERED_IDS = 8192


@lru_cache(maxsize=_REMEMBERED_IDS)
def _default_id_of(owner: str, layout: Layout, key: str) -> DefaultId | None:
    """Return the key's id if it names this owner. Each pass asks several times for the id of each key."""
    key_id = layout.id_of(key)
    return DefaultId.parse(key_id) if key_id.startswith(f"{owner}:") and is_utf8(key) else None


def _value_at(actual: Actual, key: str) -> str:
    stored = actual.stored.get(key)
    return stored.value if stored else ""


def _is_covered(actual: Actual, key: str, claim: Claim) -> bool:
    """Return whether the key holds one of the claim's values."""
    stored = actual.stored.get(key)
    return stored is not None and claim.covers(stored.value)
