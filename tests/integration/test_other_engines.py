"""On engines of other kinds and versions, containers get the same keys.

These are the tests of other files whose outcome depends on what the engine answers. `python -m scripts.compatibility`
runs these files in full, on more engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration import test_converges, test_parity, test_which
from tests.support.engine import DockerEngine, Unavailable
from tests.support.engine_tree import engine_tree
from tests.support.engines import engine_named
from tests.support.etcd_server import EtcdServer
from tests.support.host import Host
from tests.support.images import TEST_IMAGES, build, build_test_images
from tests.support.parity import Case, load_case
from tests.support.parts import PartMissing
from tests.support.private_engine import private_engine

#: The engines, beside the one that all other tests run on.
OTHERS = ("docker-28",)

#: The parity cases in which the containers differ for the engine, and not only in their metadata or in the flags.
CASES = (
    "publish-all",
    "image-basename",
    "udp-and-tcp",
    "no-ports",
    "unpublished",
    "internal",
    "internal-published",
    "host-network",
    "custom-network-with-ip",
    "bound-to-address",
    "two-containers",
    "image-annotations",
    "paused",
    "exited",
    "two-bindings",
    "stopped-deregisters",
    "on-success-killed",
    "on-success-removed",
    "container-network",
    "ipv6-ip",
)

#: Tests of other files that take a host.
SHARED = (
    test_which.test_with_health_healthy_a_container_has_entries_while_it_is_healthy,
    test_which.test_only_ports_published_in_the_chosen_family_are_registered,
    test_which.test_only_internal_addresses_of_the_chosen_family_are_registered,
    test_which.test_metadata_for_tcp_and_udp_on_one_port_are_independent,
    test_which.test_with_all_bindings_every_binding_that_answers_has_an_entry,
    test_which.test_without_an_ip_only_bindings_on_a_named_address_are_registered,
    test_which.test_an_agent_applies_its_filters_in_every_pass,
    test_converges.test_a_container_has_the_right_key_after_each_step_of_its_life,
    test_converges.test_when_two_containers_swap_names_no_key_is_ever_absent,
    test_converges.test_deregister_on_success_keeps_the_entry_of_a_container_that_fails_and_restarts,
)


@pytest.fixture(scope="module", params=OTHERS)
def engine(request: pytest.FixtureRequest) -> Iterator[DockerEngine]:
    """One of the other engines, with the test images. It takes the place of the engine of the session."""
    found = engine_named(request.param)
    if isinstance(found, Unavailable):
        pytest.skip(found.reason)
    try:
        build_test_images(found)
        yield found
    finally:
        found.close()


@pytest.mark.parametrize("case", [load_case(name) for name in CASES], ids=CASES)
def test_the_keys_are_those_that_registrator_wrote(host: Host, case: Case) -> None:
    """After `docker run`, and after what happens to the containers then, etcd holds the same keys and values."""
    test_parity.replay(host, case)


@pytest.mark.parametrize("test", SHARED, ids=lambda test: test.__name__)
def test_what_holds_on_one_engine_holds_on_the_others(test: Callable[[Host], None], host: Host) -> None:
    """The docstring of each test says what holds."""
    test(host)


def test_containers_that_an_older_engine_made_get_their_keys_again(etcd: EtcdServer, tmp_path: Path) -> None:
    """The upgrade of an engine gives it another id. An agent that is started after it takes the owner name back by
    itself, as every entry under the name points at this host, and writes the same keys."""
    try:
        newer = engine_tree("forky")
    except PartMissing as error:
        pytest.skip(str(error))
    engine = private_engine()
    if isinstance(engine, Unavailable):
        pytest.skip(engine.reason)
    host = Host(engine, etcd, tmp_path)
    try:
        build(engine, "worker:1", TEST_IMAGES["worker:1"])
        engine.docker("network", "create", "--subnet", "172.28.0.0/16", "backend")
        engine.run("--name plain -p 18200:9000 worker:1")
        engine.run("--name inner --network backend -p 18201:9000 worker:1")
        engine.run("--name side --network container:plain -e SERVICE_NAME=side worker:1")
        assert engine.inspect("plain")["HostConfig"]["NetworkMode"] == "default"
        agent = host.run("--interval", "0.2", "-ip", "192.0.2.10", "--delete-guard", "0", host.uri).wait_ready()
        before = host.keys()
        assert len(before) == 3
        old_id = engine.docker("info", "--format", "{{.ID}}")
        engine.upgrade(newer)
        assert engine.docker("info", "--format", "{{.ID}}") != old_id
        host.wait_for({})
        agent.terminate()
        host.shorten_note()
        agent.start()
        for name in ("plain", "inner", "side"):
            engine.docker("start", name)
        host.wait_for(before, timeout=60)
    finally:
        host.close()
        engine.close()


def test_a_wrong_filter_is_an_error_with_the_engines_message(host: Host) -> None:
    """It is told by its status code, as the words are not the same on all engines."""
    words = "cannot read the Docker engine: it refuses --filter: invalid filter 'bogus'"
    test_which.test_a_wrong_filter_is_an_error_and_nothing_is_written(host, "bogus=x", words)


def test_a_container_or_a_flag_selects_the_network_whose_address_is_registered(host: Host) -> None:
    """As on the first engine."""
    networks = test_which.with_networks(host)
    test_which.test_a_container_or_a_flag_selects_the_network_whose_address_is_registered(networks)
