"""Tests of model.skydns: the keys and values from which CoreDNS answers queries."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import product

import pytest
from attrs import evolve
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from model.entry import DefaultId, Entry
from model.layout import Decoded, Unreadable
from model.refusal import RefusalReason, RefusedPort
from model.skydns import SkyDnsLayout, id_of_label, label_of, prefix_of
from tests.support.builders import entry
from tests.support.coredns import dns_name, read_service

LAYOUT = SkyDnsLayout("/skydns/local/cluster")


def entry_with(given: Entry, attributes: Mapping[str, str]) -> Entry:
    """Return an entry whose container has these attributes, its name and its id in labels."""
    return evolve(
        given,
        attributes=attributes,
        variables={name: f"label SERVICE_{name.upper()}" for name in attributes},
        name_shown=f"label SERVICE_NAME {given.name!r}",
        id_shown=f"label SERVICE_ID {given.id!r}",
    )


def problem_of(name: str = "nginx", entry_id: str = "web-1", **attributes: str) -> tuple[RefusalReason, str] | None:
    """Return reason and detail of the refusal of such an entry, or None if the layout can write it."""
    try:
        LAYOUT.check(entry_with(entry(name, entry_id), attributes))
    except RefusedPort as refusal:
        return refusal.reason, refusal.detail
    return None


def value(address: str = "192.0.2.1", **attributes: str) -> str:
    """Return the value of an entry with this address and these attributes."""
    return LAYOUT.value(entry_with(entry(address=address), attributes))


# Keys and names.


@pytest.mark.parametrize(
    ("domain", "prefix"),
    [("cluster.local", "/skydns/local/cluster"), ("local", "/skydns/local"), ("a.b.c", "/skydns/c/b/a")],
)
def test_the_prefix_of_a_domain_is_its_name_backwards(domain: str, prefix: str) -> None:
    """registrator makes the same path."""
    assert prefix_of(domain) == prefix


def test_keys_and_values_are_registrators() -> None:
    """Where the id is a DNS label, key and value are equal to registrator's byte for byte."""
    assert LAYOUT.key(entry("redis", "redis-1")) == "/skydns/local/cluster/redis/redis-1"
    assert value() == '{"host":"192.0.2.1","port":8000}'
    assert value("2001:db8::1") == '{"host":"2001:db8::1","port":8000}'


def test_a_name_is_written_in_small_letters() -> None:
    """DNS servers put queries into small letters."""
    assert LAYOUT.key(entry("Team/DB", "x")) == "/skydns/local/cluster/team/db/x"


@pytest.mark.parametrize("name", ["nginx", "NGINX", "my_app", "team/db", "a/b/c", "x" * 63])
def test_a_name_of_dns_labels_is_accepted(name: str) -> None:
    """The labels have slashes between them, and may have capital letters."""
    assert problem_of(name) is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nginx@sha256", "label SERVICE_NAME 'nginx@sha256' is no DNS label"),
        ("a.b", "label SERVICE_NAME 'a.b' is no DNS label"),
        ("a_", "label SERVICE_NAME 'a_' is no DNS label"),
        ("team/-a", "label SERVICE_NAME 'team/-a' has the part '-a', which is no DNS label"),
        ("x" * 64, f"label SERVICE_NAME '{'x' * 64}' is no DNS label"),
        ("any", "label SERVICE_NAME 'any' is what a DNS server takes for any name"),
        ("ab/" * 80 + "c", "makes a DNS name of 261 characters with id and domain, and 253 are the most"),
    ],
)
def test_a_name_that_dns_cannot_have_is_refused(name: str, problem: str) -> None:
    """The detail says what is wrong and how to give another name."""
    reason, detail = problem_of(name) or pytest.fail("it is not refused")
    assert reason is RefusalReason.BAD_NAME
    assert problem in detail
    assert detail.endswith("; give the service another name with SERVICE_NAME or SERVICE_<port>_NAME")


