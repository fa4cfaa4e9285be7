"""The whole program on recorded answers of engines that were read wrong once."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import field, frozen

from tests.support.agent import run_once
from tests.support.cases import NAMES, recorded, serving
from tests.support.etcd_server import EtcdServer

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

#: The recordings that are still read wrong.
WRONG = {
    "internal-network",
    "joined-network-stale",
    "macvlan",
    "network-disconnected",
    "swarm-ingress",
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
def test_a_recorded_engine_gets_the_right_keys(
    name: str, good: EtcdServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """One pass leaves the right keys, removes every other key of this host, and refuses the right ports."""
    if name in WRONG:
        request.applymarker(pytest.mark.xfail(strict=True, reason="still read wrong"))
    right = CASES[name]
    for key in BEFORE:
        good.put(key, "192.0.2.99:1")
    flags = (*right.flags, "--hostname", "core-01", "--delete-guard", "0")
    with serving(recorded(name), tmp_path) as url:
        done = run_once(url, "reconcile", *flags, f"etcd://{good.endpoint}/services")
    assert done.returncode == 0, done.stderr
    assert good.keys("/services") == {f"/services/{key}": value for key, value in right.keys.items()}
    refused = (line for line in done.stdout.splitlines() if line.startswith("!"))
    assert {" ".join(line.split()[1:3]): line.rpartition("(")[2].rstrip(")") for line in refused} == right.refused
