"""The JSON documents of etcd's v3 gateway."""

from __future__ import annotations

import base64

import pytest

from controller.registry.etcd_v3.documents import Page, decoded, encoded, is_unchanged, keys_below
from model.stored import Stored, StorePosition

HEADER = {"cluster_id": "14841639068965178418", "revision": "7"}


@pytest.mark.parametrize("raw", [b"", b"/services/a b", "日本".encode(), b"\xff\xfe\x00"], ids=repr)
def test_bytes_are_the_same_after_decoding_and_encoding(raw: bytes) -> None:
    """Also those that are no UTF-8."""
    code = base64.b64encode(raw).decode()
    assert encoded(decoded(code)) == code


def test_a_range_begins_behind_the_slash_and_ends_before_the_next_character() -> None:
    """``0`` follows ``/``, so neither ``/services`` itself nor ``/services-old`` is in it."""
    assert keys_below("/services") == {"key": encoded("/services/"), "range_end": encoded("/services0")}


def test_a_key_that_is_absent_has_the_revision_0() -> None:
    """64-bit numbers are text in the gateway's documents."""
    assert is_unchanged("/a", 0) == {"key": encoded("/a"), "target": "MOD", "mod_revision": 0}


def test_what_the_gateway_leaves_out_is_empty_or_0() -> None:
    """An empty range has neither keys nor a count."""
    position = StorePosition("14841639068965178418", 7)
    assert Page.read_from({"header": HEADER}, lease=0) == Page(position, (), 0)
    without_value = {"key": encoded("/a"), "mod_revision": "5"}
    assert Page.read_from({"header": HEADER, "kvs": [without_value], "count": "1"}, lease=0) == Page(
        position, (Stored("/a", "", 5, ttl=None, renewable=False),), 1
    )


@pytest.mark.parametrize(
    ("lease", "own_lease", "ttl", "renewable"),
    [("9", 9, 0, True), ("9", 8, 0, False), ("9", 0, 0, False), ("0", 9, None, False), ("0", 0, None, False)],
)
def test_only_keys_on_the_hosts_own_lease_are_renewable(
    lease: str, own_lease: int, ttl: int | None, renewable: bool
) -> None:
    """A key on any lease expires; how long the lease still lasts is not in the answer."""
    pair = {"key": encoded("/a"), "value": encoded("x:1"), "mod_revision": "5", "lease": lease}
    page = Page.read_from({"header": HEADER, "kvs": [pair], "count": "1"}, own_lease)
    assert page.stored == (Stored("/a", "x:1", 5, ttl, renewable),)