def test_the_longest_dns_name_has_253_characters() -> None:
    """The dots between the labels count."""
    name = "/".join(["x" * 59] * 4)[: 253 - len(".cluster.local") - len("web-1.")]
    assert problem_of(name) is None
    assert len(dns_name(LAYOUT.key(entry(name, "web-1")))) == 253
    assert problem_of(f"{name}x") is not None


# Places that are about the zone itself.


@pytest.mark.parametrize(
    ("prefix", "name", "entry_id", "refused"),
    [
        (
            "/skydns/local",
            "dns/ns",
            "x",
            "label SERVICE_NAME 'dns/ns' lies at 'dns/ns', from which DNS servers take the",
        ),
        ("/skydns/local", "DNS/Ns", "x", "label SERVICE_NAME 'DNS/Ns' lies at 'dns/ns'"),
        ("/skydns/local", "dns/ns/deep", "core-01:web:80", "label SERVICE_NAME 'dns/ns/deep' lies at 'dns/ns'"),
        ("/skydns/local", "dns", "ns", "label SERVICE_ID 'ns' under the name 'dns' lies at 'dns/ns'"),
        ("/skydns/local", "DNS", "apex", "label SERVICE_ID 'apex' under the name 'DNS' lies at 'dns/apex'"),
        ("/skydns/local", "dns/apex", "x", "take the addresses of a zone itself"),
        ("/skydns/local", "dns/stub/com/example", "x", "forward queries for other domains"),
        ("/skydns/local", "team/dns/ns", "x", "label SERVICE_NAME 'team/dns/ns' lies at 'dns/ns'"),
        ("/skydns/local/dns", "ns", "x", "label SERVICE_NAME 'ns' lies at 'dns/ns'"),
        ("/skydns/local/dns", "web", "ns", None),
        ("/skydns/local/dns/ns", "web", "x", None),
        ("/skydns/local", "dns", "core-01:dns:53", None),
        ("/skydns/local", "dns", "NS", None),
        ("/skydns/local", "ns", "dns", None),
        ("/skydns/local", "ns", "apex", None),
        ("/skydns/local", "dns/web", "ns", None),
        ("/skydns/local", "my-dns/ns", "x", None),
    ],
)
def test_no_record_is_written_where_dns_servers_look_for_the_zone_itself(
    prefix: str, name: str, entry_id: str, refused: str | None
) -> None:
    """Such a record would make a container the zone's name server, or give it the zone's own address. The zone may
    begin at any part of the name. A service that is only called ``dns`` is registered. So is everything if the
    operator's domain itself is such a place."""
    layout = SkyDnsLayout(prefix)
    given = entry_with(entry(name, entry_id), {})
    if refused is None:
        layout.check(given)
        return
    with pytest.raises(RefusedPort) as error:
        layout.check(given)
    assert refused in error.value.detail
    in_id = "SERVICE_ID" in error.value.detail
    assert error.value.reason is (RefusalReason.BAD_ID if in_id else RefusalReason.BAD_NAME)


# The TTL of records that have none of their own.


def test_a_ttl_of_the_container_goes_before_that_of_all_records() -> None:
    """It stands in its place among the fields. An empty SERVICE_TTL counts as not given; 0 leaves it to the server."""
    layout = SkyDnsLayout("/skydns/local", 30)
    given = entry(address="192.0.2.1")
    assert layout.value(given) == '{"host":"192.0.2.1","port":8000,"ttl":30}'
    assert layout.value(entry_with(given, {"ttl": ""})) == layout.value(given)
    assert '"port":8000,"ttl":60}' in layout.value(entry_with(given, {"ttl": "60"}))
    assert '"port":8000,"ttl":0}' in layout.value(entry_with(given, {"ttl": "0"}))
    assert '"priority":1,"ttl":30,"group":"g"' in layout.value(entry_with(given, {"group": "g", "priority": "1"}))


# Attributes.


