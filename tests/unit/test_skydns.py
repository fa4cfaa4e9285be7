"""The layout that CoreDNS reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import product

import pytest
from attrs import evolve
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from model.entry import DefaultId
from model.layout import Decoded, Unreadable
from model.refusal import RefusalReason, RefusedPort
from model.skydns import SkyDnsLayout, id_of_label, label_of, prefix_of
from tests.support.builders import entry
from tests.support.coredns import dns_name, read_service

LAYOUT = SkyDnsLayout("/skydns/local/cluster")


def refused(name: str = "nginx", entry_id: str = "web-1", **attributes: str) -> tuple[RefusalReason, str] | None:
    """Why such an entry cannot be."""
    try:
        LAYOUT.check(evolve(entry(name, entry_id), attributes=attributes))
    except RefusedPort as refused:
        return refused.reason, refused.detail
    return None


def value(address: str = "192.0.2.1", **attributes: str) -> str:
    """What is written."""
    return LAYOUT.value(evolve(entry(address=address), attributes=attributes))


@pytest.mark.parametrize(
    ("domain", "prefix"),
    [("cluster.local", "/skydns/local/cluster"), ("local", "/skydns/local"), ("a.b.c", "/skydns/c/b/a")],
)
def test_a_domain_is_a_path_backwards(domain: str, prefix: str) -> None:
    """As registrator has it."""
    assert prefix_of(domain) == prefix


def test_registrators_key_and_value() -> None:
    """Byte for byte, where the id is a label."""
    assert LAYOUT.key(entry("redis", "redis-1")) == "/skydns/local/cluster/redis/redis-1"
    assert value() == '{"host":"192.0.2.1","port":8000}'
    assert value("2001:db8::1") == '{"host":"2001:db8::1","port":8000}'


def test_names_are_asked_for_in_small_letters() -> None:
    """So they are written in them."""
    assert LAYOUT.key(entry("Team/DB", "x")) == "/skydns/local/cluster/team/db/x"


@pytest.mark.parametrize("name", ["nginx", "NGINX", "my_app", "team/db", "a/b/c", "x" * 63])
def test_names_that_the_dns_can_have(name: str) -> None:
    """Labels, with a slash between them."""
    assert refused(name) is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nginx@sha256", "the service's name 'nginx@sha256' is no DNS label"),
        ("a.b", "the service's name 'a.b' is no DNS label"),
        ("a_", "the service's name 'a_' is no DNS label"),
        ("team/-a", "the service's name 'team/-a' has the part '-a', which is no DNS label"),
        ("x" * 64, f"the service's name '{'x' * 64}' is no DNS label"),
        ("any", "the service's name 'any' is what a DNS server takes for any name"),
        ("ab/" * 80 + "c", "makes a DNS name of 261 characters with id and domain, and 253 are the most"),
    ],
)
def test_names_that_the_dns_cannot_have_are_refused(name: str, problem: str) -> None:
    """With what is wrong, and what to do about it."""
    reason, detail = refused(name) or pytest.fail("it is not refused")
    assert reason is RefusalReason.BAD_NAME
    assert problem in detail
    assert detail.endswith("; give it one with SERVICE_NAME")


def test_the_longest_name_that_fits_is_written() -> None:
    """253 characters, with the dots."""
    name = "/".join(["x" * 59] * 4)[: 253 - len(".cluster.local") - len("web-1.")]
    assert refused(name) is None
    assert len(dns_name(LAYOUT.key(entry(name, "web-1")))) == 253
    assert refused(f"{name}x") is not None


# Attributes.


def test_attributes_come_behind_the_port_in_the_records_order() -> None:
    """With the record's types; what CoreDNS does not know stays out."""
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


def test_an_empty_attribute_is_one_not_given() -> None:
    """As an empty SERVICE_NAME is."""
    assert value(priority="", mail="", text="", group="") == value()
    assert refused(priority="", ttl="", mail="") is None


