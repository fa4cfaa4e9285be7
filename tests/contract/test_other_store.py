"""What the agent says of keys that etcd's v3 API has where it is to keep those of the v2 API."""

from __future__ import annotations

from typing import Any

import pytest

from controller.commands.build import Effects
from controller.commands.other_store import warn_of_keys_by_v3
from controller.config.settings import parse_settings
from model.record import RecordKeys
from tests.support.captured_logs import capture_logs
from tests.support.command_host import Host
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3
from tests.support.processes import free_ports
from tests.support.waiting import wait_until
from tests.unit.test_settings import DEFAULT_OPTIONS

pytestmark = pytest.mark.v2

KEY = "/services/nginx/core-02:web:80"


def warnings(*uris: str) -> list[dict[str, Any]]:
    """Return what is logged at a start with these registries."""
    with capture_logs() as lines:
        warn_of_keys_by_v3(parse_settings(DEFAULT_OPTIONS, uris), Effects())
    return [line for line in lines if line["log_level"] == "warning"]


def test_keys_by_v3_under_a_prefix_that_v2_keeps_are_warned_of(good: EtcdServer) -> None:
    """The warning names the registry and one of the keys, and says how the v3 API is chosen."""
    EtcdV3(good.endpoint).put(KEY, "10.0.0.2:80")
    [line] = warnings(f"etcd://{good.endpoint}/services")
    assert (line["registry"], line["key"]) == ("etcd", KEY)
    assert "which is etcd3:// here" in line["event"]


@pytest.mark.parametrize(
    ("prefix", "key"),
    [("/services", "/services-too/x"), ("/services", "/services"), ("", RecordKeys("/services").record("core-02"))],
    ids=["a neighbour", "no key below it", "a record"],
)
def test_other_keys_by_v3_are_not_warned_of(good: EtcdServer, prefix: str, key: str) -> None:
    """They are no entries under the prefix."""
    EtcdV3(good.endpoint).put(key, "x")
    assert warnings(f"etcd://{good.endpoint}{prefix}") == []


def test_who_keeps_both_stores_knows_of_both(good: EtcdServer) -> None:
    """So does a host that moves from one API to the other."""
    EtcdV3(good.endpoint).put(KEY, "10.0.0.2:80")
    assert warnings(f"etcd://{good.endpoint}/services", f"etcd3://{good.endpoint}/services") == []


def test_an_etcd_that_cannot_be_asked_is_not_warned_of() -> None:
    """The passes say what is wrong with it."""
    assert warnings(f"etcd://127.0.0.1:{free_ports(1)[0]}/services") == []


def test_the_agent_warns_once_and_goes_on(host: Host) -> None:
    """It looks when its first pass has ended."""
    EtcdV3(host.etcd.endpoint).put(KEY, "10.0.0.2:80")
    host.runs("a")
    agent = host.agent()
    try:
        agent.wait_ready()
        wait_until(lambda: "which is etcd3:// here" in agent.log(), what="the warning")
        agent.wait_for_passes(2)
        assert agent.log().count("which is etcd3:// here") == 1
        assert host.registered == {"core-07:a:80"}
    finally:
        agent.terminate()
