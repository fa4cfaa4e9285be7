"""The program on Podman: the tests of Docker that tell the most, and what only Podman does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration import test_converges as converges
from tests.integration import test_parity as parity
from tests.integration import test_which as which
from tests.support.engine import DockerError, Unavailable
from tests.support.host import Host
from tests.support.images import build_test_images
from tests.support.parity import Case, load_case
from tests.support.podman_engine import PodmanEngine, podman_engine
from tests.support.processes import REPOSITORY, clean_environment
from tests.support.waiting import wait_until

#: One case of each shape of container.
PARITY = (
    "publish-all",
    "image-basename",
    "port-name-and-id",
    "udp-and-tcp",
    "internal",
    "bound-to-address-ip",
    "paused",
    "on-success-killed",
)

#: A HEALTHCHECK that passes while a file exists.
CHECKED = "--health-cmd 'ls /tmp/ok' --health-retries 1"


@pytest.fixture(scope="module")
def engine() -> Iterator[PodmanEngine]:
    """A Podman with the test images."""
    found = podman_engine()
    if isinstance(found, Unavailable):
        pytest.skip(f"no Podman: {found.reason}")
    try:
        build_test_images(found)
        yield found
    finally:
        found.close()


@pytest.mark.parametrize("case", [load_case(name) for name in PARITY], ids=lambda case: case.name)
def test_the_keys_are_those_that_registrator_wrote(host: Host, case: Case) -> None:
    """They are the same as on Docker."""
    parity.replay(host, case)


def test_one_pass_makes_everything_right_after_an_agent_was_killed(host: Host) -> None:
    """As on Docker, during a burst of changes."""
    converges.test_one_pass_makes_everything_right_after_an_agent_was_killed_at_any_moment(host, seed=3, writes=4)


def test_a_container_has_the_right_key_after_each_step_of_its_life(host: Host) -> None:
    """As on Docker: while it is paused, too."""
    converges.test_a_container_has_the_right_key_after_each_step_of_its_life(host)


def test_metadata_for_tcp_and_udp_on_one_port_are_independent(host: Host) -> None:
    """As on Docker."""
    which.test_metadata_for_tcp_and_udp_on_one_port_are_independent(host)


def test_an_agent_applies_its_filters_in_every_pass(host: Host) -> None:
    """As on Docker."""
    which.test_an_agent_applies_its_filters_in_every_pass(host)


@pytest.mark.parametrize(
    ("given", "says"), [("bogus=x", "bogus is an invalid filter"), ("status=odd", "unknown container state: odd")]
)
def test_a_filter_that_podman_does_not_know_is_an_error(host: Host, given: str, says: str) -> None:
    """Podman's message names the filter, and nothing is written."""
    host.start("web")
    done = host.reconcile("--filter", given)
    assert done.returncode == 1
    assert f"it refuses --filter: {says}" in done.stdout + done.stderr
    assert host.keys() == {}


def test_a_container_that_joined_anothers_network_has_only_what_is_its_own(host: Host) -> None:
    """Podman shows the other's published port as its own, and does not tell which ports it exposes itself. So it has no
    entry."""
    host.start("one")
    published = host.expected()
    host.engine.run("--name side --network container:one -e SERVICE_NAME=side worker:1")
    shown = host.engine.inspect("side")
    assert shown["NetworkSettings"]["Ports"] == host.engine.inspect("one")["NetworkSettings"]["Ports"]
    assert host.reconcile().returncode == 0
    assert host.keys() == published


def test_with_health_healthy_a_container_has_entries_while_it_is_healthy(host: Host) -> None:
    """Podman's list does not show health, but its events tell of each check. Its own client runs the checks here, again
    and again, in the place of systemd's timers. A pass without events asks about each container with a HEALTHCHECK."""

    def is_right_after_a_check() -> bool:
        host.engine.docker("healthcheck", "run", "web")
        return host.keys() == both

    host.start("plain")
    host.start("web", flags=CHECKED)
    both = host.expected()
    plain = {host.key("plain"): both[host.key("plain")]}
    hurried = host.agent("--health", "healthy", interval=converges.ONE_PASS).wait_ready()
    wait_until(lambda: hurried.total("hints_flowing"), 10, "the events")
    assert host.keys() == plain
    host.engine.docker("exec", "web", "sh", "-c", "echo > /tmp/ok")
    wait_until(is_right_after_a_check, 20, "the entry of the healthy container")
    hurried.kill9()
    host.agent("--health", "healthy", "--no-hints").wait_ready()
    host.engine.docker("exec", "web", "/bin/busybox", "rm", "/tmp/ok")
    with pytest.raises(DockerError):
        host.engine.docker("healthcheck", "run", "web")
    host.wait_for(plain)


def test_an_id_that_does_not_last_is_no_owner_conflict(host: Host) -> None:
    """Podman makes up another id whenever it is asked, so none is recorded."""
    host.start("web")
    for _ in range(2):
        assert host.reconcile().returncode == 0
    assert host.keys() == host.expected()
    assert json.loads(host.store.get(host.beside_record("record")) or "")["engine"] == ""


def test_an_agent_writes_down_its_kind_of_engine_and_leaves_the_name_of_another_kind_alone(host: Host) -> None:
    """Nothing is written under the name of an engine of another kind. With --take-over, the name is taken once the
    agent of that engine is silent."""
    host.start("web")
    host.agent().wait_ready().kill9()
    key, note = host.beside_record("agent"), note_of(host)
    assert note["engine"] == "podman"
    host.store.put(key, json.dumps(note | {"engine": "docker"}))
    host.engine.remove_all()
    before = host.keys()
    done = host.reconcile()
    assert done.returncode == 1
    assert "belongs to an engine of another kind: docker, and this is podman" in done.stderr
    assert host.keys() == before != {}
    host.shorten_note()
    again = host.agent("--take-over")
    wait_until(lambda: note_of(host)["engine"] == "podman", 20, "the name to be taken")
    host.wait_for({})
    assert again.running


def test_podmans_usual_socket_is_found_where_docker_has_none(engine: PodmanEngine) -> None:
    """It is the last of the places. Docker's own comes first."""

    def found(*commands: str) -> str:
        program = f"{sys.executable} -m controller config etcd://127.0.0.1/services"
        script = " && ".join((*commands, program))
        argv = engine.run_in_namespace(["sh", "-c", script])
        environment = clean_environment(PYTHONPATH=str(REPOSITORY))
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=REPOSITORY, check=True)
        return next(line for line in done.stdout.splitlines() if "docker-host" in line)

    link = f"ln -s {engine.socket_url.removeprefix('unix://')}"
    assert "unix:///run/podman/podman.sock" in found("mkdir -p /run/podman", f"{link} /run/podman/podman.sock")
    assert "unix:///var/run/docker.sock" in found(f"{link} /run/docker.sock")


def note_of(host: Host) -> dict[str, Any]:
    """Return the note of this host's agent."""
    return dict(json.loads(host.store.get(host.beside_record("agent")) or "{}"))
