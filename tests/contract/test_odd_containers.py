"""The whole program on engines that describe containers oddly."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.agent import run_once
from tests.support.cases import serving
from tests.support.etcd_server import EtcdServer
from tests.support.recorded_containers import Json, answers, engine_of, exposing

FLAGS = ("-ip", "192.0.2.10", "--hostname", "core-01", "--delete-guard", "0")

WEB = {"80/tcp": 8300}


def refused(output: str) -> set[str]:
    """Return the refusals in the output of a run: the container, the port and the reason of each."""
    lines = (line for line in output.splitlines() if line.endswith(")") and line.startswith("!"))
    return {" ".join((*line.split()[1:3], line.rpartition("(")[2].rstrip(")"))) for line in lines}


def services(values: Iterable[str]) -> dict[str, str]:
    """Return the keys below /services with their values, which are given as ``name/id=value``."""
    return {f"/services/{key}": value for key, _, value in (each.partition("=") for each in values)}


def test_ports_that_are_none_are_refused_and_the_others_registered(good: EtcdServer, tmp_path: Path) -> None:
    """Ranges are expanded. What is hidden by SERVICE_IGNORE is not refused."""
    odd = ("0/tcp", "http/tcp", "70000/tcp", "9000-8000/tcp", "9000-9100/udp", "81/dccp")
    hidden = {"Config.Env": ["SERVICE_80_NAME=shown", "SERVICE_IGNORE=true", "SERVICE_80_IGNORE="]}
    engine = engine_of(
        answers("odd", 1, inspect=exposing("80/TCP", "8000-8001/tcp", "8001-8002/tcp", *odd)),
        answers("hidden", 2, inspect=exposing("80/tcp", *odd) | hidden),
        answers("long", 3, inspect=exposing("80/tcp", "9000-9099/tcp") | {"Config.Labels": {"SERVICE_80_NAME": "x"}}),
        answers(
            "bridge", 4, ports=WEB, inspect={"Config.ExposedPorts": {"80/tcp": {}, "http/tcp": {}, "81-99/tcp": {}}}
        ),
        answers("published", 5, ports={"80/tcp": 8301, "0/tcp": 32768}),
    )
    with serving(engine, tmp_path) as url:
        done = run_once(url, "reconcile", *FLAGS, f"{good.scheme}://{good.endpoint}/services")
    assert done.returncode == 0, done.stderr
    assert refused(done.stdout) == {*(f"odd {port} bad-port" for port in odd), "published 0/tcp bad-port"}
    assert good.store.keys("/services") == services(
        [
            *(f"app-{number}/core-01:odd:{number}=192.0.2.10:{number}" for number in (80, 8000, 8001, 8002)),
            "shown/core-01:hidden:80=192.0.2.10:80",
            "x/core-01:long:80=192.0.2.10:80",
            *(f"app-{number}/core-01:long:{number}=192.0.2.10:{number}" for number in range(9000, 9100)),
            "app/core-01:bridge:80=192.0.2.10:8300",
            "app-80/core-01:published:80=192.0.2.10:8301",
        ]
    )


def test_one_off_containers_of_compose_have_no_keys(good: EtcdServer, tmp_path: Path) -> None:
    """A one-off does not have its service's key under a SERVICE_ID, though it is the older container. What an earlier
    version registered for it is removed with the reason. With --one-offs it is a container like any other."""
    labels = {"com.docker.compose.oneoff": "True", "com.docker.compose.service": "web"}
    engine = engine_of(
        answers("once", 1, ports={"80/tcp": 8001}, inspect={"Config.Labels": labels}),
        answers("shell", 2, ports={"80/tcp": 8002}, inspect={"Config.Labels": {**labels, "SERVICE_ID": "web"}}),
        answers(
            "web", 3, ports=WEB, inspect={"Config.Labels": {"com.docker.compose.oneoff": "False", "SERVICE_ID": "web"}}
        ),
    )
    good.store.put("/services/app/core-01:once:80", "192.0.2.10:8001")
    uri = f"{good.scheme}://{good.endpoint}/services"
    with serving(engine, tmp_path) as url:
        done = run_once(url, "reconcile", *FLAGS, uri)
        assert good.store.keys("/services") == services(["app/web=192.0.2.10:8300"])
        assert "- /services/app/core-01:once:80  192.0.2.10:8001  (one-off: " in done.stdout
        asked = run_once(url, "reconcile", "--one-offs", "--dry-run", *FLAGS, uri)
    assert "+ /services/app/core-01:once:80  192.0.2.10:8001  (new)" in asked.stdout


@pytest.mark.parametrize("scheme", ["etcd", "etcd3"])
def test_a_newcomer_that_seems_to_be_older_takes_no_key_from_a_running_container(
    scheme: str, good: EtcdServer, tmp_path: Path
) -> None:
    """A clock that was set back makes the newcomer the older one. Each run is another agent, so that only etcd tells
    who has the key. When the container that has it stops, the other one gets the key and keeps it."""
    metadata = {"Config.Env": ["SERVICE_ID=one", "SERVICE_NAME=db"]}
    first = answers("first", 30, ports={"80/tcp": 8001}, inspect=metadata)
    newcomer = answers("newcomer", 10, ports={"80/tcp": 8002}, inspect=metadata)
    below = answers("below", 5, ports={"80/tcp": 8003}, inspect={"Config.Env": ["SERVICE_NAME=db/one"]})
    uri = f"{scheme}://{good.endpoint}/services"
    steps: tuple[tuple[list[tuple[Json, Json]], str, set[str]], ...] = (
        ([first], "+ /services/db/one  192.0.2.10:8001  (new)", set()),
        ([first, newcomer, below], "1 in sync", {"newcomer 80/tcp duplicate", "below 80/tcp duplicate"}),
        ([newcomer], "~ /services/db/one  192.0.2.10:8001 -> 192.0.2.10:8002  (changed)", set()),
        ([first, newcomer], "1 in sync", {"first 80/tcp duplicate"}),
    )
    for running, line, refusals in steps:
        with serving(engine_of(*running), tmp_path) as url:
            done = run_once(url, "reconcile", *FLAGS, uri)
        assert line in done.stdout
        assert "0 to delete" in done.stdout
        assert refused(done.stdout) == refusals


@pytest.mark.parametrize("scheme", ["etcd", "etcd3", "skydns3"])
def test_a_newcomer_that_seems_to_be_older_takes_no_name_from_a_container_with_a_default_id(
    scheme: str, good: EtcdServer, tmp_path: Path
) -> None:
    """A newcomer whose name differs in case alone, or whose key lies below that of a running container, is refused, as
    a newcomer that wants the same key is. A change of the host's port does not matter."""
    label = "core-01--first--80" if scheme == "skydns3" else "core-01:first:80"
    spelled = answers("spelled", 10, ports={"80/tcp": 8002}, inspect={"Config.Env": ["SERVICE_NAME=DB"]})
    below = answers("below", 5, ports={"80/tcp": 8003}, inspect={"Config.Env": [f"SERVICE_NAME=db/{label}"]})
    uri = f"{scheme}://{good.endpoint}/{'local' if scheme == 'skydns3' else 'services'}"
    for port, strict, newcomer in ((8001, (), below), (8004, (), below), (8004, ("--strict-names",), spelled)):
        first = answers("first", 30, ports={"80/tcp": port}, inspect={"Config.Env": ["SERVICE_NAME=db"]})
        for running in ([first], [first, newcomer]):
            with serving(engine_of(*running), tmp_path) as url:
                done = run_once(url, "reconcile", *FLAGS, *strict, uri)
        reason = "bad-name" if strict else "duplicate"
        assert refused(done.stdout) == {f"{newcomer[0]['Names'][0].lstrip('/')} 80/tcp {reason}"}
        assert "0 to create, 0 to update, 0 to delete, 1 in sync, 1 refused" in done.stdout


