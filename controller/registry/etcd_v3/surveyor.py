"""Reading everything under a prefix through etcd's v3 API, page by page, with what is left of each lease."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

from attrs import evolve, frozen

from controller.effects.clock import Deadline
from controller.registry.etcd_v3.client import EtcdV3Client, EtcdV3Error
from controller.registry.etcd_v3.documents import Document, Page, decoded, encoded, keys_below, store_position_in
from controller.registry.etcd_v3.lease import Lease
from controller.registry.etcd_v3.prefix_requests import PAGE
from controller.registry.etcd_v3.reader import EtcdV3Reader
from controller.registry.etcd_v3.record_guard import RecordGuard
from model.record import RecordKeys
from model.stored import Stored, StorePosition
from model.survey import UNKNOWN_SECONDS, Survey


@frozen
class _LeasedPage:
    """A page, with the leases of its keys."""

    page: Page
    #: The id of the lease of each key that has one.
    leases: Mapping[str, int]

    @classmethod
    def read_from(cls, answer: Document) -> Self:
        """Return what a range's answer says."""
        leases = {decoded(each["key"]): int(each["lease"]) for each in answer.get("kvs", ()) if each.get("lease")}
        return cls(Page.read_from(answer, 0), leases)


class EtcdV3Surveyor(EtcdV3Reader):
    """Reads everything of one prefix through etcd's v3 API."""

    def __init__(self, client: EtcdV3Client, prefix: str) -> None:
        """``prefix`` begins with a slash and does not end in one; an empty one is all of etcd."""
        super().__init__(client, prefix, Lease(client, prefix, 0), RecordGuard(RecordKeys(prefix)))

    def survey(self, deadline: Deadline) -> Survey:
        """See Surveyor. Each page is of a moment of its own, so that no compaction can come between."""
        before = self._client.requests
        with self._refusals():
            position = self.store_position(deadline)
            pages = list(self._pages(self._prefix, deadline))
            leases = {key: lease for each in pages for key, lease in each.leases.items()}
            left = {lease: self._seconds_left(lease, deadline) for lease in sorted({*leases.values()})}
            visible = self._visible(each.page for each in pages)
            stored = {each.key: _timed(each, left.get(leases.get(each.key, 0))) for each in visible}
            kept = self._pages(self._record_keys.path, deadline)
            about_owners = {stored.key: stored for each in kept for stored in each.page.stored}
        inner = self.inner_prefixes(deadline)
        return Survey(stored, about_owners, inner, position, self._client.requests - before)

    def store_position(self, deadline: Deadline) -> StorePosition | None:
        """See Surveyor."""
        smallest = {**keys_below(self._record_keys.path), "count_only": True}
        with self._refusals():
            return self._client.call("kv/range", smallest, store_position_in, deadline)

    def _pages(self, path: str, deadline: Deadline) -> Iterator[_LeasedPage]:
        """Yield all keys below a path."""
        keys = {**keys_below(path), "limit": str(PAGE)}
        while True:
            found = self._client.call("kv/range", keys, _LeasedPage.read_from, deadline)
            yield found
            if not found.page.more:
                return
            keys = {**keys, "key": encoded(f"{found.page.stored[-1].key}\0")}

    def _seconds_left(self, lease: int, deadline: Deadline) -> int:
        """Return how many seconds a lease still lasts, at least 1. etcd may tell it only to a user who may read all
        keys of the lease."""
        asked = {"ID": str(lease)}
        try:
            return max(1, self._client.call("lease/timetolive", asked, lambda said: int(said.get("TTL", 0)), deadline))
        except EtcdV3Error:
            return UNKNOWN_SECONDS


def _timed(stored: Stored, left: int | None) -> Stored:
    """Return a key with the seconds that its lease still lasts; None for a key without a lease."""
    return stored if left is None else evolve(stored, ttl=left)
