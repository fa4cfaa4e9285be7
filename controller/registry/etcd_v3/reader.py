"""Reading etcd's v3 store: a flat space of keys, each with the revision at which it was last written.

Source of what etcd does: https://etcd.io/docs/v3.5/learning/api/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain

from attrs import evolve, frozen

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.base import Reading, Sweeping
from controller.registry.etcd_v3.client import EtcdV3Client, EtcdV3Error, GrpcStatus
from controller.registry.etcd_v3.documents import Page, keys_below, keys_that_begin_with
from controller.registry.etcd_v3.lease import Lease
from controller.registry.etcd_v3.prefix_requests import Found, PrefixRequests
from controller.registry.etcd_v3.record_guard import RecordGuard
from controller.registry.etcd_v3.sweep import Sweep, what_matters
from controller.registry.observed import Observed
from controller.registry.owner_records import records_of_others
from model.interest import Interest
from model.own_writes import OwnWrites
from model.record import ROOT, InnerPrefix, RecordKeys, inner_prefixes
from model.report import Outcome, Result
from model.stored import Actual, Stored, StorePosition
from model.sweep import SECONDS_OF_A_PASS, is_small, rest_after

#: How many own keys a host is taken to have before they were counted, when it is decided whether the prefix is small.
PRESUMED_OWN = 80

#: The part of a pass's remaining time that goes to reading what others have under the prefix.
PART = 0.25


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


#: What is known of a large prefix before anything was read of it.
_NOTHING = Actual(observed=frozenset(), has_directories=False)


class EtcdV3Reader:
    """Reads one prefix through etcd's v3 API.

    Every answer comes through the quorum, so a member that was cut off from the others never shows old keys. While
    nobody writes to etcd, a refresh asks for the owner's own keys alone. After a write, it depends on the prefix. Of a
    small one, everything is kept, and a refresh asks for what is newer than the last read. Of a large one, only the
    places that matter are kept: a refresh compares their revisions, and a sweep now and then finds the other own keys.
    A refresh reads a few pages of it at most, and does not fail if one of them does.
    """

    def __init__(
        self,
        client: EtcdV3Client,
        prefix: str,
        lease: Lease,
        record_guard: RecordGuard,
        sweeping: Sweeping = Sweeping(),
    ) -> None:
        """``prefix`` begins with a slash and does not end in one; an empty one is all of etcd. ``record_guard`` is told
        at which revision the owner record was read."""
        self._client = client
        self._prefix = prefix
        self._lease = lease
        self._record_guard = record_guard
        self._sweeping = sweeping
        self._record_keys = RecordKeys(prefix)
        self._requests = PrefixRequests(client, self._record_keys)
        self._observed = Observed(OwnWrites(self._record_keys, lease.ttl))
        #: The moment of the last refresh; None before the first one.
        self._moment: _Moment | None = None
        #: Whether the next refresh must not build on what was observed.
        self._doubted = False
        #: Whether the last refresh found that somebody had written to etcd.
        self._moves = False
        #: How many hosts share the prefix, as they were counted last.
        self._hosts = 0
        #: The sweep that is under way, if any.
        self._sweep: Sweep | None = None
        #: When the next sweep is due, and until when sweeps rest, in seconds of the monotonic clock.
        self._sweep_due = self._rests_until = 0.0
        #: Whether a request for the last pages got no usable answer.
        self._page_failed = False
        #: Whether all own keys have been found once.
        self._found_all = False

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """See Reader. It reads everything."""
        with self._refusals():
            about_owner = self._requests.about_owner(owner, self._lease.id(owner), deadline)
            moment = self._moment_of(owner, about_owner)
            pages = self._requests.pages(moment.lease, moment.store_position, deadline)
            stored = {each.key: each for each in self._visible(pages)}
            return self._complete(evolve(_NOTHING, stored=stored, observed=None), owner, about_owner, deadline)

    def observe(
        self, interest: Interest, deadline: Deadline, *, consistent: bool = False, hurried: bool = False
    ) -> Reading:
        """See Reader. Every answer that is not hurried is consistent."""
        last = self._observed.reading()
        self._record_guard.hurried = hurried and last is not None and self._observed.trusted
        if last and self._record_guard.hurried:
            return evolve(last, consistent=False)
        self._observed.distrust()
        doubted = self._doubted
        # If this refresh does not come to its end, the next one does not build on it.
        self._doubted = True
        with self._refusals():
            if last and self._moment:
                reading = self._refreshed(interest, last.actual, self._moment, deadline, doubted=doubted)
            else:
                reading = self._first(interest, deadline)
        self._doubted = False
        return reading

    def look_up(self, interest: Interest, deadline: Deadline, again: frozenset[str] = frozenset()) -> Reading:
        """See Reader. If keys are looked at again, so is what is kept about the owner, as of the same moment. In a pass
        that is not hurried, the places that no longer matter are forgotten, and the first sweep is made at once if keys
        may have to be renewed that only it finds."""
        reading = self._observed.reading() or self.observe(interest, deadline)
        actual = reading.actual
        with self._refusals():
            if interest.renews_unknown_keys and not (self._found_all or self._record_guard.hurried):
                swept = self._swept_on(interest, actual, deadline, PART * deadline.left)
                actual = self._timed(swept, interest.owner, deadline)
            if places := interest.unobserved(actual) | again:
                actual = self._looked_up(actual, places, interest.owner, deadline, owner_too=bool(again))
        if not self._record_guard.hurried:
            actual = _only(interest.without_others(actual), actual)
        if actual is reading.actual:
            return reading
        return self._observed.keep(actual, reading.store_position, consistent=reading.consistent)

    def take_in(self, owner: str, outcome: Outcome) -> None:
        """See Reader. A change that lost its race to something older than the last refresh shows that the refresh
        overlooked it."""
        before = outcome.change.before.version if outcome.change.before else 0
        lost = outcome.result is Result.CONFLICT and outcome.version not in {0, before}
        if lost and self._moment and outcome.version <= self._moment.store_position.index:
            self._doubted = True
        self._observed.take_in(owner, outcome)

    def about_owner(self, owner: str, deadline: Deadline) -> Actual:
        """See Reader."""
        with self._refusals():
            about_owner = self._requests.about_owner(owner, self._lease.id(owner), deadline)
            return self._complete(_NOTHING, owner, about_owner, deadline)

    def other_records(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """See Reader."""
        try:
            page = self._requests.range(keys_below(self._record_keys.path), 0, deadline)
        except EtcdV3Error as error:
            raise RegistryUnavailable(f"cannot read {self._record_keys.path}: {error.detail}") from error
        return records_of_others(page.stored, self._record_keys, owner)

    def inner_prefixes(self, deadline: Deadline) -> tuple[InnerPrefix, ...]:
        """See Reader. If etcd does not let the user read the records of inner prefixes, return none."""
        keys = {**keys_that_begin_with(self._record_keys.inner_paths), "keys_only": True}
        try:
            page = self._requests.range(keys, 0, deadline)
        except EtcdV3Error as error:
            if error.code == GrpcStatus.PERMISSION_DENIED:
                return ()
            raise RegistryUnavailable(f"cannot read {ROOT}: {error.detail}") from error
        return inner_prefixes(self._prefix, (each.key for each in page.stored))

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Raise RegistryUnavailable where etcd refuses to read the prefix."""
        try:
            yield
        except EtcdV3Error as error:
            raise RegistryUnavailable(f"cannot read {self._prefix or '/'}: {error.detail}") from error

    # Refreshing what was observed.

    def _first(self, interest: Interest, deadline: Deadline) -> Reading:
        """Read the owner's keys, and everything under a small prefix. Of a large one nothing else is read yet, so that
        the host's entries do not wait, unless there is no later pass."""
        owner, rule, now = interest.owner, self._sweeping.rule, deadline.clock.monotonic()
        about_owner = self._requests.about_owner(owner, self._lease.id(owner), deadline)
        self._moment = self._moment_of(owner, about_owner)
        self._hosts = self._requests.hosts(deadline)
        self._sweep_due = rule.after_doubt(now, self._hosts, self._sweeping.jitter())
        actual = _NOTHING
        if rule.sweeps_first(self._hosts):
            actual = self._whole(interest, actual, PRESUMED_OWN, self._moment, deadline)
        while rule.at_once and not self._found_all:
            actual = self._with_next_page(interest, actual, self._moment, deadline)
        return self._kept(actual, owner, about_owner, deadline)

    def _refreshed(
        self, interest: Interest, last: Actual, before: _Moment, deadline: Deadline, *, doubted: bool
    ) -> Reading:
        """Refresh what was observed, ``last``, which was last refreshed at the moment ``before``."""
        owner, actual, small = interest.owner, last, last.observed is None
        # Where somebody writes to etcd all the time, one request asks for the owner's keys and for what has changed.
        compares = self._moves and not (doubted or small or self._page_failed)
        newer: Page | None = None
        if compares:
            about_owner, actual = self._compared(last, owner, deadline)
        elif self._moves and small and not doubted:
            lease, index = self._lease.id(owner), before.store_position.index
            about_owner, newer = self._requests.about_owner_and_newer(owner, index, lease, deadline)
        else:
            about_owner = self._requests.about_owner(owner, self._lease.id(owner), deadline)
        self._moment = moment = self._moment_of(owner, about_owner)
        self._moves = moment.store_position != before.store_position
        if doubted or not moment.continues(before):
            actual = self._after_doubt(interest, last, before, moment, deadline)
        elif small and self._is_sweep_due(deadline):
            actual = self._counted_anew(interest, last, moment, deadline)
        elif small and self._moves:
            newer = newer or self._requests.newer(
                before.store_position.index, moment.lease, moment.store_position, deadline
            )
            actual = self._updated(interest, last, newer, moment, deadline)
        elif self._page_failed:
            actual = self._looked_at_again(last, moment, deadline)
        elif self._moves and not compares:
            about_owner, actual = self._compared(last, owner, deadline)
            self._moment = self._moment_of(owner, about_owner)
        self._page_failed = False
        if actual.observed is not None and self._may_sweep(deadline):
            actual = self._swept_on(interest, actual, deadline, SECONDS_OF_A_PASS)
        return self._kept(actual, owner, about_owner, deadline)

    def _after_doubt(
        self, interest: Interest, last: Actual, before: _Moment, moment: _Moment, deadline: Deadline
    ) -> Actual:
        """Read anew what was observed. A large prefix is swept a little later, and only the observed places are read
        now. A sweep that is under way goes on, unless the store was replaced, and is followed by another one."""
        if last.observed is None:
            return self._counted_anew(interest, last, moment, deadline)
        now, rule = deadline.clock.monotonic(), self._sweeping.rule
        if self._sweep and moment.store_position.succeeds(before.store_position):
            self._sweep.doubted = True
        else:
            self._sweep = None
            self._sweep_due = min(self._sweep_due, rule.after_doubt(now, self._hosts, self._sweeping.jitter()))
        return self._looked_at_again(last, moment, deadline)

    def _looked_at_again(self, last: Actual, moment: _Moment, deadline: Deadline) -> Actual:
        """Return what is now in the places of a large prefix that were observed."""
        found = self._requests.at(last.observed or frozenset(), moment.lease, moment.store_position, deadline)
        return _with(evolve(last, stored={}), found)

    def _updated(self, interest: Interest, last: Actual, newer: Page, moment: _Moment, deadline: Deadline) -> Actual:
        """Return everything under a small prefix; ``newer`` are the keys that were written since it was read ``last``.
        A deleted key leaves nothing that could be read, but the number of keys shows that one is missing. Everything is
        read then, and also where the prefix is empty, as the keys of all records are under it."""
        stored = {**last.stored, **{each.key: each for each in newer.stored}}
        if self._prefix and len(stored) == newer.count:
            return evolve(last, stored=stored)
        return self._counted_anew(interest, last, moment, deadline)

    def _compared(self, last: Actual, owner: str, deadline: Deadline) -> tuple[Page, Actual]:
        """Return what is kept about the owner, and the observed places of a large prefix as they are now."""
        places, lease = last.observed or frozenset(), self._lease.id(owner)
        known = {place: _known_at(place, last) for place in places}
        try:
            about_owner, found = self._requests.changed(owner, known, lease, deadline)
        except EtcdV3Error as error:
            # A full etcd refuses every transaction, even one that only reads.
            if not error.full:
                raise
            about_owner = self._requests.about_owner(owner, lease, deadline)
            found = self._requests.at(places, lease, about_owner.store_position, deadline)
        return about_owner, _with(last, found)

    def _looked_up(
        self, actual: Actual, places: frozenset[str], owner: str, deadline: Deadline, *, owner_too: bool
    ) -> Actual:
        """Return what was observed, with what is now at these places, and with what is kept about the owner now."""
        assert self._moment is not None
        folder = f"{self._record_keys.folder(owner)}/"
        asked, since = places | ({folder} if owner_too else set()), self._moment.store_position
        found = dict(self._requests.at(asked, self._lease.id(owner), since, deadline))
        about_owner = found.pop(folder, None)
        looked_up = self._timed(_with(actual, found), owner, deadline)
        if about_owner is None:
            return looked_up
        self._note_record(owner, about_owner)
        return self._with_owner(looked_up, owner, about_owner)

    # Reading everything.

    def _is_sweep_due(self, deadline: Deadline) -> bool:
        return deadline.clock.monotonic() >= self._sweep_due

    def _may_sweep(self, deadline: Deadline) -> bool:
        """Return whether pages of a sweep are read in this pass."""
        under_way = self._sweep is not None or self._is_sweep_due(deadline)
        return under_way and deadline.clock.monotonic() >= self._rests_until

    def _counted_anew(self, interest: Interest, last: Actual, moment: _Moment, deadline: Deadline) -> Actual:
        """Count the hosts anew, and return everything under the prefix if it is still small; see _whole."""
        self._hosts = self._requests.hosts(deadline)
        return self._whole(interest, last, len(interest.keys), moment, deadline)

    def _whole(self, interest: Interest, last: Actual, own: int, moment: _Moment, deadline: Deadline) -> Actual:
        """Return everything under a small prefix. If the prefix is large, or cannot be read in a part of the pass,
        return what is in the places that matter; a sweep is due then. ``own`` is the number of the host's own keys."""
        clock, part = deadline.clock, Deadline.after(PART * deadline.left, deadline.clock)
        begun = clock.monotonic()
        try:
            pages = self._requests.pages(moment.lease, moment.store_position, part)
            page = next(pages)
            if is_small(self._hosts, page.count, own):
                everything = {each.key: each for each in self._visible(chain([page], pages))}
                self._note_sweep_ended(deadline)
                return evolve(last, stored=everything, observed=None, others=0, others_unreadable=0)
        except RegistryUnavailable:
            self._rests_until = clock.monotonic() + rest_after(clock.monotonic() - begun)
        if last.observed is not None:
            return last
        self._sweep_due = min(self._sweep_due, clock.monotonic())
        return self._looked_at_again(what_matters(last.stored.values(), interest, last), moment, deadline)

    def _swept_on(self, interest: Interest, actual: Actual, deadline: Deadline, seconds: float) -> Actual:
        """Read the next pages of a sweep, at least one, and none after so many seconds. A page that cannot be read is
        left to a later pass."""
        assert self._moment is not None
        clock, failures = deadline.clock, self._client.failures
        begun = clock.monotonic()
        reads_on = True
        while reads_on:
            part = Deadline.after(PART * deadline.left, clock)
            try:
                actual = self._with_next_page(interest, actual, self._moment, part)
            except RegistryUnavailable:
                break
            reads_on = self._sweep is not None and clock.monotonic() - begun < seconds
        self._rests_until = clock.monotonic() + rest_after(clock.monotonic() - begun)
        # The failure of a page calls for no other sweep. Otherwise, sweeps would keep an etcd busy that is slow.
        self._page_failed |= self._client.failures > failures
        self._moment = evolve(self._moment, failures=self._moment.failures + self._client.failures - failures)
        return actual

    def _with_next_page(self, interest: Interest, actual: Actual, moment: _Moment, deadline: Deadline) -> Actual:
        """Return what was observed with the own keys of the next page of a sweep, which begins if none is under way. If
        the prefix turns out to be small now, return everything."""
        if self._sweep is None:
            self._hosts = self._requests.hosts(deadline)
        sweep, own = self._sweep or Sweep(), len(interest.keys)
        page = self._requests.page(sweep.after, moment.lease, moment.store_position, deadline)
        if self._sweep is None and is_small(self._hosts, page.count, own):
            actual = self._whole(interest, actual, own, moment, deadline)
            if actual.observed is None:
                return actual
        self._sweep = sweep
        actual = sweep.with_page(page, self._visible([page]), interest, actual)
        if not page.more:
            self._note_sweep_ended(deadline)
        return actual

    def _note_sweep_ended(self, deadline: Deadline) -> None:
        """Note that everything under the prefix has been read."""
        rule, now = self._sweeping.rule, deadline.clock.monotonic()
        again = self._sweep is not None and self._sweep.doubted
        self._sweep_due = (rule.after_doubt if again else rule.next)(now, self._hosts, self._sweeping.jitter())
        self._sweep, self._found_all = None, True

    def _visible(self, pages: Iterable[Page]) -> Iterator[Stored]:
        """Yield the keys under the prefix. The records are not among them, even where the prefix is all of etcd."""
        for page in pages:
            yield from (each for each in page.stored if self._prefix or not each.key.startswith(f"{ROOT}/"))

    # What is kept about the owner.

    def _moment_of(self, owner: str, about_owner: Page) -> _Moment:
        """Return the moment at which the owner's own keys were read."""
        record = self._note_record(owner, about_owner.stored)
        return _Moment(about_owner.store_position, self._lease.id(owner), record, self._client.failures)

    def _note_record(self, owner: str, about_owner: Iterable[Stored]) -> int:
        """Tell the record guard at which revision the owner record was read, and return it."""
        record_key = self._record_keys.record(owner)
        record = next((each.version for each in about_owner if each.key == record_key), 0)
        self._record_guard.note(owner, record)
        return record

    def _kept(self, actual: Actual, owner: str, about_owner: Page, deadline: Deadline) -> Reading:
        """Keep what a refresh has shown."""
        actual = self._complete(actual, owner, about_owner, deadline)
        return self._observed.keep(actual, about_owner.store_position, consistent=True)

    def _complete(self, actual: Actual, owner: str, about_owner: Page, deadline: Deadline) -> Actual:
        """Return what was observed with what is kept about the owner, and with the times that are left."""
        actual = self._with_owner(actual, owner, about_owner.stored)
        return self._timed(evolve(actual, store_position=about_owner.store_position), owner, deadline)

    def _with_owner(self, actual: Actual, owner: str, about_owner: Iterable[Stored]) -> Actual:
        """Return what was observed with what is kept about the owner."""
        keys = {each.key: each for each in about_owner}
        return evolve(
            actual,
            record=keys.get(self._record_keys.record(owner)),
            liveness_query=keys.get(self._record_keys.liveness_query(owner)),
            agent_note=keys.get(self._record_keys.agent_note(owner)),
            drain_order=keys.get(self._record_keys.drain_order(owner)),
            heartbeat=keys.get(self._record_keys.heartbeat(owner)),
        )

    def _timed(self, actual: Actual, owner: str, deadline: Deadline) -> Actual:
        """Return what was observed with the seconds that are left of this host's lease, if anything hangs on it."""
        query = actual.liveness_query if actual.liveness_query and actual.liveness_query.renewable else None
        leased = [key for key, each in actual.stored.items() if each.renewable]
        if not self._lease.id(owner) or not (leased or query):
            return actual
        left = self._lease.seconds_left(owner, deadline)
        stored = {**actual.stored, **{key: evolve(actual.stored[key], ttl=left) for key in leased}}
        return evolve(actual, stored=stored, liveness_query=evolve(query, ttl=left) if query else actual.liveness_query)


def _known_at(place: str, actual: Actual) -> Stored | None:
    """Return a key that was observed in a place; None if there was none."""
    if not place.endswith("/"):
        return actual.stored.get(place)
    return next((each for each in actual.stored.values() if each.key.startswith(place)), None)


def _with(actual: Actual, found: Found) -> Actual:
    """Return what was observed, with what was found in some places."""
    if not found:
        return actual
    below = tuple(place for place in found if place.endswith("/"))
    observed = actual.observed or frozenset()
    stored = {
        key: each
        for key, each in actual.stored.items()
        if key not in found and not (key.startswith(below) and key not in observed)
    }
    stored |= {each.key: each for there in found.values() for each in there}
    return evolve(actual, stored=stored, observed=None if actual.observed is None else observed | found.keys())


def _only(places: frozenset[str], actual: Actual) -> Actual:
    """Return what was observed in these places alone."""
    if places == actual.observed or actual.observed is None:
        return actual
    below = tuple(place for place in places if place.endswith("/"))
    stored = {key: each for key, each in actual.stored.items() if key in places or key.startswith(below)}
    return evolve(actual, stored=stored, observed=places)