def test_attributes_are_fields_in_the_records_order_and_types() -> None:
    """The fields stand behind the port. An attribute that CoreDNS does not know is left out."""
    given = {
        "group": "g",
        "targetstrip": "1",
        "ttl": "60",
        "mail": "T",
        "text": 'é"\n',
        "weight": "20",
        "priority": "007",
    }
    assert value(**given, region="eu", host="evil", port="1", key="k") == (
        '{"host":"192.0.2.1","port":8000,"priority":7,"weight":20,"text":"é\\"\\n","mail":true,"ttl":60,'
        '"targetstrip":1,"group":"g"}'
    )


def test_an_empty_attribute_counts_as_not_given() -> None:
    """An empty SERVICE_NAME counts as not given in the same way."""
    assert value(priority="", mail="", text="", group="") == value()
    assert problem_of(priority="", ttl="", mail="") is None


@pytest.mark.parametrize(
    ("attribute", "texts"),
    [
        ("priority", ("0", "65535")),
        ("weight", ("0", "65535")),
        ("ttl", ("0", "2147483647")),
        ("targetstrip", ("0", "127")),
        ("mail", ("1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False")),
        ("text", ("x" * 4096, "\ud800", "<&>\u2028")),
        ("group", ("x" * 4096, "é" * 2048)),
    ],
)
def test_an_attribute_at_its_limit_is_read_by_coredns(attribute: str, texts: tuple[str, ...]) -> None:
    """CoreDNS reads the value that was given."""
    for text in texts:
        assert problem_of(**{attribute: text}) is None
        read = getattr(read_service(value(**{attribute: text})), attribute)
        expected = text in {"1", "t", "T", "TRUE", "true", "True"} if attribute == "mail" else text
        assert str(read) == str(expected)


#: Texts that are no whole number, or too large a one.
NOT_NUMBERS = ("-1", "+1", "1.0", "1e2", " 1", "1 ", "0x1", "high", "٣", "²", "9" * 5000)


@pytest.mark.parametrize(
    ("attribute", "texts", "must"),
    [
        ("priority", ("65536", *NOT_NUMBERS), "a whole number from 0 to 65535"),
        ("weight", ("65536", *NOT_NUMBERS), "a whole number from 0 to 65535"),
        ("ttl", ("2147483648", *NOT_NUMBERS), "a whole number from 0 to 2147483647"),
        ("targetstrip", ("128", *NOT_NUMBERS), "a whole number from 0 to 127"),
        ("mail", ("yes", "on", "tRUE", "2", " true"), "true or false"),
        ("text", ("x" * 4097, "é" * 2049), "no longer than 4096 bytes"),
        ("group", ("x" * 4097,), "no longer than 4096 bytes"),
    ],
)
def test_an_attribute_that_coredns_could_not_read_is_refused(attribute: str, texts: tuple[str, ...], must: str) -> None:
    """The detail has the attribute's name, its value and what it must be, and no value is written."""
    for text in texts:
        reason, detail = problem_of(**{attribute: text}) or pytest.fail(f"{text!r} is not refused")
        assert reason is RefusalReason.BAD_ATTRIBUTE
        assert detail.startswith(f"label SERVICE_{attribute.upper()} ")
        assert repr(text[:100]) in detail
        assert detail.endswith(f" must be {must}")
        with pytest.raises(ValueError, match=must):
            value(**{attribute: text})


# Ids and the labels that they become.


@pytest.mark.parametrize("entry_id", ["a", "redis-1", "my_app", "0", "a" * 63, "core-01-web-80", "xn"])
def test_an_id_that_is_a_label_stays_unchanged(entry_id: str) -> None:
    """Operators find the id that they chose."""
    assert label_of(entry_id) == entry_id
    assert id_of_label(entry_id) == entry_id