@pytest.mark.parametrize("scheme", ["etcd", "etcd3", "skydns2"])
def test_sctp_leaves_the_key_of_tcp_alone(scheme: str, good: EtcdServer, tmp_path: Path) -> None:
    """A key that an sctp port had under the id of tcp is removed, and one pass is enough. The agent of another host
    leaves the new keys alone."""
    engine = engine_of(
        answers("both", 1, ports={"80/tcp": 8001, "80/sctp": 8002}),
        answers("alone", 2, ports={"80/sctp": 8003}),
        answers("twice", 3, ports={"80/tcp": 8004, "80/sctp": 8005}, inspect={"Config.Env": ["SERVICE_ID=one"]}),
    )
    uri = f"{scheme}://{good.endpoint}/{'services.local' if scheme == 'skydns2' else 'services'}"
    before = engine_of(answers("alone", 2, ports={"80/tcp": 8003}))
    for recorded, hostname in ((before, "core-01"), (engine, "core-01"), (engine_of(), "core-02")):
        with serving(recorded, tmp_path) as url:
            done = run_once(url, "reconcile", "-ip", "192.0.2.10", "--hostname", hostname, uri)
        assert done.returncode == 0, done.stderr
        if recorded is engine:
            first = done.stdout
    assert first.count("(new)") == 4
    assert first.count("(orphan: ") == 1
    assert refused(first) == {"twice 80/sctp duplicate"}
    with serving(engine, tmp_path) as url:
        again = run_once(url, "reconcile", "-ip", "192.0.2.10", "--hostname", "core-01", uri)
    assert "0 to create, 0 to update, 0 to delete, 4 in sync, 1 refused" in again.stdout
    if scheme == "etcd":
        assert good.store.keys("/services") == services(
            [
                "app-80/core-01:both:80=192.0.2.10:8001",
                "app-80/core-01:both:80:sctp=192.0.2.10:8002",
                "app/core-01:alone:80:sctp=192.0.2.10:8003",
                "app-80/one=192.0.2.10:8004",
            ]
        )


