"""Whatever containers, operators and etcd say: an answer that keeps its promises, or the one error that says no."""

from __future__ import annotations

import copy
import io
import json
import logging
import sys
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from controller import logs
from controller.config import converters as words
from controller.errors import plain
from controller.host_port import HostPort
from controller.registry.uri import parse_uri
from model.address import address_problem
from model.container import MalformedContainer, PortId, from_inspect
from model.desired import desired
from model.entry import DefaultId
from model.family import Family
from model.keys import key_part_problem, quoted
from model.layout import Decoded, PlainLayout, Unreadable
from model.listing import agrees_with_list, shown_in_list
from model.metadata import metadata_for, split_tags
from model.record import OwnerRecord
from model.rules import AddressRules, HealthRule, Rules
from model.snapshot import Snapshot
from tests.support.builders import PLAIN
from tests.support.nasty import ODD, OTHERS, STRANGE_KEYS, UNFIT, UNFIT_ADDRESSES

LAYOUT = PlainLayout.under("/services")

#: Any text, lone surrogates too, and what the corpus of nasty containers has found worth trying.
NASTY = [text for texts in (UNFIT, ODD, OTHERS, UNFIT_ADDRESSES, STRANGE_KEYS) for text in texts.values()]
TEXT = st.text(st.characters(), max_size=60) | st.sampled_from([text[:2000] for text in NASTY])

#: Anything that JSON can say.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)

#: A good answer of the engine about one container.
INSPECT: dict[str, Any] = {
    "Id": "4f" * 32,
    "Name": "/web",
    "Created": "2026-01-01T00:00:00.123456789Z",
    "State": {"Status": "running", "ExitCode": 0, "Health": {"Status": "healthy"}},
    "Config": {
        "Image": "nginx:1",
        "Env": ["PATH=/bin", "SERVICE_NAME=web"],
        "Labels": {"SERVICE_ID": "x"},
        "ExposedPorts": {"80/tcp": {}},
    },
    "HostConfig": {"NetworkMode": "default"},
    "NetworkSettings": {
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8000"}], "443/tcp": None},
        "IPAddress": "172.17.0.2",
        "GlobalIPv6Address": "fd00::2",
        "Networks": {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": "fd00::2"}},
    },
}

Path = tuple[str | int, ...]


def paths(document: Any, path: Path = ()) -> list[Path]:
    """The way to every value of a document."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(document, dict):
        inner = list(document.items())
    elif isinstance(document, list):
        inner = list(enumerate(document))
    return [path, *(each for key, value in inner for each in paths(value, (*path, key)))]


def replaced(path: Path, value: Any) -> Any:
    """The good answer with one value replaced."""
    document = copy.deepcopy(INSPECT)
    inner: Any = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


@given(JSON)
def test_from_inspect_of_anything(document: Any) -> None:
    """A container or MalformedContainer, nothing else."""
    with suppress(MalformedContainer):
        from_inspect(document)


@given(st.sampled_from(paths(INSPECT)[1:]), JSON)
@example(("Id",), None)
def test_from_inspect_of_a_good_answer_with_anything_in_it(path: Path, value: Any) -> None:
    """As before; and what is read can be decided about, and compared with the list."""
    try:
        container = from_inspect(replaced(path, value))
    except MalformedContainer:
        return
    assert all(isinstance(each, str) for each in (container.id, container.name, container.image, *container.env))
    rules = Rules("core-01", AddressRules(ip="192.0.2.1"))
    for each in (rules, evolve(rules, all_bindings=True), evolve(rules, health=HealthRule.HEALTHY, address=IPV6_ONLY)):
        assert desired(Snapshot((container,)), each, PLAIN).held == frozenset()


#: Rules under which a container's own IPv6 addresses count, and no others.
IPV6_ONLY = AddressRules(internal=True, network="bridge", family=Family.IPV6)

#: What raises here is caught where the list is read: the container is then unreadable, and its entries stay.
SHAPE = (KeyError, TypeError, AttributeError, ValueError)


@given(st.dictionaries(st.sampled_from(["Names", "State", "Ports", "NetworkSettings", "Status"]), JSON))
def test_a_line_of_the_list_with_anything_in_it(line: dict[str, Any]) -> None:
    """It is compared, or raises what the engine's door turns into an unreadable container."""
    container = from_inspect(INSPECT)
    for look in (shown_in_list, lambda each: agrees_with_list(container, each)):
        with suppress(*SHAPE):
            look(line)


PORTS = st.builds(PortId, st.integers(1, 65535), st.sampled_from(["tcp", "udp", "sctp"]))


@given(PORTS, st.lists(TEXT, max_size=5), st.dictionaries(TEXT, TEXT, max_size=5))
def test_metadata_of_anything(port: PortId, env: list[str], labels: dict[str, str]) -> None:
    """Lower-case keys, and values as they were said."""
    found = metadata_for(port, env, labels)
    said = {*labels.values(), *(line.partition("=")[2] for line in env)}
    assert set(found.values.values()) <= said
    assert all(key == key.lower() for key in found.values)
    assert found.from_port <= found.values.keys()
    split_tags(*found.values.values())


VARIABLES = st.sampled_from(
    ["SERVICE_NAME", "SERVICE_ID", "SERVICE_TAGS", "SERVICE_80_NAME", "SERVICE_80_ID", "ip", "SERVICE_80_TCP_NAME"]
)


@given(st.dictionaries(VARIABLES, TEXT), st.dictionaries(VARIABLES, TEXT))
def test_whatever_a_container_says_its_keys_stay_in_their_place(labels: dict[str, str], env: dict[str, str]) -> None:
    """One entry or one refusal a port. An entry's key is below the prefix, as long as it looks, and decodes to itself;
    its value is an address and a port on one line. A refusal fits on a screen."""
    document = copy.deepcopy(INSPECT)
    document["Config"] |= {"Labels": labels, "Env": [f"{key}={value}" for key, value in env.items()]}
    rules = Rules("core-01", AddressRules(ip="192.0.2.1", label="ip"))
    result = desired(Snapshot((from_inspect(document),)), rules, PLAIN)
    assert len(result.entries) + len(result.refusals) == 1
    for entry in result.entries:
        key, value = LAYOUT.key(entry), LAYOUT.value(entry)
        assert all(part not in {"", ".", ".."} and part[0] != "_" for part in key.split("/")[1:])
        assert len(key.encode()) < 2100
        assert (key + value).isprintable() or not controls(key + value)
        assert value.isascii()
        assert "\n" not in value
        decoded = LAYOUT.decode(key, value)
        assert isinstance(decoded, Decoded)
        assert (decoded.address, decoded.port) == (entry.address, entry.port)
    for refusal in result.refusals:
        assert len(refusal.detail) < 1500


def controls(text: str) -> set[str]:
    """The control characters and lone surrogates in it."""
    return {char for char in text if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}}


