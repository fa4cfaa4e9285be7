"""Ids, and what may become a part of a key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.container import Binding, PortId
from model.entry import DefaultId, binding_suffix
from model.keys import MAX_PART_BYTES, key_part_problem


@pytest.mark.parametrize(
    ("protocol", "text"), [("tcp", "core-01:web:80"), ("udp", "core-01:web:80:udp"), ("sctp", "core-01:web:80")]
)
def test_ids_are_registrators(protocol: str, text: str) -> None:
    """Only udp leaves a mark."""
    assert str(DefaultId.of("core-01", "web", PortId(80, protocol))) == text


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("core-01:web:80:8081", "80:8081"),
        ("core-01:web:53:udp:5354", "53:udp:5354"),
        ("core-01:web:80:10.0.0.2-8080", "80:10.0.0.2-8080"),
        ("core-01:web:53:udp:10.0.0.2-8080", "53:udp:10.0.0.2-8080"),
        ("core-01:web:80:fd00--1-8080", "80:fd00--1-8080"),
        ("core-01:web:80:--1-8080", "80:--1-8080"),
        ("core-01:web:80:--ffff-10.0.0.2-8080", "80:--ffff-10.0.0.2-8080"),
    ],
)
def test_ids_of_further_bindings_tell_their_owner(text: str, port: str) -> None:
    """And the container, as those of the first do."""
    assert DefaultId.parse(text) == DefaultId("core-01", "web", port)
    assert str(DefaultId.parse(text)) == text


@given(
    st.sampled_from(["tcp", "udp", "sctp"]),
    st.integers(1, 65535),
    st.ip_addresses().map(str),
    st.integers(1, 65535),
)
def test_every_mark_reads_as_it_writes(protocol: str, number: int, address: str, host_port: int) -> None:
    """Whatever the binding is."""
    first = DefaultId.of("core-01", "web", PortId(number, protocol))
    text = f"{first}:{binding_suffix(Binding(address, host_port))}"
    found = DefaultId.parse(text)
    assert found is not None
    assert (found.owner, found.container, str(found)) == ("core-01", "web", text)


@given(st.from_regex(r"[^:]+:[^:]+:[0-9]+(:udp)?(:[0-9]{1,5})?", fullmatch=True))
def test_an_id_reads_as_it_writes(text: str) -> None:
    """Parsing is the inverse of writing."""
    assert str(DefaultId.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("redis-1", "", "a:b", "a:b:c", "a:b:80:tcp", ":b:80", "a::80", "a:b:80\n", "a:b:c:80"),
        *("a:b:80:", "a:b:80:x", "a:b:80:123456", "a:b:80:-8080", "a:b:80:1-8080", "a:b:80:10.0.0-8080"),
        *("a:b:80:10.0.0.2-", "a:b:80:10.0.0.2", "a:b:80:8081:8082", "a:b:80:tcp:8081", "a:b:80:fe80--1%eth0-8080"),
    ],
)
def test_other_ids_are_not_in_registrators_form(text: str) -> None:
    """Nothing is taken for an id of some host that does not have the whole form."""
    assert DefaultId.parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "web",
        "team/db",
        "a b",
        "%2F",
        "ü",
        "a.b",
        "...",
        "a_",
        "~",
        "core-01:web:80",
        "x" * MAX_PART_BYTES,
        "-",
        "a\xa0b",
    ],
)
def test_what_can_be_a_name(text: str) -> None:
    """A slash nests; every other character that can be seen is fine."""
    assert key_part_problem(text) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        (".", "'.'"),
        ("..", "'..'"),
        ("../evil", "'..'"),
        ("a/../../b", "'..'"),
        ("a//b", "''"),
        ("/a", "''"),
        ("a/", "''"),
        ("_hidden", "hides"),
        ("a/_hidden", "hides"),
        ("a\nb", "control"),
        ("a\x1b[31m", "control"),
        ("a\x7f", "control"),
        ("\ud800", "control"),
        ("a\u2028b", "control"),
        ("ü" * MAX_PART_BYTES, "longer"),
    ],
)
def test_what_cannot_be_a_name(text: str, word: str) -> None:
    """What would land elsewhere, be hidden, or break a line."""
    assert word in (key_part_problem(text) or "")