def test_variables_and_labels_speak_for_ranges_of_ports(good: EtcdServer, tmp_path: Path) -> None:
    """The nearest one counts. A range that is too long to be registered can be hidden."""
    every = ("80/tcp", "5060/udp", "10000-10003/udp", "10100-20000/udp")
    env = ["SERVICE_10000-20000_IGNORE=true", "SERVICE_10002_IGNORE=", "SERVICE_80-8080_NAME=low"]
    labels = {"SERVICE_5000-6000_UDP_NAME": "sip", "SERVICE_5000-6000_TCP_NAME": "other", "SERVICE_90-80_NAME": "none"}
    engine = engine_of(answers("sip", 1, inspect=exposing(*every) | {"Config.Env": env, "Config.Labels": labels}))
    with serving(engine, tmp_path) as url:
        done = run_once(url, "reconcile", *FLAGS, f"{good.scheme}://{good.endpoint}/services")
    assert done.returncode == 0, done.stderr
    assert refused(done.stdout) == set()
    assert good.store.keys("/services") == services(
        [
            "low/core-01:sip:80=192.0.2.10:80",
            "sip/core-01:sip:5060:udp=192.0.2.10:5060",
            "app-10002/core-01:sip:10002:udp=192.0.2.10:10002",
        ]
    )


def test_a_container_that_is_not_understood_keeps_its_keys_and_the_others_are_registered(
    good: EtcdServer, tmp_path: Path
) -> None:
    """What is not understood may hide a SERVICE_IGNORE. Null is an empty list or mapping, and a time only sorts."""
    not_understood: dict[str, dict[str, object]] = {
        "env-mapping": {"Config.Env": {"SERVICE_IGNORE": "true"}},
        "env-line": {"Config.Env": ["PATH=/bin", 5]},
        "label-list": {"Config.Labels": ["SERVICE_IGNORE=true"]},
        "no-state": {"State": None},
        "port-list": {"NetworkSettings.Ports": ["80/tcp"]},
        "mode": {"HostConfig.NetworkMode": 5},
    }
    understood: dict[str, dict[str, object]] = {
        "nulls": {"Config.Env": None, "Config.Labels": None, "Config.ExposedPorts": None, "State.Health": None},
        "no-time": {"Created": None},
        "number-for-time": {"Created": 1767225600},
        "zone": {"Created": "2026-01-01 01:00:00.5 +0100 CET m=+0.01"},
        "network-null": {"NetworkSettings.Networks": {"bridge": None}},
    }
    every = {**not_understood, **understood}
    engine = engine_of(
        *(answers(name, 10 + number, ports=WEB, inspect=every[name]) for number, name in enumerate(every)),
        answers("no-list", 40, ports=WEB, listed={"Names": None, "Ports": None}),
        answers("dead", 41, ports=WEB, inspect={"Name": None, "State.Status": "dead"}, listed={"Names": None}),
    )
    for name in not_understood:
        good.store.put(f"/services/app/core-01:{name}:80", "192.0.2.99:1")
    with serving(engine, tmp_path) as url:
        done = run_once(url, "reconcile", *FLAGS, f"{good.scheme}://{good.endpoint}/services")
    assert done.returncode == 0, done.stderr
    assert good.store.keys("/services") == services(
        [
            *(f"app/core-01:{name}:80=192.0.2.99:1" for name in not_understood),
            *(f"app/core-01:{name}:80=192.0.2.10:8300" for name in (*understood, "no-list")),
        ]
    )


def test_a_container_without_a_name_that_is_not_understood_keeps_what_may_be_its_key(
    good: EtcdServer, tmp_path: Path
) -> None:
    """A new agent knows the container of a key by its name alone, and the engine tells none after a crash."""
    odd = answers("odd", 10, ports=WEB, inspect={"Config.Env": 5}, listed={"Names": None})
    for name in ("odd", "web"):
        good.store.put(f"/services/app/core-01:{name}:81", "192.0.2.10:1")
    with serving(engine_of(odd, answers("web", 11, ports=WEB)), tmp_path) as url:
        done = run_once(url, "reconcile", *FLAGS, f"{good.scheme}://{good.endpoint}/services")
    assert done.returncode == 0, done.stderr
    assert good.store.keys("/services") == services(
        ["app/core-01:odd:81=192.0.2.10:1", "app/core-01:web:80=192.0.2.10:8300"]
    )
