"""Reading etcd's v3 store: a flat space of keys, each with the revision at which it was last written.

Source of what etcd does: https://etcd.io/docs/v3.5/learning/api/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

from attrs import evolve, field, frozen

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.etcd_v3.client import EtcdV3Client, EtcdV3Error, GrpcStatus
from controller.registry.etcd_v3.documents import Document, Page, keys_below, keys_that_begin_with
from controller.registry.etcd_v3.lease import Lease
from controller.registry.etcd_v3.record_guard import RecordGuard
from controller.registry.owner_records import records_of_others
from model.frozen import frozen_dict
from model.record import ROOT, InnerPrefix, RecordKeys, inner_prefixes
from model.stored import Actual, Stored, StorePosition


@frozen
class _Moment:
    """What tells whether two reads saw the same store, the second one later."""

    #: The store, and its revision.
    store_position: StorePosition
    #: The id of this host's lease; 0 where keys do not expire.
    lease: int
    #: The revision at which the owner record was last written; 0 where there is none.
    record: int
    #: How many requests had got no usable answer.
    failures: int

    def continues(self, earlier: _Moment) -> bool:
        """Return whether keys that were read at an earlier moment can be taken to be in the store still, unless they
        were changed since.

        The revision alone does not show that a store was wiped or restored, as it may have come further since. For
        that, the store had to be stopped, which shows in a request that failed or in the owner record.
        """
        return (
            self.store_position.succeeds(earlier.store_position)
            and self.record >= earlier.record
            and self.failures == earlier.failures
            and self.lease == earlier.lease
        )


@frozen
class _PrefixCache:
    """Everything under the prefix at one moment."""

    moment: _Moment
    stored: Mapping[str, Stored] = field(converter=frozen_dict)
    #: The keys that hang on this host's lease.
    leased: tuple[str, ...]

    @classmethod
    def of(cls, moment: _Moment, stored: Iterable[Stored]) -> Self:
        """Return the cache of these keys."""
        by_key = {each.key: each for each in stored}
        return cls(moment, by_key, tuple(key for key, each in by_key.items() if each.renewable))


class EtcdV3Reader:
    """Reads one prefix through etcd's v3 API.

    Every answer comes through the quorum, so a member that was cut off from the others never shows old keys. This costs
    little with this API. Everything under the prefix is kept from one read to the next. While nobody writes to etcd, a
    read asks for the owner's own keys alone; after a write, for what is newer than the last read. A consistent read
    asks for everything.
    """

    def __init__(self, client: EtcdV3Client, prefix: str, lease: Lease, record_guard: RecordGuard) -> None:
        """``prefix`` begins with a slash and does not end in one; an empty one is all of etcd. ``record_guard`` is told
        at which revision the owner record was read."""
        self._client = client
        self._prefix = prefix
        self._lease = lease
        self._record_guard = record_guard
        self._record_keys = RecordKeys(prefix)
        self._cache: _PrefixCache | None = None

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """See Reader."""
        # A read that fails leaves no cache: the next one reads everything.
        cache, self._cache = None if consistent else self._cache, None
        try:
            about_owner = self._range(keys_below(self._record_keys.folder(owner)), self._lease.id(owner), deadline)
            self._cache = self._prefix_at(self._moment_of(owner, about_owner), cache, deadline)
            return self._actual(owner, about_owner, self._cache, deadline)
        except EtcdV3Error as error:
            raise RegistryUnavailable(f"cannot read {self._prefix or '/'}: {error.detail}") from error

    def other_records(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """See Reader."""
        try:
            page = self._range(keys_below(self._record_keys.path), 0, deadline)
        except EtcdV3Error as error:
            raise RegistryUnavailable(f"cannot read {self._record_keys.path}: {error.detail}") from error
        return records_of_others(page.stored, self._record_keys, owner)

    def inner_prefixes(self, deadline: Deadline) -> tuple[InnerPrefix, ...]:
        """See Reader. If etcd does not let the user read the records of inner prefixes, return none."""
        keys = {**keys_that_begin_with(self._record_keys.inner_paths), "keys_only": True}
        try:
            page = self._range(keys, 0, deadline)
        except EtcdV3Error as error:
            if error.code == GrpcStatus.PERMISSION_DENIED:
                return ()
            raise RegistryUnavailable(f"cannot read {ROOT}: {error.detail}") from error
        return inner_prefixes(self._prefix, (each.key for each in page.stored))

    def _moment_of(self, owner: str, about_owner: Page) -> _Moment:
        """Return the moment at which the owner's own keys were read."""
        record_key = self._record_keys.record(owner)
        record = next((each.version for each in about_owner.stored if each.key == record_key), 0)
        self._record_guard.note(owner, record)
        return _Moment(about_owner.store_position, self._lease.id(owner), record, self._client.failures)

    def _prefix_at(self, moment: _Moment, cache: _PrefixCache | None, deadline: Deadline) -> _PrefixCache:
        """Return everything under the prefix at a moment, with as little reading as will do."""
        if cache and moment.continues(cache.moment):
            if moment.store_position == cache.moment.store_position:
                return cache
            if updated := self._updated(cache, moment, deadline):
                return updated
        return _PrefixCache.of(moment, self._page_at(moment, {}, deadline).stored)

    def _updated(self, cache: _PrefixCache, moment: _Moment, deadline: Deadline) -> _PrefixCache | None:
        """Return the cache with the keys that were written since. A deleted key leaves nothing that could be read, but
        the number of keys shows that one is missing: None is returned then."""
        since = str(cache.moment.store_position.index + 1)
        changed = self._page_at(moment, {"min_mod_revision": since}, deadline)
        stored = {**cache.stored, **{each.key: each for each in changed.stored}}
        return _PrefixCache.of(moment, stored.values()) if len(stored) == changed.count else None

    def _page_at(self, moment: _Moment, restriction: Document, deadline: Deadline) -> Page:
        """Return the keys under the prefix as they were at a moment, or those of them that a ``restriction`` selects.
        They could also be read in one transaction with the owner's own keys, but an etcd that is full refuses
        transactions."""
        keys = {**keys_below(self._prefix), **restriction, "revision": str(moment.store_position.index)}
        page = self._range(keys, moment.lease, deadline)
        if not page.store_position.succeeds(moment.store_position):
            raise RegistryUnavailable("different stores answered one read; are all endpoints of one cluster?")
        return page

    def _actual(self, owner: str, about_owner: Page, cache: _PrefixCache, deadline: Deadline) -> Actual:
        """Return what was read. Where something hangs on this host's lease, ask how long the lease still lasts."""
        stored, owner_keys = cache.stored, {each.key: each for each in about_owner.stored}
        if cache.leased or any(each.renewable for each in about_owner.stored):
            left = self._lease.seconds_left(owner, deadline)
            stored = {**stored, **{key: evolve(stored[key], ttl=left) for key in cache.leased}}
            owner_keys = {key: evolve(each, ttl=left) if each.renewable else each for key, each in owner_keys.items()}
        if not self._prefix:
            stored = {key: each for key, each in stored.items() if not key.startswith(f"{ROOT}/")}
        return Actual(
            stored,
            owner_keys.get(self._record_keys.record(owner)),
            owner_keys.get(self._record_keys.liveness_query(owner)),
            owner_keys.get(self._record_keys.agent_note(owner)),
            about_owner.store_position,
            has_directories=False,
        )

    def _range(self, keys: Document, lease: int, deadline: Deadline) -> Page:
        return self._client.call("kv/range", keys, lambda answer: Page.read_from(answer, lease), deadline)
