"""Tests of model.entry: ids in registrator's form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.container import Binding, PortId
from model.entry import DefaultId, binding_suffix
from tests.support.builders import binding


@pytest.mark.parametrize(
    ("protocol", "text"), [("tcp", "core-01:web:80"), ("udp", "core-01:web:80:udp"), ("sctp", "core-01:web:80:sctp")]
)
def test_a_default_id_has_registrators_form(protocol: str, text: str) -> None:
    """A default id is owner, container and port with colons between them. Each protocol but tcp adds a suffix."""
    assert str(DefaultId.of("core-01", "web", PortId(80, protocol))) == text


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("core-01:web:80:8081", "80:8081"),
        ("core-01:web:53:udp:5354", "53:udp:5354"),
        ("core-01:web:80:sctp", "80:sctp"),
        ("core-01:web:80:sctp:8081", "80:sctp:8081"),
        ("core-01:web:80:sctp:fd00--1-8080", "80:sctp:fd00--1-8080"),
        ("core-01:web:80:10.0.0.2-8080", "80:10.0.0.2-8080"),
        ("core-01:web:53:udp:10.0.0.2-8080", "53:udp:10.0.0.2-8080"),
        ("core-01:web:80:fd00--1-8080", "80:fd00--1-8080"),
        ("core-01:web:80:--1-8080", "80:--1-8080"),
        ("core-01:web:80:--ffff-10.0.0.2-8080", "80:--ffff-10.0.0.2-8080"),
    ],
)
def test_an_id_with_a_binding_suffix_names_owner_and_container(text: str, port: str) -> None:
    """The suffix belongs to the port."""
    assert DefaultId.parse(text) == DefaultId("core-01", "web", port)
    assert str(DefaultId.parse(text)) == text


@given(
    st.sampled_from(["tcp", "udp", "sctp"]),
    st.integers(1, 65535),
    st.ip_addresses().map(str),
    st.integers(1, 65535),
)
def test_an_id_with_any_binding_suffix_is_read_as_it_was_written(
    protocol: str, number: int, address: str, host_port: int
) -> None:
    """Parsing is the inverse of writing for every protocol, port and address."""
    first = DefaultId.of("core-01", "web", PortId(number, protocol))
    text = f"{first}:{binding_suffix(Binding(address, host_port))}"
    found = DefaultId.parse(text)
    assert found is not None
    assert (found.owner, found.container, str(found)) == ("core-01", "web", text)


@given(st.from_regex(r"[^:]+:[^:]+:[0-9]+(:udp|:sctp)?(:[0-9]{1,5})?", fullmatch=True))
def test_a_default_id_is_written_as_it_was_read(text: str) -> None:
    """Writing is the inverse of parsing."""
    assert str(DefaultId.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "redis-1",
            "",
            "a:b",
            "a:b:c",
            "a:b:80:tcp",
            "a:b:80:dccp",
            "a:b:80:SCTP",
            "a:b:80:udp:sctp",
            ":b:80",
            "a::80",
            "a:b:80\n",
            "a:b:c:80",
        ),
        *("a:b:80:", "a:b:80:x", "a:b:80:123456", "a:b:80:-8080", "a:b:80:1-8080", "a:b:80:10.0.0-8080"),
        *("a:b:80:10.0.0.2-", "a:b:80:10.0.0.2", "a:b:80:8081:8082", "a:b:80:tcp:8081", "a:b:80:fe80--1%eth0-8080"),
    ],
)
def test_an_id_in_another_form_is_no_default_id(text: str) -> None:
    """An id that has only a part of the form is not taken for the id of some host."""
    assert DefaultId.parse(text) is None


@pytest.mark.parametrize(
    ("text", "id_suffix"),
    [
        (":8081", "8081"),
        ("0.0.0.0:8081", "8081"),
        (":::8081", "8081"),
        ("10.0.0.2:8080", "10.0.0.2-8080"),
        ("::1:8080", "--1-8080"),
        ("2001:db8::7:8080", "2001-db8--7-8080"),
    ],
)
def test_a_binding_suffix_has_the_port_and_a_concrete_address(text: str, id_suffix: str) -> None:
    """In the address, dashes replace the colons, which separate the parts of an id."""
    assert binding_suffix(binding(text)) == id_suffix
