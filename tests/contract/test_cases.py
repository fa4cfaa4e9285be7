"""The whole program on recorded answers of engines that were read wrong once."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import field, frozen

from tests.support.agent import run_once
from tests.support.cases import NAMES, recorded, recording, serving
from tests.support.etcd_server import EtcdServer
from tests.support.recorded_engine import RecordedEngine, engine_of

IP = ("-ip", "192.0.2.10")
INTERNAL = ("-internal",)


@frozen
class Right:
    """The right outcome of a pass over a recorded engine: the keys below /services, and each refused port's reason."""

    flags: tuple[str, ...]
    keys: dict[str, str] = field(factory=dict)
    refused: dict[str, str] = field(factory=dict)


WEB = Right(IP, {"app/core-01:web:80": "192.0.2.10:8300"})

CASES = {
    "created-empty": WEB,
    "created-go-string": WEB,
    "created-offset": WEB,
    "dead-no-name": Right(IP),
    "exposed-port-range": Right(IP, {"ranged/core-01:ranged:3306": "192.0.2.10:3306"}),
    "internal-network": Right(IP, refused={"secret 80/tcp": "not-published"}),
    "joined-network-stale": Right(IP, refused={"side 80/tcp": "no-address"}),
    "macvlan": Right(IP, {"app/core-01:lan:80": "10.77.1.2:80"}),
    "names-null": WEB,
    "network-disconnected": Right(IP, refused={"cut 80/tcp": "not-published"}),
    "no-top-level-address-bridge": Right(INTERNAL, {"app/core-01:web:80": "172.29.0.2:80"}),
    "no-top-level-address-two-networks-mode-bridge": Right(INTERNAL, {"app/core-01:two:80": "172.29.0.3:80"}),
    "swarm-ingress": Right(INTERNAL, {"app/core-01:svc.1.x:80": "10.0.1.3:80"}),
}

#: Keys of this host before the pass, for containers that the recorded engines run.
BEFORE = (
    *(f"/services/app/core-01:{name}:80" for name in ("web", "secret", "side", "lan", "cut", "two", "svc.1.x")),
    "/services/ranged/core-01:ranged:3306",
)


def test_every_recording_has_a_right_outcome() -> None:
    """No recording is left out."""
    assert tuple(sorted(CASES)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_engine_gets_the_right_keys(name: str, good: EtcdServer, tmp_path: Path) -> None:
    """One pass leaves the right keys, removes every other key of this host, and refuses the right ports."""
    right = CASES[name]
    for key in BEFORE:
        good.store.put(key, "192.0.2.99:1")
    flags = (*right.flags, "--hostname", "core-01", "--delete-guard", "0")
    with serving(recorded(name), tmp_path) as url:
        done = run_once(url, "reconcile", *flags, f"{good.scheme}://{good.endpoint}/services")
    assert done.returncode == 0, done.stderr
    assert good.store.keys("/services") == {f"/services/{key}": value for key, value in right.keys.items()}
    refused = (line for line in done.stdout.splitlines() if line.startswith("!"))
    assert {" ".join(line.split()[1:3]): line.rpartition("(")[2].rstrip(")") for line in refused} == right.refused


# What the engine says of the networks of recorded containers.

LAN_KEY = "/services/app/core-01:lan:80"


def engine_with_a_network(driver: str | None, *, internal: bool = False) -> RecordedEngine:
    """Return an engine whose one container was started with ``-P`` on a network of this driver, which the engine does
    not map. None: the engine does not describe the network."""
    document = recording("macvlan")
    for inspect in document["inspect"].values():
        inspect["HostConfig"]["PublishAllPorts"] = True
        network_id = inspect["NetworkSettings"]["Networks"]["mv"]["NetworkID"]
        if driver:
            document["networks"] = {network_id: {"Id": network_id, "Driver": driver, "Internal": internal}}
    return engine_of(document)


@pytest.mark.parametrize(
    ("driver", "internal", "value"),
    [
        ("macvlan", False, "10.77.1.2:80"),
        ("ipvlan", False, "10.77.1.2:80"),
        ("macvlan", True, None),
        ("bridge", False, None),
        ("overlay", False, None),
        ("weave", False, None),
        (None, False, None),
    ],
)
def test_what_the_engine_says_of_a_network_decides_about_a_port_that_it_does_not_map(
    driver: str | None, internal: bool, value: str | None, good: EtcdServer, tmp_path: Path
) -> None:
    """A driver that gives addresses on the LAN registers them, although the port was to be published. On all other
    networks, and on one that the engine does not describe, the port is refused."""
    with serving(engine_with_a_network(driver, internal=internal), tmp_path) as url:
        done = run_once(url, "reconcile", *IP, "--hostname", "core-01", f"{good.scheme}://{good.endpoint}/services")
    assert good.store.keys("/services") == ({LAN_KEY: value} if value else {}), done.stderr
    assert ("(not-published)" in done.stdout) is (value is None)


def test_nothing_is_written_or_deleted_while_the_engine_does_not_say_what_a_network_is(
    good: EtcdServer, tmp_path: Path
) -> None:
    """The container is held, and the output says so. Once the engine answers, the container is registered."""
    engine = engine_with_a_network("macvlan")
    good.store.put(LAN_KEY, "192.0.2.99:1")
    command = ("reconcile", *IP, "--hostname", "core-01", f"{good.scheme}://{good.endpoint}/services")
    with serving(engine, tmp_path) as url:
        engine.describes.clear()
        done = run_once(url, *command)
        engine.describes.set()
        assert (done.returncode, good.store.keys("/services")) == (0, {LAN_KEY: "192.0.2.99:1"})
        assert "the engine has not said yet what its network 'mv' is" in done.stdout
        assert run_once(url, *command).returncode == 0
        assert good.store.keys("/services") == {LAN_KEY: "10.77.1.2:80"}