@given(TEXT)
def test_parts_of_keys(text: str) -> None:
    """What passes is what it says, and short; the complaint about the rest is short, too, and can be printed."""
    problem = key_part_problem(text)
    if problem is None:
        assert not controls(text)
        assert len(text.encode()) <= 1024
        assert not {"", ".", ".."} & set(text.split("/"))
    else:
        assert len(problem) < 700
        assert not controls(problem)
    assert not controls(quoted(text))


@given(TEXT | st.builds("/services/{}/{}".format, TEXT, TEXT), TEXT | st.builds("{}:{}".format, TEXT, TEXT))
def test_decoding_any_key_and_value(key: str, value: str) -> None:
    """An entry that is written the same way again, but for a port's leading zeros, or Unreadable."""
    decoded = LAYOUT.decode(key, value)
    if isinstance(decoded, Unreadable):
        return
    assert f"/services/{decoded.name}/{decoded.id}" == key
    assert 0 < decoded.port < 65536
    address = f"[{decoded.address}]" if ":" in decoded.address else decoded.address
    assert value.startswith(f"{address}:")


@given(TEXT | JSON.map(json.dumps))
def test_decoding_any_record(text: str) -> None:
    """A record that survives being written, or None."""
    record = OwnerRecord.decode(text)
    assert record is None or OwnerRecord.decode(record.encode()) == record


CLAIMS = st.dictionaries(TEXT, JSON | st.fixed_dictionaries({"container": JSON, "values": JSON}))


