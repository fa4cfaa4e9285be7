"""How far a sweep has come, and what it has found."""

from __future__ import annotations

from controller.registry.etcd_v3.documents import Page
from controller.registry.etcd_v3.sweep import Sweep, what_matters
from model.interest import Interest
from model.layout import PlainLayout
from model.stored import Actual, Stored, StorePosition

KNOWN, OWN, FOREIGN, CUSTOM, UNREADABLE = (
    Stored(f"/services/{key}", "192.0.2.1:1", 5)
    for key in ("web/core-1:web:80", "web/core-1:old:80", "web/core-2:web:80", "db/main", "odd")
)
DAMAGED = Stored(UNREADABLE.key, "?", 5)
INTEREST = Interest("core-1", PlainLayout("/services"), held=frozenset({KNOWN.key, CUSTOM.key}))
PLACES = frozenset({KNOWN.key, CUSTOM.key})
OBSERVED = Actual(stored={KNOWN.key: KNOWN}, observed=PLACES, has_directories=False)


def page(*stored: Stored, more: bool) -> Page:
    """A page of a sweep."""
    return Page(StorePosition("1", 9), stored, 10, more)


def swept(sweep: Sweep, actual: Actual, page: Page) -> Actual:
    """Take a page into what was observed."""
    return sweep.with_page(page, page.stored, INTEREST, actual)


def test_an_own_key_is_an_observed_place_once_its_page_was_read() -> None:
    """The next page begins after the last key."""
    sweep = Sweep()
    actual = swept(sweep, OBSERVED, page(OWN, FOREIGN, more=True))
    assert actual.stored == {KNOWN.key: KNOWN, OWN.key: OWN}
    assert actual.observed == PLACES | {OWN.key}
    assert sweep.after == FOREIGN.key


def test_the_others_are_counted_once_the_sweep_has_ended() -> None:
    """They are summed up over all pages. Keys in observed places are not among them."""
    sweep = Sweep()
    actual = swept(sweep, OBSERVED, page(CUSTOM, FOREIGN, DAMAGED, more=True))
    assert actual is OBSERVED
    actual = swept(sweep, actual, page(FOREIGN, more=False))
    assert (actual.others, actual.others_unreadable) == (3, 1)


def test_what_is_in_an_observed_place_stays_as_it_was_observed() -> None:
    """It is compared in each pass, and the page may be older or newer."""
    changed = Stored(KNOWN.key, "192.0.2.9:9", 7)
    assert swept(Sweep(), OBSERVED, page(changed, CUSTOM, more=True)) is OBSERVED


def test_what_matters_of_a_prefix_that_was_read_as_a_whole() -> None:
    """Own keys and those in places that matter are kept, and the others are counted."""
    found = what_matters([KNOWN, OWN, CUSTOM, FOREIGN, DAMAGED], INTEREST, Actual())
    assert found.observed == frozenset({KNOWN.key, OWN.key, CUSTOM.key})
    assert found.stored.keys() == found.observed
    assert (found.others, found.others_unreadable) == (2, 1)
