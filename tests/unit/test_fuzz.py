"""Tests of several modules: every parser in model/ and controller/, given arbitrary input.

Each gives an answer that keeps its promises, or raises the one error that it is allowed to raise.
"""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from controller import logs
from controller.config import converters
from controller.config.default_endpoints import DefaultEndpoints
from controller.effects.background import Threads
from controller.effects.log_writer import LogWriter
from controller.errors import plain
from controller.registry.uri import parse_uri
from model.address import address_problem
from model.container import MAX_RANGE, MalformedContainer, PortId, from_inspect, ports_in
from model.desired import desired
from model.entry import DefaultId
from model.family import Family
from model.host_port import HostPort
from model.keys import key_part_problem, quoted
from model.layout import Decoded, Unreadable
from model.listing import agrees_with_list, shown_in_list
from model.metadata import metadata_for, split_tags
from model.record import OwnerRecord
from model.rules import AddressRules, HealthRule, Rules
from model.snapshot import Snapshot
from model.tag_template import BadTemplate, expanded, has_templates, queries_in
from tests.support.builders import PLAIN, with_value
from tests.support.nasty import ODD, OTHERS, STRANGE_KEYS, UNFIT, UNFIT_ADDRESSES

#: Any text, with lone surrogates, and the hostile texts that containers may have.
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

# The engine's answers.


