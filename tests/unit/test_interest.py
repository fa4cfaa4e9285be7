"""Which keys under a prefix matter to one host."""

from __future__ import annotations

import pytest

from model.interest import Interest
from model.layout import Layout, PlainLayout
from model.skydns import SkyDnsLayout
from model.stored import Actual, Stored

PLAIN, DNS = PlainLayout("/services"), SkyDnsLayout("/skydns/local")
WEB, REDIS = "/services/web/core-01:web:80", "/services/redis/redis-1"
DNS_KEY = "/skydns/local/a/web/web-1"


def observed(*places: str, present: tuple[str, ...] = ()) -> Actual:
    """What was observed of a large prefix: these places, and keys that are there."""
    return Actual({key: Stored(key, "x", 1) for key in present}, observed=frozenset((*places, *present)))


@pytest.mark.parametrize(
    ("layout", "key", "names"),
    [
        (PLAIN, WEB, True),
        (PLAIN, "/services/deep/web/core-01:web:80:udp", True),
        (PLAIN, "/services/web/core-02:web:80", False),
        (PLAIN, "/services/web/core-01:web", False),
        (PLAIN, "/services/web/core-011:web:80", False),
        (PLAIN, REDIS, False),
        (PLAIN, "/services/web/core-01:w\udcffb:80", False),
        (DNS, "/skydns/local/web/core-01--web--80", True),
        (DNS, "/skydns/local/web/core-02--web--80", False),
    ],
)
def test_some_keys_name_their_owner(layout: Layout, key: str, names: bool) -> None:
    """It is the id that does. A key that is not UTF-8 names nobody."""
    assert Interest("core-01", layout).names_owner(key) is names


def test_the_given_keys_are_looked_at_once() -> None:
    """Whether they are held or wanted, and whether or not they are there."""
    interest = Interest("core-01", PLAIN, frozenset({WEB}), frozenset({REDIS}))
    assert interest.keys == {WEB, REDIS}
    assert interest.unobserved(observed()) == {WEB, REDIS}
    assert interest.unobserved(observed(REDIS, present=(WEB,))) == frozenset()


def test_nothing_is_unobserved_where_everything_was_read() -> None:
    """Then a key that was not found is absent."""
    assert Interest("core-01", PLAIN, frozenset({WEB})).unobserved(Actual()) == frozenset()


def test_where_keys_hide_each_other_an_absent_wanted_key_depends_on_its_surroundings() -> None:
    """These are the keys above it, up to the prefix, and everything below it. Around a key that is there, or that
    nobody wants, nothing matters."""
    around = {DNS_KEY, f"{DNS_KEY}/", "/skydns/local/a/web", "/skydns/local/a"}
    assert Interest("core-01", DNS, wanted=frozenset({DNS_KEY})).places(observed()) == around
    assert Interest("core-01", DNS, wanted=frozenset({DNS_KEY})).places(observed(present=(DNS_KEY,))) == {DNS_KEY}
    assert Interest("core-01", DNS, held=frozenset({DNS_KEY})).places(observed()) == {DNS_KEY}


def test_places_that_no_longer_matter_are_left_out() -> None:
    """Absent keys and keys of others matter while they are asked for. Keys that name the owner always do."""
    actual = observed(
        "/services/absent", WEB, present=("/services/web/core-01:b:80", "/services/web/core-02:b:80", REDIS)
    )
    interest = Interest("core-01", PLAIN, wanted=frozenset({REDIS, WEB, "/services/new"}))
    assert interest.without_others(actual) == {REDIS, WEB, "/services/web/core-01:b:80"}
    assert interest.without_others(Actual()) == frozenset()