@pytest.mark.parametrize(
    ("entry_id", "label"),
    [
        ("core-01:web:80", "core-01--web--80"),
        ("core-01:web:53:udp", "core-01--web--53--udp"),
        ("core-01:web:80:sctp", "core-01--web--80--sctp"),
        ("core-01:web:80:sctp:8081", "core-01--web--80--sctp--8081"),
        ("core_01:my_web:80", "core_01--my_web--80"),
        (f"a:{'b' * 56}:80", f"a--{'b' * 56}--80"),
    ],
)
def test_a_default_id_is_read_back_from_its_label(entry_id: str, label: str) -> None:
    """The key of a default id tells which host owns it."""
    assert label_of(entry_id) == label
    assert LAYOUT.id_of(f"/skydns/local/cluster/nginx/{label}") == entry_id


@pytest.mark.parametrize(
    ("entry_id", "readable"),
    [
        ("Web", "web"),
        ("a.b", "a-b"),
        ("a/b", "a-b"),
        ("a--b", "a-b"),
        ("a---b", "a-b"),
        ("-", "id"),
        ("", "id"),
        ("ü", "id"),
        ("\ud800", "id"),
        ("XN", "id"),
        ("x" * 64, "x" * 41),
        ("x" * 40 + ".y", "x" * 40),
        ("host.example:web:80", "host-example-web-80"),
        ("core-01:Web:80", "core-01-web-80"),
        ("core-01:a--b:80", "core-01-a-b-80"),
        ("core-01:web_:80", "core-01-web_-80"),
        ("core-01:-web:80", "core-01-web-80"),
        ("xn:web:80", "xn-web-80"),
        ("core-01:web:http", "core-01-web-http"),
        ("core-01:web", "core-01-web"),
        (f"a:{'b' * 57}:80", f"a-{'b' * 39}"),
        ("core-01--web--80", "core-01-web-80"),
        ("web--0123456789abcdef0123", "web-0123456789abcdef0123"),
        ("any", "any"),
    ],
)
def test_any_other_id_becomes_readable_text_with_a_hash(entry_id: str, readable: str) -> None:
    """The label of any other id has what is readable of the id and a hash, and is not read back as the id."""
    label = label_of(entry_id)
    assert re.fullmatch(re.escape(readable) + "--[0-9a-f]{20}", label)
    assert id_of_label(label) == label
    assert DefaultId.parse(id_of_label(label)) is None


@pytest.mark.parametrize(
    "label",
    [
        "core-01:web:80",
        "core-01--web",
        "a---b--80",
        "a--b-----80",
        "Core-01--web--80",
        "a--b--c",
        "--a--80",
        "xn--a--80",
    ],
)
def test_a_label_that_was_not_made_from_a_default_id_is_read_as_itself(label: str) -> None:
    """A key that registrator wrote still has its colons, and so tells its owner."""
    assert id_of_label(label) == label


#: Ids of all shapes: any text, near labels, near default ids, and near what labels are made of.
PARTS = st.text("ab01-_:./AB", max_size=12) | st.sampled_from(["core-01", "web", "80", "udp", "xn", "--", "-", ":"])
IDS = st.text(max_size=70) | st.lists(PARTS, max_size=6).map("".join) | st.lists(PARTS, max_size=6).map(":".join)
DEFAULT_IDS = st.builds(
    "{}:{}:{}{}".format, PARTS, PARTS, st.integers(0, 99999), st.sampled_from(["", ":udp", ":sctp"])
)

#: Functions that make a similar text of an id.
SIMILAR: tuple[Callable[[str], str], ...] = (
    label_of,
    id_of_label,
    str.lower,
    lambda text: text.replace(":", "--"),
    lambda text: text.replace("--", ":"),
    lambda text: text[:63],
    lambda text: f"{text}-",
)

#: An id, and another one that is similar to it.
PAIRS = st.tuples(IDS | DEFAULT_IDS, st.sampled_from(SIMILAR)).map(lambda pair: (pair[0], pair[1](pair[0])))


