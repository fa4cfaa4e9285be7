"""The test support's etcd cluster behaves as the tests that break it assume."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.etcd_cluster import EtcdCluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[EtcdCluster]:
    """A cluster of three members on loopback."""
    found = EtcdCluster.on_loopback()
    try:
        yield found.start()
    finally:
        found.close()


def test_another_member_leads_when_the_leader_is_killed(cluster: EtcdCluster) -> None:
    """Another member leads and takes writes. The old leader has everything when it returns, as a follower."""
    cluster.any().put("/before", "1")
    old = cluster.leader()
    old.kill()
    assert cluster.leader() is not old
    cluster.any().put("/meanwhile", "2")
    old.start()
    assert {"/before", "/meanwhile"} <= old.keys().keys()
    assert old in cluster.followers()


def test_another_member_leads_when_the_leader_is_frozen(cluster: EtcdCluster) -> None:
    """A frozen member is not asked, so it costs no time. Once thawed, it follows."""
    old = cluster.leader()
    old.freeze()
    assert not old.awake
    assert cluster.leader(other_than=old) is not old
    cluster.any().put("/frozen", "3")
    old.thaw()
    assert old.keys()["/frozen"] == "3"
    assert old in cluster.followers()


@pytest.mark.parametrize("leads", [False, True])
def test_a_wiped_member_gets_its_data_from_the_others(cluster: EtcdCluster, leads: bool) -> None:
    """A member that is removed with its data and added again gets the data, whether it was a follower or the leader."""
    cluster.any().put("/kept", "4")
    member = cluster.leader() if leads else cluster.followers()[0]
    cluster.wipe(member)
    assert member.keys()["/kept"] == "4"


def test_all_members_start_again_with_their_data(cluster: EtcdCluster) -> None:
    """After all members were killed, the cluster starts them together, as none answers alone, and the data is there."""
    cluster.any().put("/stays", "5")
    for member in cluster.members:
        member.kill()
    assert cluster.start().any().get("/stays") == "5"