def paths(document: Any, path: Path = ()) -> list[Path]:
    """Return the path to every value of a document."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(document, dict):
        inner = list(document.items())
    elif isinstance(document, list):
        inner = list(enumerate(document))
    return [path, *(each for key, value in inner for each in paths(value, (*path, key)))]


@given(JSON)
def test_any_inspect_answer_is_a_container_or_malformed(document: Any) -> None:
    """Reading any inspect answer raises no other error than MalformedContainer."""
    with suppress(MalformedContainer):
        from_inspect(document)


#: Rules under which a container's own IPv6 addresses count, and no others.
IPV6_ONLY = AddressRules(internal=True, network="bridge", family=Family.IPV6)


@given(st.sampled_from(paths(INSPECT)[1:]), JSON)
@example(("Id",), None)
def test_a_good_answer_with_any_value_in_it_is_decided_about_or_malformed(path: Path, value: Any) -> None:
    """A container that could be read has texts where texts belong, and can be decided about under all rules."""
    try:
        container = from_inspect(with_value(INSPECT, path, value))
    except MalformedContainer:
        return
    assert all(isinstance(each, str) for each in (container.id, container.name, container.image, *container.env))
    rules = Rules("core-01", AddressRules(ip="192.0.2.1"))
    for each in (rules, evolve(rules, all_bindings=True), evolve(rules, health=HealthRule.HEALTHY, address=IPV6_ONLY)):
        assert desired(Snapshot((container,)), each, PLAIN).held == frozenset()


#: Texts that are like templates in tags, good and bad ones.
TEMPLATES = st.lists(
    TEXT | st.sampled_from(["{{", "}}", ".", "Config", "Labels", "NetworkSettings", "index ", " ", '"', "`", "7", "|"]),
    max_size=12,
).map("".join)


@given(TEMPLATES, st.sampled_from(paths(INSPECT)[1:]), JSON)
@example('{{index .Config.Labels "SERVICE_ID"}}', ("Name",), "/web")
def test_any_text_in_tags_becomes_a_text_or_a_bad_template(text: str, path: Path, value: Any) -> None:
    """Whatever the engine answers. A text without templates stays as it is."""
    document = with_value(INSPECT, path, value)
    found = {query: query.answer(document) for query in queries_in(text)}
    answers = {query: answer for query, answer in found.items() if answer is not None}
    if has_templates(text):
        with suppress(BadTemplate):
            expanded(text, answers)
    else:
        assert (expanded(text, answers), found) == (text, {})


#: Errors that are caught where the list is read. The container is then unknown, and its entries are held.
WRONG_SHAPE = (KeyError, TypeError, AttributeError, ValueError)


@given(st.dictionaries(st.sampled_from(["Names", "State", "Ports", "NetworkSettings", "Status"]), JSON))
def test_a_list_line_with_any_value_in_it_is_compared_or_raises_an_expected_error(line: dict[str, Any]) -> None:
    """The reader of the list turns these errors into an unknown container."""
    container = from_inspect(INSPECT)
    for function in (shown_in_list, lambda each: agrees_with_list(container, each)):
        with suppress(*WRONG_SHAPE):
            function(line)


# What containers say of themselves.

PORTS = st.builds(PortId, st.integers(1, 65535), st.sampled_from(["tcp", "udp", "sctp"]))


@given(PORTS, st.lists(TEXT, max_size=5), st.dictionaries(TEXT, TEXT, max_size=5))
def test_any_metadata_has_lower_case_keys_and_unchanged_values(
    port: PortId, env: list[str], labels: dict[str, str]
) -> None:
    """Tags can be split out of any value."""
    found = metadata_for(port, env, labels)
    given_values = {*labels.values(), *(line.partition("=")[2] for line in env)}
    assert set(found.values.values()) <= given_values
    assert all(key == key.lower() for key in found.values)
    assert found.from_port <= found.values.keys()
    split_tags(*found.values.values())


VARIABLES = st.sampled_from(
    ["SERVICE_NAME", "SERVICE_ID", "SERVICE_TAGS", "SERVICE_80_NAME", "SERVICE_80_ID", "ip", "SERVICE_80_TCP_NAME"]
)


@given(st.dictionaries(VARIABLES, TEXT), st.dictionaries(VARIABLES, TEXT))
def test_the_key_of_a_hostile_container_stays_under_the_prefix(labels: dict[str, str], env: dict[str, str]) -> None:
    """The port of a hostile container has one entry or one refusal. The key of an entry has no hidden or relative part,
    is not too long, and is read back as the entry; its value is an address and a port on one line. The detail of a
    refusal fits on a screen."""
    variables = [f"{key}={value}" for key, value in env.items()]
    document = with_value(INSPECT, "Config", {**INSPECT["Config"], "Labels": labels, "Env": variables})
    rules = Rules("core-01", AddressRules(ip="192.0.2.1", label="ip"))
    result = desired(Snapshot((from_inspect(document),)), rules, PLAIN)
    assert len(result.entries) + len(result.refusals) == 1
    for entry in result.entries:
        key, value = PLAIN.key(entry), PLAIN.value(entry)
        assert all(part not in {"", ".", ".."} and part[0] != "_" for part in key.split("/")[1:])
        assert len(key.encode()) < 2100
        assert (key + value).isprintable() or not controls(key + value)
        assert value.isascii()
        assert "\n" not in value
        decoded = PLAIN.decode(key, value)
        assert isinstance(decoded, Decoded)
        assert (decoded.address, decoded.port) == (entry.address, entry.port)
    for refusal in result.refusals:
        assert len(refusal.detail) < 1500


def controls(text: str) -> set[str]:
    """Return the control characters, line separators and lone surrogates in the text."""
    return {char for char in text if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}}


@given(TEXT)
def test_any_text_is_a_short_clean_name_or_has_a_short_printable_problem(text: str) -> None:
    """A quoted text has no control characters."""
    problem = key_part_problem(text)
    if problem is None:
        assert not controls(text)
        assert len(text.encode()) <= 1024
        assert not {"", ".", ".."} & set(text.split("/"))
    else:
        assert len(problem) < 700
        assert not controls(problem)
    assert not controls(quoted(text))


# What registries hold.


@given(TEXT | st.builds("/services/{}/{}".format, TEXT, TEXT), TEXT | st.builds("{}:{}".format, TEXT, TEXT))
def test_any_key_and_value_are_decoded_to_what_they_say_or_unreadable(key: str, value: str) -> None:
    """A decoded key and value can be written again with the same text, apart from leading zeros of the port."""
    decoded = PLAIN.decode(key, value)
    if isinstance(decoded, Unreadable):
        return
    assert f"/services/{decoded.name}/{decoded.id}" == key
    assert 0 < decoded.port < 65536
    address = f"[{decoded.address}]" if ":" in decoded.address else decoded.address
    assert value.startswith(f"{address}:")


def check_record(text: str) -> None:
    """Check that the text is an owner record that can be written and read again, or none."""
    record = OwnerRecord.decode(text)
    assert record is None or OwnerRecord.decode(record.encode()) == record


@given(TEXT | JSON.map(json.dumps))
def test_any_text_is_an_owner_record_that_can_be_written_again_or_none(text: str) -> None:
    """Decoding any text raises no exception."""
    check_record(text)


CLAIMS = st.dictionaries(TEXT, JSON | st.fixed_dictionaries({"container": JSON, "values": JSON}))


@given(st.fixed_dictionaries({"engine": JSON, "claims": CLAIMS | JSON}))
def test_a_document_that_resembles_a_record_is_one_that_can_be_written_again_or_none(document: dict[str, Any]) -> None:
    """Decoding a document that resembles a record raises no exception."""
    check_record(json.dumps(document))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 10_000, '{"engine":"","claims":null}'])
def test_a_document_that_is_made_to_exhaust_the_parser_is_no_record(text: str) -> None:
    """A deeply nested or very long document is no record and raises no exception."""
    assert OwnerRecord.decode(text) is None


SUFFIXES = st.from_regex(r":[0-9a-f.:-]*", fullmatch=True) | st.just("")


@given(TEXT | st.builds("{}:{}:{}{}".format, TEXT, TEXT, st.integers(0, 99999), SUFFIXES))
def test_any_default_id_is_written_as_it_was_read(text: str) -> None:
    """Any other text is no default id."""
    found = DefaultId.parse(text)
    assert found is None or str(found) == text


@given(st.text(max_size=30) | st.from_regex(r"[0-9]{1,6}(-[0-9]{1,6})?(/[a-z]+)?", fullmatch=True))
def test_any_text_is_a_few_ports_in_range_or_one_bad_port(text: str) -> None:
    """Reading any text as ports raises no error."""
    ports = ports_in(text)
    assert 0 < len(ports) <= MAX_RANGE
    assert len(ports) == 1 or all(isinstance(port, PortId) for port in ports)
    assert all(0 < port.number < 65536 for port in ports if isinstance(port, PortId))
    assert all(len(str(port)) < 110 for port in ports)


# What operators say.

HOSTS = st.sampled_from(["a", "[::1]", "::1", "127.0.0.1:1", "a:0", "[", "a:99999", "", "ü"]) | TEXT

DOMAINS = (
    TEXT | st.sampled_from(["local", "Cluster.local.", "a..b", "any.local", "x" * 64]) | st.text("aZ-_.", max_size=300)
)

URIS = (
    TEXT
    | st.builds("etcd://{}/{}".format, st.lists(HOSTS, max_size=3).map(",".join), TEXT)
    | st.builds("skydns2://a/{}".format, DOMAINS)
    | st.builds("coredns://a/skydns?zone={}".format, DOMAINS)
    | st.builds("coredns://{}/{}?{}={}".format, HOSTS, TEXT, TEXT, DOMAINS)
)


@given(URIS)
def test_any_registry_uri_has_good_endpoints_and_prefix_or_raises_value_error(text: str) -> None:
    """Each endpoint has an address and a port that can be dialled."""
    try:
        uri = parse_uri(text)
    except ValueError:
        return
    assert uri.endpoints
    assert all(0 < port < 65536 and address_problem(host) is None for host, port in uri.endpoints)
    assert uri.prefix == "" or key_part_problem(uri.prefix.removeprefix("/")) is None


CONVERTERS: list[Callable[[str], object]] = [
    converters.whole,
    converters.not_negative,
    converters.seconds,
    converters.percent,
    converters.address,
    converters.owner,
    converters.tags,
    converters.deregister,
    converters.listen,
    converters.value_format,
    converters.health,
    converters.family,
    converters.docker_filter,
    lambda text: HostPort.parse(text, "2379"),
    DefaultEndpoints.parse,
]


@given(TEXT | st.lists(HOSTS, max_size=3).map(",".join), URIS)
def test_any_endpoints_of_the_environment_are_filled_into_any_uri_or_raise_value_error(variable: str, uri: str) -> None:
    """A URI that names its own stays as it is."""
    try:
        endpoints = DefaultEndpoints.parse(variable)
        filled = parse_uri(endpoints.filled_in(uri))
    except ValueError:
        return
    if endpoints.filled_in(uri) != uri:
        assert filled.endpoints == endpoints.endpoints


@pytest.mark.parametrize("convert", CONVERTERS, ids=lambda convert: convert.__name__.strip("<>"))
@given(text=TEXT)
def test_any_text_on_the_command_line_is_converted_or_raises_value_error(
    convert: Callable[[str], object], text: str
) -> None:
    """Converting any text raises no other error than ValueError."""
    with suppress(ValueError):
        convert(text)


@given(TEXT | st.ip_addresses().map(str))
@example("fe80::1%eth0")
def test_any_accepted_address_is_short_ascii_without_special_characters(text: str) -> None:
    """An accepted address is on one line and has only letters, digits, dots, dashes and colons."""
    if address_problem(text) is None:
        assert text.isascii()
        assert 0 < len(text) < 254
        assert not set(text) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-")


@given(st.ip_addresses())
def test_every_ip_address_but_the_unspecified_ones_is_accepted(address: Any) -> None:
    """Every IPv4 and IPv6 address can be registered, except the two unspecified ones."""
    assert (address_problem(str(address)) is None) is not ip_address(address).is_unspecified


# What is shown to people.


@given(TEXT)
def test_any_text_becomes_one_printable_line(text: str) -> None:
    """A text that is printable already is left as it is."""
    assert plain(text).isprintable()
    assert plain(text) == text or not text.isprintable()


@pytest.mark.usefixtures("logging_restored")
@pytest.mark.parametrize("form", logs.FORMATS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXT)
def test_any_text_in_a_log_line_stays_on_one_line(form: str, text: str) -> None:
    """In both formats a log line stays one line, and can be written to a file in UTF-8."""
    written = io.BytesIO()
    writer = LogWriter(Threads(), written.write, patience=10.0)
    logs.configure(form, "info", writer, colour=False)
    logs.logger("test").warning("port refused", container=text, detail=text)
    writer.flush()
    line = written.getvalue().decode()
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert not controls(line.removesuffix("\n"))
    line.encode()
    if form == "json":
        assert json.loads(line)["detail"] == text
