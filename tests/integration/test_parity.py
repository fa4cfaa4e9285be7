"""registrator's recorded keys: the same containers on a real engine, with the same flags, get the same keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.agent import run_once
from tests.support.etcd_server import EtcdServer
from tests.support.host import Host
from tests.support.parity import Case, load_cases
from tests.support.waiting import wait_until

#: The cases in which Docker chose a host port or an address, and chooses again. The recorded choice is translated to
#: the present one; `docker inspect` tells both. All other values must be as recorded.
CHOSEN_BY_DOCKER = {"publish-all", "image-annotations", "image-annotations-overridden", "container-network"}

PLAIN = [case for case in load_cases() if case.registry.startswith("etcd:")]
SKYDNS = [case for case in load_cases() if case not in PLAIN]


@pytest.fixture
def alone(host: Host, fresh_etcd: EtcdServer, tmp_path: Path) -> Host:
    """The same host with an etcd of its own, as SkyDNS' records are in the same place in every etcd."""
    alone = Host(host.engine, fresh_etcd, tmp_path)
    alone.prefix = ""
    return alone


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
def test_the_keys_are_those_that_registrator_wrote(host: Host, case: Case) -> None:
    """After `docker run`, and after what happens to the containers then, etcd holds the keys and values that
    registrator wrote, but for the known differences."""
    replay(host, case)


@pytest.mark.parametrize("case", SKYDNS, ids=lambda case: case.name)
def test_the_records_are_those_that_registrator_wrote(alone: Host, case: Case) -> None:
    """Under skydns2://, etcd holds the records that registrator wrote, and nothing else."""
    replay(alone, case)


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
def test_an_agent_that_only_events_hurry_writes_the_same_keys(host: Host, case: Case) -> None:
    """Its next pass at the interval would come in an hour."""
    agent = host.run("--interval", "3600", *flags(host, case)).wait_ready()
    wait_until(lambda: agent.total("hints_flowing"), 10, "the events")
    run_containers(host, case)
    wait_for_keys(host, case, case.before if case.then else case.wanted)
    for line in case.then:
        host.engine.replay(f"!{line}")
    wait_for_keys(host, case, case.wanted)


def replay(host: Host, case: Case) -> None:
    """Do to the containers what was done to registrator's, and compare etcd with the recording after each step."""
    run_containers(host, case)
    reconcile(host, case)
    assert host.etcd.keys(host.prefix) == expected(host, case, case.before if case.then else case.wanted)
    for line in case.then:
        host.engine.replay(f"!{line}")
        reconcile(host, case)
    assert host.etcd.keys(host.prefix) == expected(host, case, case.wanted)


def run_containers(host: Host, case: Case) -> None:
    """Run the case's containers."""
    if any("backend" in line for line in case.docker_run):
        host.engine.docker("network", "create", "--subnet", "172.28.0.0/16", "backend")
    for line in case.docker_run:
        host.engine.replay(line)


def reconcile(host: Host, case: Case) -> None:
    """Run one pass with the case's flags."""
    done = run_once(host.engine.socket_url, "reconcile", *flags(host, case))
    assert (done.returncode, done.stderr) == (0, "")


def flags(host: Host, case: Case) -> tuple[str, ...]:
    """Return the case's flags and URI. The test's prefix stands for the whole etcd that registrator saw."""
    uri = case.registry.replace("ETCD/", f"{host.etcd.endpoint}{host.prefix}/")
    return (*case.flags, "--hostname", case.hostname, uri)


def wait_for_keys(host: Host, case: Case, recorded: dict[str, str]) -> None:
    """Wait until etcd holds the recorded keys and values."""
    right = expected(host, case, recorded)
    wait_until(lambda: host.etcd.keys(host.prefix) == right, 10, f"the keys {right}")


def expected(host: Host, case: Case, recorded: dict[str, str]) -> dict[str, str]:
    """Return the recorded keys and values as they should be in this etcd, with this engine's choices."""
    if case.name in CHOSEN_BY_DOCKER:
        recorded = {key: translated(host, case, value) for key, value in recorded.items()}
    return {host.prefix + key: value for key, value in recorded.items()}


def translated(host: Host, case: Case, value: str) -> str:
    """Return a recorded value with each choice of Docker's replaced by the one that it made this time."""
    now_by_then: dict[str, str] = {}
    for then in case.inspect.values():
        now = host.engine.inspect(then["Name"])
        now_by_then |= dict(zip(choices(then), choices(now), strict=True))
    address, _, port = value.rpartition(":")
    return f"{now_by_then.get(address, address)}:{now_by_then.get(port, port)}"


def choices(inspect: dict[str, Any]) -> list[str]:
    """Return a container's address and the host port of each of its published ports, in the order of the ports. One
    that joined another's network has none of its own, although Podman shows those of the other one."""
    if inspect["HostConfig"]["NetworkMode"].startswith("container:"):
        return [""]
    network = inspect["NetworkSettings"]
    published = [bindings for _, bindings in sorted(network["Ports"].items()) if bindings]
    return [network["IPAddress"], *(bindings[0]["HostPort"] for bindings in published)]
