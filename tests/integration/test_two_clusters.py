"""A URI whose endpoints belong to two etcd clusters. This mistake must not move a host's keys to the other cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.support.agent import Agent
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3
from tests.support.host import SCHEMES, Host, on_both

#: Maximum seconds from the end of an outage to the next pass. The back-off grows from 1 to 2, 4, 8 and up to 30
#: seconds.
RECOVERY = 30.0


@pytest.fixture
def other() -> Iterator[EtcdServer]:
    """Yield an etcd server that is a cluster of its own."""
    server = EtcdServer().start()
    yield server
    server.close()


def agent_of_both(host: Host, other: EtcdServer) -> Agent:
    """Start an agent with the endpoints of both clusters. The first endpoint is that of the host's own cluster."""
    uri = f"{SCHEMES[host.api]}://{host.etcd.endpoint},{other.endpoint}{host.prefix}"
    return host.run("--interval", "0.2", "-ip", host.engine.address, uri).wait_ready()


def all_keys(host: Host, server: EtcdServer) -> Mapping[str, str]:
    """Return everything that a server holds in the store of the agent's API."""
    return EtcdV3(server.endpoint).keys("") if host.api == 3 else server.keys("/") | server.keys("/_wharfinger")


@on_both("breakable_host")
@pytest.mark.parametrize("fault", ["frozen", "stopped"])
def test_nothing_is_written_to_another_cluster_while_the_known_one_is_away(
    breakable_host: Host, other: EtcdServer, fault: str
) -> None:
    """While the known cluster is away, the agent writes nothing to the other cluster. It is not ready, and says which
    endpoint belongs to another cluster. When the known cluster is back, the agent goes on there."""
    host = breakable_host
    host.start("one")
    agent = agent_of_both(host, other)
    host.wait_for(host.expected())
    if fault == "frozen":
        host.etcd.freeze()
    else:
        host.etcd.stop()
    host.start("two")
    agent.wait_for_passes(3, "registry-error")
    status, page = agent.get("/readyz")
    assert status == 503
    assert other.endpoint in page
    assert "it belongs to another cluster" in page
    assert "endpoint belongs to another cluster" in agent.log()
    assert all_keys(host, other) == {}
    if fault == "frozen":
        host.etcd.thaw()
    else:
        host.etcd.start()
    host.wait_for(host.expected(), RECOVERY)
    agent.wait_ready(RECOVERY)
    assert all_keys(host, other) == {}


@on_both("breakable_host")
def test_a_store_that_was_replaced_by_one_of_another_id_is_filled_at_once(breakable_host: Host) -> None:
    """etcd is replaced by a new server with another cluster id at the same endpoint. The agent accepts the new store
    and registers everything there."""
    host = breakable_host
    host.start("one")
    agent = host.agent().wait_ready()
    host.wait_for(host.expected())
    host.etcd.stop()
    new = EtcdServer(port=int(host.etcd.endpoint.rpartition(":")[2])).start()
    try:
        host.wait_for(host.expected(), RECOVERY)
        agent.wait_ready(RECOVERY)
    finally:
        new.close()
