"""The id of the lease on which an owner's keys hang. What a lease does: contract/test_etcd_v3."""

from __future__ import annotations

import pytest

from controller.registry.etcd_v3.lease import lease_id


def test_the_id_of_a_lease_follows_from_prefix_owner_and_lifetime() -> None:
    """The same three give the same id. Another prefix, owner or ttl is another lease. etcd takes a positive number of
    63 bits."""
    one = lease_id("/services", "core-01", ttl=30)
    assert one == lease_id("/services", "core-01", ttl=30)
    others = {
        lease_id("/services", "core-01", ttl=31),
        lease_id("/services", "core-02", ttl=30),
        lease_id("/service", "score-01", ttl=30),
    }
    assert len(others | {one}) == 4
    assert all(0 < each < 2**63 for each in others)


@pytest.mark.parametrize("ttl", [2, 30, 2**32 + 5])
def test_where_coredns_reads_the_low_32_bits_of_the_id_are_the_ttl(ttl: int) -> None:
    """CoreDNS before 1.12.4 takes them for the seconds that its answer is good for. Each host still has a lease of its
    own."""
    ids = {lease_id("/skydns/local/cluster", f"core-{number}", ttl) for number in range(50)}
    assert {each & 0xFFFFFFFF for each in ids} == {min(ttl, 2**32 - 1)}
    assert len(ids) == 50
    assert all(0 < each < 2**63 for each in ids)
    assert lease_id("/services", "core-1", ttl) & 0xFFFFFFFF != ttl


def test_keys_that_do_not_expire_hang_on_no_lease() -> None:
    """etcd takes 0 for no lease."""
    assert lease_id("/services", "core-01", ttl=0) == 0