@settings(max_examples=500)
@given(PAIRS | st.tuples(IDS | DEFAULT_IDS, IDS | DEFAULT_IDS))
@example(("a:b-:80", "a:b:-80"))
@example(("a.b", "a-b"))
def test_two_different_ids_never_become_one_label(pair: tuple[str, str]) -> None:
    """Each label can be queried, none looks like an encoded one, and each is read back as its id or as itself."""
    one, other = pair
    for entry_id in pair:
        label = label_of(entry_id)
        assert dns_name(f"/skydns/{label}") == label
        assert not label.startswith("xn--")
        assert id_of_label(label) in {entry_id, label}
    assert (label_of(one) == label_of(other)) == (one == other)


def test_all_short_ids_have_different_labels() -> None:
    """No two short ids of the characters of labels, default ids and hashes have the same label."""
    ids = ["".join(each) for length in range(1, 8) for each in product("a-:8", repeat=length)]
    ids += [f"{one}8:8{other}" for one in ids[:1000] for other in ("", ":udp", "--udp")]
    assert len({label_of(each) for each in ids}) == len(set(ids)) > 20_000


@given(IDS | IDS.map(label_of) | DEFAULT_IDS.map(label_of))
def test_the_label_of_a_custom_id_is_never_read_as_a_default_id(entry_id: str) -> None:
    """A custom id cannot be taken for the default id of some host."""
    assume(DefaultId.parse(entry_id) is None)
    assert DefaultId.parse(id_of_label(label_of(entry_id))) is None


# Arbitrary entries and values.

WORDS = st.text(max_size=20) | st.text("abAB01-_./:", max_size=20) | st.sampled_from(["true", "1", "65535", "any"])
NAMES = WORDS | st.lists(st.text("abAB01-_", min_size=1, max_size=66), min_size=1, max_size=5).map("/".join)

ATTRIBUTES = st.dictionaries(
    st.sampled_from(["priority", "weight", "text", "mail", "ttl", "targetstrip", "group", "host", "x"]),
    WORDS | st.integers(-1, 2**33).map(str) | st.text(st.characters(), max_size=9),
)


@given(NAMES, IDS | DEFAULT_IDS, st.ip_addresses().map(str), st.integers(1, 65535), ATTRIBUTES)
def test_coredns_and_this_layout_can_read_what_the_layout_writes(
    name: str, entry_id: str, address: str, port: int, attributes: Mapping[str, str]
) -> None:
    """The key is a name that can be queried."""
    given = entry_with(entry(name, entry_id, address, port), attributes)
    try:
        LAYOUT.check(given)
    except RefusedPort:
        return
    key, value = LAYOUT.key(given), LAYOUT.value(given)
    assert dns_name(key).endswith(".cluster.local")
    service = read_service(value)
    assert (service.host, service.port) == (address, port)
    assert LAYOUT.decode(key, value) == Decoded(name.lower(), LAYOUT.id_of(key), address, port)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("/skydns/local/other/nginx/x", '{"host":"192.0.2.1","port":80}'),
        ("/skydns/local/cluster/x", '{"host":"192.0.2.1","port":80}'),
        *(
            ("/skydns/local/cluster/nginx/x", value)
            for value in (
                "",
                "192.0.2.1:80",
                "{",
                "[]",
                "null",
                '"host"',
                "{}",
                '{"host":"192.0.2.1"}',
                '{"port":80}',
                '{"host":"","port":80}',
                '{"host":1,"port":80}',
                '{"host":"192.0.2.1","port":"80"}',
                '{"host":"192.0.2.1","port":80.0}',
                '{"host":"192.0.2.1","port":true}',
                '{"host":"192.0.2.1","port":0}',
                '{"host":"192.0.2.1","port":65536}',
                "[" * 100_000,
                '{"port":' + "9" * 10_000 + "}",
            )
        ),
    ],
)
def test_a_key_or_value_of_another_form_is_unreadable(key: str, value: str) -> None:
    """Text that somebody else wrote never raises an exception."""
    assert isinstance(LAYOUT.decode(key, value), Unreadable)
