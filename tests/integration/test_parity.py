"""registrator's recorded keys, replayed: the same containers on a real engine, the same flags, the same keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.agent import run_once
from tests.support.etcd_server import EtcdServer
from tests.support.host import Host
from tests.support.parity import Case, load_cases

#: In these, Docker chose a host port or an address, and chooses again. What it chose then is translated to what it
#: chose now, both as `docker inspect` tells it of the container and port concerned. All other values hold as recorded.
CHOSEN_BY_DOCKER = {"publish-all", "image-annotations", "image-annotations-overridden", "container-network"}

PLAIN = [case for case in load_cases() if case.registry.startswith("etcd:")]
SKYDNS = [case for case in load_cases() if case not in PLAIN]


@pytest.fixture
def alone(host: Host, fresh_etcd: EtcdServer, tmp_path: Path) -> Host:
    """The same host with an etcd of its own: where SkyDNS' records are is the same for all."""
    alone = Host(host.engine, fresh_etcd, tmp_path)
    alone.prefix = ""
    return alone


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
def test_the_keys_are_those_that_registrator_wrote(host: Host, case: Case) -> None:
    """From `docker run` to the key in etcd, before and after what happened to the containers meanwhile."""
    replay(host, case)


@pytest.mark.parametrize("case", SKYDNS, ids=lambda case: case.name)
def test_the_records_are_those_that_registrator_wrote(alone: Host, case: Case) -> None:
    """The same under skydns2://, in all of an etcd."""
    replay(alone, case)


def replay(host: Host, case: Case) -> None:
    """What happened to registrator's containers, and after each step what should be in etcd."""
    if any("backend" in line for line in case.docker_run):
        host.engine.docker("network", "create", "--subnet", "172.28.0.0/16", "backend")
    for line in case.docker_run:
        host.engine.replay(line)
    reconcile(host, case)
    assert host.etcd.keys(host.prefix) == expected(host, case, case.before if case.then else case.expect)
    for line in case.then:
        host.engine.replay(f"!{line}")
        reconcile(host, case)
    assert host.etcd.keys(host.prefix) == expected(host, case, case.expect)


def reconcile(host: Host, case: Case) -> None:
    """One pass with the case's flags, all of etcd that registrator saw being the test's own prefix."""
    uri = case.registry.replace("ETCD/", f"{host.etcd.endpoint}{host.prefix}/")
    done = run_once(host.engine.socket_url, "reconcile", *case.flags, "--hostname", case.hostname, uri)
    assert (done.returncode, done.stderr) == (0, "")


def expected(host: Host, case: Case, recorded: dict[str, str]) -> dict[str, str]:
    """The recorded keys and values as they should be in this etcd, with this engine's choices."""
    if case.name in CHOSEN_BY_DOCKER:
        recorded = {key: translated(host, case, value) for key, value in recorded.items()}
    return {host.prefix + key: value for key, value in recorded.items()}


def translated(host: Host, case: Case, value: str) -> str:
    """A recorded value with each choice of Docker's replaced by the one that it made this time."""
    now_by_then: dict[str, str] = {}
    for then in case.inspect.values():
        now = host.engine.inspect(then["Name"])
        now_by_then |= dict(zip(choices(then), choices(now), strict=True))
    address, _, port = value.rpartition(":")
    return f"{now_by_then.get(address, address)}:{now_by_then.get(port, port)}"


def choices(inspect: dict[str, Any]) -> list[str]:
    """The container's address and the host port of each of its published ports, in the order of the ports."""
    network = inspect["NetworkSettings"]
    published = [bindings for _, bindings in sorted(network["Ports"].items()) if bindings]
    return [network["IPAddress"], *(bindings[0]["HostPort"] for bindings in published)]