@pytest.mark.parametrize(
    ("attribute", "words"),
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
def test_attributes_at_their_limits(attribute: str, words: tuple[str, ...]) -> None:
    """Each is read by CoreDNS as what was said."""
    for word in words:
        assert refused(**{attribute: word}) is None
        read = getattr(read_service(value(**{attribute: word})), attribute)
        expected = word in {"1", "t", "T", "TRUE", "true", "True"} if attribute == "mail" else word
        assert str(read) == str(expected)


NUMBERS = ("-1", "+1", "1.0", "1e2", " 1", "1 ", "0x1", "high", "٣", "²", "9" * 5000)


@pytest.mark.parametrize(
    ("attribute", "words", "must"),
    [
        ("priority", ("65536", *NUMBERS), "a whole number from 0 to 65535"),
        ("weight", ("65536", *NUMBERS), "a whole number from 0 to 65535"),
        ("ttl", ("2147483648", *NUMBERS), "a whole number from 0 to 2147483647"),
        ("targetstrip", ("128", *NUMBERS), "a whole number from 0 to 127"),
        ("mail", ("yes", "on", "tRUE", "2", " true"), "true or false"),
        ("text", ("x" * 4097, "é" * 2049), "no longer than 4096 bytes"),
        ("group", ("x" * 4097,), "no longer than 4096 bytes"),
    ],
)
def test_an_attribute_that_coredns_could_not_read_is_refused(attribute: str, words: tuple[str, ...], must: str) -> None:
    """With its name, the value and what it must be; never written."""
    for word in words:
        reason, detail = refused(**{attribute: word}) or pytest.fail(f"{word!r} is not refused")
        assert reason is RefusalReason.BAD_ATTRIBUTE
        assert detail.startswith(f"SERVICE_{attribute.upper()} ")
        assert repr(word[:100]) in detail
        assert detail.endswith(f" must be {must}")
        with pytest.raises(ValueError, match=must):
            value(**{attribute: word})


# Ids.


@pytest.mark.parametrize("entry_id", ["a", "redis-1", "my_app", "0", "a" * 63, "core-01-web-80", "xn"])
def test_an_id_that_is_a_label_stays(entry_id: str) -> None:
    """What an operator chose is what he finds."""
    assert label_of(entry_id) == entry_id
    assert id_of_label(entry_id) == entry_id


@pytest.mark.parametrize(
    ("entry_id", "label"),
    [
        ("core-01:web:80", "core-01--web--80"),
        ("core-01:web:53:udp", "core-01--web--53--udp"),
        ("core_01:my_web:80", "core_01--my_web--80"),
        (f"a:{'b' * 56}:80", f"a--{'b' * 56}--80"),
    ],
)
def test_a_default_id_can_be_read_back(entry_id: str, label: str) -> None:
    """So the key tells whose it is."""
    assert label_of(entry_id) == label
    assert LAYOUT.id_of(f"/skydns/local/cluster/nginx/{label}") == entry_id


@pytest.mark.parametrize(
    ("entry_id", "slug"),
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
def test_any_other_id_is_told_by_its_hash(entry_id: str, slug: str) -> None:
    """With what can be read of it before that; it is not read back."""
    label = label_of(entry_id)
    assert re.fullmatch(re.escape(slug) + "--[0-9a-f]{20}", label)
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
def test_a_label_that_was_not_made_here_stays_what_it_is(label: str) -> None:
    """A key of registrator's has its colons still, and so tells its owner."""
    assert id_of_label(label) == label


#: Ids of all shapes: any text, near labels, near default ids, and near what labels are made of.
PARTS = st.text("ab01-_:./AB", max_size=12) | st.sampled_from(["core-01", "web", "80", "udp", "xn", "--", "-", ":"])
IDS = st.text(max_size=70) | st.lists(PARTS, max_size=6).map("".join) | st.lists(PARTS, max_size=6).map(":".join)
DEFAULTS = st.builds("{}:{}:{}{}".format, PARTS, PARTS, st.integers(0, 99999), st.sampled_from(["", ":udp"]))


#: An id, and another one that is much like it.
ALIKE: tuple[Callable[[str], str], ...] = (
    label_of,
    id_of_label,
    str.lower,
    lambda text: text.replace(":", "--"),
    lambda text: text.replace("--", ":"),
    lambda text: text[:63],
    lambda text: f"{text}-",
)
PAIRS = st.tuples(IDS | DEFAULTS, st.sampled_from(ALIKE)).map(lambda pair: (pair[0], pair[1](pair[0])))


@settings(max_examples=500)
@given(PAIRS | st.tuples(IDS | DEFAULTS, IDS | DEFAULTS))
@example(("a:b-:80", "a:b:-80"))
@example(("a.b", "a-b"))
def test_no_two_ids_become_one_label(pair: tuple[str, str]) -> None:
    """Each label is one that can be asked for, none poses as an encoded one, and each id has its own."""
    one, other = pair
    for entry_id in pair:
        label = label_of(entry_id)
        assert dns_name(f"/skydns/{label}") == label
        assert not label.startswith("xn--")
        assert id_of_label(label) in {entry_id, label}
    assert (label_of(one) == label_of(other)) == (one == other)


def test_no_two_short_ids_become_one_label() -> None:
    """All of them, of what labels, default ids and hashes are made of."""
    ids = ["".join(each) for length in range(1, 8) for each in product("a-:8", repeat=length)]
    ids += [f"{one}8:8{other}" for one in ids[:1000] for other in ("", ":udp", "--udp")]
    assert len({label_of(each) for each in ids}) == len(set(ids)) > 20_000


@given(IDS | IDS.map(label_of) | DEFAULTS.map(label_of))
def test_no_custom_id_poses_as_a_hosts_own(entry_id: str) -> None:
    """Only a default id is read back as one, and it is one already where it is refused as another host's."""
    assume(DefaultId.parse(entry_id) is None)
    assert DefaultId.parse(id_of_label(label_of(entry_id))) is None


# Whatever is asked for.

WORDS = st.text(max_size=20) | st.text("abAB01-_./:", max_size=20) | st.sampled_from(["true", "1", "65535", "any"])
NAMES = WORDS | st.lists(st.text("abAB01-_", min_size=1, max_size=66), min_size=1, max_size=5).map("/".join)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["priority", "weight", "text", "mail", "ttl", "targetstrip", "group", "host", "x"]),
    WORDS | st.integers(-1, 2**33).map(str) | st.text(st.characters(), max_size=9),
)


@given(NAMES, IDS | DEFAULTS, st.ip_addresses().map(str), st.integers(1, 65535), ATTRIBUTES)
def test_what_is_written_can_be_read(
    name: str, entry_id: str, address: str, port: int, attributes: Mapping[str, str]
) -> None:
    """By CoreDNS, under a name that can be asked for, and by us."""
    given = evolve(entry(name, entry_id, address, port), attributes=attributes)
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
def test_rubbish_is_a_value(key: str, value: str) -> None:
    """What somebody else wrote is never an exception."""
    assert isinstance(LAYOUT.decode(key, value), Unreadable)
