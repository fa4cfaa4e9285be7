"""What the agent logs when it starts."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from controller.commands.build import Effects
from controller.commands.start_line import log_start
from controller.config.settings import parse_settings
from controller.effects.network import Network, Resolved, numeric
from model.snapshot import EngineIdentity
from model.srv import SrvRecord
from tests.support.captured_logs import capture_logs
from tests.support.docker_contexts import write_context
from tests.unit.test_settings import DEFAULT_OPTIONS, parsed

#: The addresses of this host, those of names, and the address from which this host reaches others.
OWN = {"10.0.0.1", "fd00::1", "127.0.0.1", "::1"}
NAMES = {
    "core-1": ["10.0.0.1", "fd00::1"],
    "core-2": ["10.0.0.2"],
    "core": ["10.0.0.1", "10.0.0.2"],
    "me": ["127.0.1.1"],
}
OUTWARD = "10.0.0.1"


def resolve(host: str, port: int) -> list[Resolved]:
    """Return the addresses of a name."""
    if host not in NAMES:
        raise socket.gaierror("no such name")
    return [found for address in NAMES[host] for found in numeric(address, port)]


def warned(endpoints: str, **given: str) -> bool:
    """Return whether the agent warns that all endpoints of etcd are this host's."""
    network = Network(resolve, lambda _, address: address[0] if address[0] in OWN else OUTWARD)
    effects = Effects(network=network, environment={"DOCKER_HOST": "unix:///nowhere.sock"})
    options = {"hostname": "core-1", "ttl": "60", "ttl_refresh": "20"} | given
    with capture_logs() as lines:
        log_start(parsed(f"etcd://{endpoints}/services", **options), effects, EngineIdentity("core-1"))
    return any("every etcd endpoint is this host's own" in line["event"] for line in lines)


@pytest.mark.parametrize(
    "endpoints", ["127.0.0.1:2379", "[::1]:2379", "127.0.0.1:2379,127.0.0.1:2380", "10.0.0.1:2379", "core-1:2379", "me"]
)
def test_an_etcd_of_this_host_alone_is_warned_of(endpoints: str) -> None:
    """With -ttl, the keys expire while it is stopped. Without, nothing happens to them."""
    assert warned(endpoints)
    assert warned(endpoints, ip="10.0.0.9")
    assert not warned(endpoints, ttl="0", ttl_refresh="0")


def test_an_etcd_at_the_address_that_is_registered_is_warned_of() -> None:
    """That address may be the outer one of a NAT, which no interface has."""
    assert warned("203.0.113.1:2379", ip="203.0.113.1")


@pytest.mark.parametrize("endpoints", ["10.0.0.2", "127.0.0.1:2379,10.0.0.2:2379", "core-1,core-2", "core", "unknown"])
def test_an_etcd_with_an_endpoint_elsewhere_is_not_warned_of(endpoints: str) -> None:
    """An endpoint whose name cannot be looked up may be elsewhere."""
    assert not warned(endpoints)


@pytest.mark.parametrize(
    ("found", "endpoints"), [((SrvRecord(0, 0, 2379, "core-1."),), ["core-1:2379"]), ((), "not known yet")]
)
def test_endpoints_that_are_looked_up_are_logged_as_far_as_they_are_known(
    found: Sequence[SrvRecord], endpoints: object
) -> None:
    """The line names the record, too. Whether unknown endpoints are this host's own is not known either."""
    network = Network(resolve, lambda _, address: str(address[0]), lambda name: found)
    effects = Effects(network=network, environment={"DOCKER_HOST": "unix:///nowhere.sock"})
    with capture_logs() as lines:
        settings = parsed("etcd3+srv://example.com/services", hostname="core-1", ttl="60", ttl_refresh="20")
        log_start(settings, effects, EngineIdentity("core-1"))
    assert (lines[0]["endpoints"], lines[0]["record"]) == (endpoints, "_etcd-client._tcp.example.com")
    assert lines[0]["address"] == (OUTWARD if found else "not known yet")
    warned_of = [line["event"].partition(":")[0] for line in lines[1:]]
    assert warned_of == ["every etcd endpoint is this host's own"] * len(found)


@pytest.mark.parametrize(
    ("host", "environment", "named_by", "warned_of"),
    [
        ("", {}, "the usual sockets", []),
        ("tcp://10.0.0.9:1", {"DOCKER_HOST": "tcp://10.0.0.8:1", "DOCKER_CONTEXT": "prod"}, "--docker-host", []),
        ("", {"DOCKER_CONTEXT": "prod"}, "DOCKER_CONTEXT", []),
        (
            "",
            {"DOCKER_HOST": "tcp://10.0.0.8:1", "DOCKER_CONTEXT": "prod"},
            "DOCKER_HOST",
            ["DOCKER_CONTEXT has no effect, because DOCKER_HOST has precedence"],
        ),
    ],
)
def test_what_names_the_engine_is_logged(
    tmp_path: Path, host: str, environment: dict[str, str], named_by: str, warned_of: list[str]
) -> None:
    """A context that has no effect may be what the operator meant."""
    write_context(tmp_path, "prod", "tcp://10.0.0.7:1")
    environment = {"DOCKER_CONFIG": str(tmp_path), **environment}
    options = {**DEFAULT_OPTIONS, "hostname": "core-1", "ip": "10.0.0.1", "docker-host": host}
    settings = parse_settings(options, ("etcd://10.0.0.2/services",), environment=environment)
    with capture_logs() as lines:
        log_start(settings, Effects(environment=environment), EngineIdentity("core-1"))
    assert lines[0]["engine_from"] == named_by
    assert [line["event"] for line in lines[1:]] == warned_of
