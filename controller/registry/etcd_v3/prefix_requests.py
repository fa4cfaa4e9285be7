"""The requests that read one prefix of etcd's v3 store, its owner records included."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from attrs import frozen

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.etcd_v3.client import EtcdV3Client, EtcdV3Error, GrpcStatus
from controller.registry.etcd_v3.documents import (
    Document,
    Page,
    RangesAnswer,
    below_is_absent,
    encoded,
    is_unchanged,
    keys_below,
    range_of,
    reading_transaction,
)
from model.record import RecordKeys
from model.stored import Stored, StorePosition

#: The most places that one transaction reads or compares. etcd takes 128 operations, and one is for the owner's keys.
BATCH = 127

#: The most keys in one answer of a sweep. For each answer etcd counts the rest of the range, so a sweep of 50,000 keys
#: costs it 0.33 s of CPU with pages of 5,000 keys, 0.42 with 2,000, 0.54 with 1,000, and 0.81 with 250. A page of 2,000
#: costs it 17 ms, and the agent 10.
PAGE = 2000

#: The most keys that are read below a wanted key. One is enough to refuse it.
MAX_BELOW = 16

#: What is at each of some places.
Found = Mapping[str, tuple[Stored, ...]]


@frozen
class PrefixRequests:
    """Reads one prefix. All methods raise EtcdV3Error when etcd refuses the request, and RegistryUnavailable.

    In all of them, ``lease`` is the id of this host's lease, 0 for none. Where ``since`` is given, the answer has to
    come from the same store at that position or later.
    """

    client: EtcdV3Client
    record_keys: RecordKeys

    def about_owner(self, owner: str, lease: int, deadline: Deadline) -> Page:
        """Return the owner's record, liveness query, agent note and drain order."""
        return self.range(range_of(self._folder(owner)), lease, deadline)

    def hosts(self, deadline: Deadline) -> int:
        """Return how many owners have a record under the prefix, about: most have an agent note, too, and some a
        heartbeat. Return 0 if etcd does not let the user count them."""
        counted = {**keys_below(self.record_keys.path), "count_only": True}
        try:
            return (self.range(counted, 0, deadline).count + 1) // 2
        except EtcdV3Error as error:
            if error.code == GrpcStatus.PERMISSION_DENIED:
                return 0
            raise

    def newer(self, index: int, lease: int, since: StorePosition, deadline: Deadline) -> Page:
        """Return the keys under the prefix that were written after the revision ``index``, and the number of all."""
        return _later(self.range(self._newer(index), lease, deadline), since)

    def about_owner_and_newer(self, owner: str, index: int, lease: int, deadline: Deadline) -> tuple[Page, Page | None]:
        """Return what ``about_owner`` and ``newer`` do, by one request. A full etcd refuses every transaction, even one
        that only reads. The second page is None then."""
        ranges = [range_of(self._folder(owner)), self._newer(index)]
        try:
            about_owner, newer = self._transaction(reading_transaction(ranges), lease, deadline).pages
        except EtcdV3Error as error:
            if not error.full:
                raise
            return self.about_owner(owner, lease, deadline), None
        return about_owner, newer

    def _newer(self, index: int) -> Document:
        return {**keys_below(self.record_keys.prefix), "min_mod_revision": str(index + 1)}

    def pages(self, lease: int, since: StorePosition, deadline: Deadline) -> Iterator[Page]:
        """Yield all keys under the prefix, page by page. Each page is of a moment of its own, so that no compaction can
        come between. A key that is written before its page is read may be missing."""
        after = ""
        while True:
            page = self.page(after, lease, since, deadline)
            yield page
            if not page.more:
                return
            after = page.stored[-1].key

    def page(self, after: str, lease: int, since: StorePosition, deadline: Deadline) -> Page:
        """Return the first keys under the prefix that come ``after`` a key; an empty text stands for the beginning."""
        keys = {**keys_below(self.record_keys.prefix), "limit": str(PAGE)}
        if after:
            keys = {**keys, "key": encoded(f"{after}\0")}
        return _later(self.range(keys, lease, deadline), since)

    def at(self, places: Collection[str], lease: int, since: StorePosition, deadline: Deadline) -> Found:
        """Return what is at these places, with as few requests as possible."""
        found: dict[str, tuple[Stored, ...]] = {}
        for batch in _batches(places):
            found |= self._at(batch, lease, since, deadline)
        return found

    def _at(self, places: Sequence[str], lease: int, since: StorePosition, deadline: Deadline) -> Found:
        ranges = [_range(place) for place in places]
        pages: Sequence[Page] = ()
        if len(ranges) > 1:
            try:
                pages = self._transaction(reading_transaction(ranges), lease, deadline).pages
            except EtcdV3Error as error:
                # A full etcd refuses every transaction, even one that only reads. It takes ranges.
                if not error.full:
                    raise
        pages = pages or [self.range(each, lease, deadline) for each in ranges]
        return {place: _later(page, since).stored for place, page in zip(places, pages, strict=True)}

    def changed(
        self, owner: str, known: Mapping[str, Stored | None], lease: int, deadline: Deadline
    ) -> tuple[Page, Found]:
        """Return what is kept about the owner, and what is now at those places, in parts, where anything has changed.

        ``known`` has for each place a key that is there; None where there is none. A change is noticed if that key is
        written or deleted, or, where there was none, if one is created. Each request also has a range that goes through
        the quorum, because a member that is cut off from the others would answer one with comparisons alone. It does
        not ask for the places as well: that would cost etcd a third more each time, and they seldom change.
        """
        about_owner: Page | None = None
        found: dict[str, tuple[Stored, ...]] = {}
        folder = range_of(self._folder(owner))
        for batch in _batches(known):
            compare = [_unchanged(place, known[place]) for place in batch]
            answer = self._transaction(reading_transaction([folder], compare), lease, deadline)
            about_owner = about_owner or answer.pages[0]
            _later(answer.pages[0], about_owner.store_position)
            if not answer.succeeded:
                found |= self._at(batch, lease, about_owner.store_position, deadline)
        return about_owner or self.about_owner(owner, lease, deadline), found

    def range(self, keys: Document, lease: int, deadline: Deadline) -> Page:
        """Return the keys of a range."""
        return self.client.call("kv/range", keys, lambda answer: Page.read_from(answer, lease), deadline)

    def _transaction(self, transaction: Document, lease: int, deadline: Deadline) -> RangesAnswer:
        return self.client.call("kv/txn", transaction, lambda answer: RangesAnswer.read_from(answer, lease), deadline)

    def _folder(self, owner: str) -> str:
        """Return the place that has everything about an owner."""
        return f"{self.record_keys.folder(owner)}/"


def _batches(places: Collection[str]) -> Iterator[Sequence[str]]:
    ordered = sorted(places)
    return (ordered[start : start + BATCH] for start in range(0, len(ordered), BATCH))


def _range(place: str) -> Document:
    return {**range_of(place), "limit": str(MAX_BELOW)} if place.endswith("/") else range_of(place)


def _unchanged(place: str, known: Stored | None) -> Document:
    """Return the condition that a place is as it was; ``known`` is a key that was there."""
    if known:
        return is_unchanged(known.key, known.version)
    return below_is_absent(place.removesuffix("/")) if place.endswith("/") else is_unchanged(place, 0)


def _later(page: Page, since: StorePosition) -> Page:
    """Return the page. Raises RegistryUnavailable if another store answered, or one that has not come as far."""
    if not page.store_position.succeeds(since):
        raise RegistryUnavailable("different stores answered one read; are all endpoints of one cluster?")
    return page