@given(st.fixed_dictionaries({"engine": JSON, "claims": CLAIMS | JSON}))
def test_decoding_what_looks_like_a_record(document: dict[str, Any]) -> None:
    """As before."""
    test_decoding_any_record.hypothesis.inner_test(json.dumps(document))  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 10_000, '{"engine":"","claims":null}'])
def test_decoding_a_record_that_is_made_to_exhaust(text: str) -> None:
    """None, and no crash."""
    assert OwnerRecord.decode(text) is None


MARKS = st.from_regex(r":[0-9a-f.:-]*", fullmatch=True) | st.just("")


@given(TEXT | st.builds("{}:{}:{}{}".format, TEXT, TEXT, st.integers(0, 99999), MARKS))
def test_default_ids(text: str) -> None:
    """What is read as one is written the same way."""
    found = DefaultId.parse(text)
    assert found is None or str(found) == text


@given(st.text(max_size=30))
def test_port_ids(text: str) -> None:
    """A number in range, or MalformedContainer."""
    with suppress(MalformedContainer):
        assert 0 < PortId.parse(text).number < 65536


HOSTS = st.sampled_from(["a", "[::1]", "::1", "127.0.0.1:1", "a:0", "[", "a:99999", "", "ü"]) | TEXT
DOMAINS = (
    TEXT | st.sampled_from(["local", "Cluster.local.", "a..b", "any.local", "x" * 64]) | st.text("aZ-_.", max_size=300)
)
URIS = (
    TEXT
    | st.builds("etcd://{}/{}".format, st.lists(HOSTS, max_size=3).map(",".join), TEXT)
    | st.builds("skydns2://a/{}".format, DOMAINS)
)


@given(URIS)
def test_registry_uris(text: str) -> None:
    """Hosts that can be dialled and a prefix that is one, or a ValueError."""
    try:
        uri = parse_uri(text)
    except ValueError:
        return
    assert uri.endpoints
    assert all(0 < port < 65536 and address_problem(host) is None for host, port in uri.endpoints)
    assert uri.prefix == "" or key_part_problem(uri.prefix.removeprefix("/")) is None


READERS: list[Callable[[str], object]] = [
    words.whole,
    words.not_negative,
    words.seconds,
    words.percent,
    words.address,
    words.owner,
    words.tags,
    words.deregister,
    words.listen,
    words.value_format,
    words.health,
    words.family,
    words.docker_filter,
    lambda text: HostPort.parse(text, "2379"),
]


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__.strip("<>"))
@given(text=TEXT)
def test_words_of_the_command_line(read: Callable[[str], object], text: str) -> None:
    """A value, or a ValueError."""
    with suppress(ValueError):
        read(text)


@given(TEXT | st.ip_addresses().map(str))
@example("fe80::1%eth0")
def test_addresses(text: str) -> None:
    """What passes is an IP address or a host name: ASCII, on one line, and nothing that steers anything."""
    if address_problem(text) is None:
        assert text.isascii()
        assert 0 < len(text) < 254
        assert not set(text) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-")


@given(st.ip_addresses())
def test_every_address_that_is_one_passes(address: Any) -> None:
    """But for the unspecified ones."""
    assert (address_problem(str(address)) is None) is not ip_address(address).is_unspecified


@given(TEXT)
def test_plain_text_is_one_line_that_can_be_printed(text: str) -> None:
    """And text that is so already is left as it is."""
    assert plain(text).isprintable()
    assert plain(text) == text or not text.isprintable()


@pytest.mark.parametrize("form", logs.FORMATS)
@given(text=TEXT)
def test_a_log_line_stays_one(form: str, text: str) -> None:
    """Whatever it is about; in both formats, and so that it can be written to a file in UTF-8."""
    stream, before = io.StringIO(), sys.stderr
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        sys.stderr = stream
        logs.configure(form, "info", colour=False)
        logs.logger("test").warning("port refused", container=text, detail=text)
    finally:
        sys.stderr = before
        root.handlers[:], root.level = handlers, level
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert not controls(line.removesuffix("\n"))
    line.encode()
    if form == "json":
        assert json.loads(line)["detail"] == text
