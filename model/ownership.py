"""Whose a key is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Self

from attrs import evolve, field, frozen

from model.entry import DefaultId, Entry
from model.frozen import frozen_dict
from model.layout import Layout
from model.record import Claim, OwnerRecord, claimed_keys
from model.stored import Actual, Stored


@frozen
class Known:
    """A key that this agent saw in order in an earlier pass: with which value, and for which container.

    It tells drift from an ordinary change, finds the keys of a container whose name is not in them, and makes good for
    a claim that another agent of this host took out of the record. A plan without it is the same but for its reasons.
    """

    value: str
    container_id: str


@frozen
class Ownership:
    """``owner`` is this host, ``claims`` what its record says it holds under custom ids, ``known`` what this agent saw
    in order before, ``contested`` the keys that other hosts' records claim, as far as they are in ``doubts``.

    ======================  =====================  ==============================  ===============
    id                      our record's claim     the key's value                 whose
    ======================  =====================  ==============================  ===============
    ``<owner>:<c>:<port>``                                                         ours
    ``<other>:<c>:<port>``                                                         not ours
    custom                  none                                                   not ours
    custom                  with values            one of them                     ours
    custom                  with values            another, nobody else claims it  ours, overwritten
    custom                  with values            another, somebody else does     not ours
    ======================  =====================  ==============================  ===============
    """

    owner: str
    layout: Layout
    claims: Mapping[str, Claim] = field(factory=dict, converter=frozen_dict)
    known: Mapping[str, Known] = field(factory=dict, converter=frozen_dict)
    contested: frozenset[str] = frozenset()

    def id_is_ours(self, key: str) -> bool:
        """Whether the key's id itself says that it is this host's."""
        key_id = self.layout.id_of(key)
        return key_id.startswith(f"{self.owner}:") and DefaultId.parse(key_id) is not None

    def owns(self, stored: Stored) -> bool:
        """Whether the key can be shown to be this host's."""
        if self.id_is_ours(stored.key):
            return True
        claim = self.claims.get(stored.key)
        return claim is not None and (claim.holds(stored.value) or stored.key not in self.contested)

    def adopts(self, stored: Stored) -> bool:
        """Whether a wanted key that already holds the right value may be taken for this host's."""
        return self.owns(stored) or stored.key not in self.contested

    def container_of(self, key: str) -> tuple[str, str]:
        """Id and name of the container that an own key was written for; empty where not known."""
        claim, known, default = self.claims.get(key), self.known.get(key), DefaultId.parse(self.layout.id_of(key))
        container_id = claim.container_id if claim else known.container_id if known else ""
        return container_id, default.container if default else ""

    def keys_needing_other_records(
        self, wanted: Mapping[str, Entry], actual: Actual, held: Collection[str] = frozenset()
    ) -> frozenset[str]:
        """The keys about which the other hosts' records must be read: claimed by us but wanted no more, or with a value
        that we did not write; or not claimed by us but already there with the value that we want. ``held`` are the ids
        of containers whose keys stay as they are, so that nothing need be known about those."""
        return frozenset(self._keys_needing_other_records(wanted, actual, held))

    def _keys_needing_other_records(
        self, wanted: Mapping[str, Entry], actual: Actual, held: Collection[str]
    ) -> Iterator[str]:
        for key, claim in self.claims.items():
            stored = actual.stored.get(key)
            settled = key in wanted or claim.container_id in held
            if stored and not (settled and claim.holds(stored.value)):
                yield key
        for key, entry in wanted.items():
            stored = actual.stored.get(key)
            if (
                stored
                and key not in self.claims
                and not self.id_is_ours(key)
                and stored.value == self.layout.value(entry)
            ):
                yield key

    def with_other_records(self, others: Collection[OwnerRecord], wanted: Mapping[str, Entry], actual: Actual) -> Self:
        """The same, knowing the other hosts' records. A key that is wanted no more, and holds what another host has
        written down, too, is that host's by now: it waited for us to let go."""
        theirs = {key for record in others for key, claim in record.claims.items() if _holds(actual, key, claim)}
        claims = {key: claim for key, claim in self.claims.items() if key in wanted or key not in theirs}
        return evolve(self, claims=claims, contested=claimed_keys(others))

    def with_remembered_claims(self, actual: Actual) -> Self:
        """The same, with what this agent saw in order under custom ids, and still is there, claimed again: a second
        agent on this host may have taken it out of the record before the entry was written."""
        seen = {key: Claim.of(known.container_id, [known.value]) for key, known in self.known.items()}
        lost = {key: claim for key, claim in seen.items() if not self.id_is_ours(key) and _holds(actual, key, claim)}
        return evolve(self, claims={**lost, **self.claims})

    def next_claims(self, wanted: Mapping[str, Entry], actual: Actual) -> dict[str, Claim]:
        """What the record has to say before the changes are made: every custom key that is wanted and free or ours,
        with the value that it will have and the one of ours that it has; and every other that we still hold."""
        claims = {key: claim for key, claim in self.claims.items() if self._still_held(key, actual)}
        for key, entry in wanted.items():
            stored = actual.stored.get(key)
            if self.id_is_ours(key) or (stored and not self._may_write(stored, self.layout.value(entry))):
                continue
            claims[key] = self._claim(entry, stored)
        return claims

    def _still_held(self, key: str, actual: Actual) -> bool:
        stored = actual.stored.get(key)
        return stored is not None and self.owns(stored)

    def _may_write(self, stored: Stored, value: str) -> bool:
        return self.owns(stored) or (stored.value == value and self.adopts(stored))

    def _claim(self, entry: Entry, stored: Stored | None) -> Claim:
        key, value = self.layout.key(entry), self.layout.value(entry)
        before = self.claims.get(key)
        kept = [stored.value] if stored and before and before.holds(stored.value) else []
        return Claim.of(entry.container.id, [value, *kept])


def _holds(actual: Actual, key: str, claim: Claim) -> bool:
    """Whether the key holds one of the claim's values."""
    stored = actual.stored.get(key)
    return stored is not None and claim.holds(stored.value)
