"""What only etcd's v2 API has: hidden keys, directories, quorum reads, and a lifetime for each key."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from controller.registry.base import Registry
from controller.registry.etcd_v2.client import EtcdV2Client
from controller.registry.etcd_v2.registry import etcd_v2_registry
from model.plan import Action, Change, Reason
from model.record import RecordKeys
from model.report import Result
from model.stored import Lifetime
from tests.contract.clients import Address, address, soon
from tests.support.answering import fake
from tests.support.builders import OWNER, change, create
from tests.support.etcd_server import EtcdServer
from tests.support.pass_harness import RealHost, serving

pytestmark = [pytest.mark.every_etcd, pytest.mark.v2]

KEY = "/services/nginx/core-01:web:80"


def registry_at(*endpoints: Address) -> Registry:
    """A registry over these endpoints, without a lifetime."""
    return etcd_v2_registry(EtcdV2Client(endpoints), "/services", Lifetime())


def test_reads_that_decide_deletes_are_quorum_reads() -> None:
    """A consistent read and the reading of other owners' records go through the quorum. Other reads do not."""
    empty = {"node": {"dir": True}}
    with fake(200, empty, X_Etcd_Index="7", X_Etcd_Cluster_Id="c1") as etcd:
        registry = registry_at(etcd.address)
        registry.read(OWNER, soon())
        assert [urlsplit(each.split()[1]).query for each in etcd.asked] == ["recursive=true"] * 2
        etcd.asked.clear()
        position = registry.read(OWNER, soon(), consistent=True).store_position
        registry.other_records(OWNER, soon())
        assert {"quorum=true" in each for each in etcd.asked} == {True}
        assert len(etcd.asked) == 3
        assert position is not None
        assert (position.cluster, position.index) == ("c1", 7)


def test_records_are_hidden_from_every_listing(good: EtcdServer) -> None:
    """Consumers and ``etcdctl ls`` never see them. With its key, a record can be read."""
    record = RecordKeys("/services").record(OWNER)
    registry = registry_at(address(good))
    registry.apply(OWNER, Change(Action.RECORD, record, "mine", None, Reason.CLAIMS), soon())
    assert [key for key in good.keys("/") if "wharfinger" in key] == []
    assert [key for key in good.ls_dirs("/") if "wharfinger" in key] == []
    assert good.get(record) == "mine"


def test_the_records_of_a_prefix_are_not_below_those_of_another_one(good: EtcdServer) -> None:
    """The prefix is percent-encoded, which makes it one part of the record's key."""
    host, port = address(good)
    for prefix in ("/services", "/services/a", "/servi%2Fces", "/日 本"):
        registry = etcd_v2_registry(EtcdV2Client([(host, port)]), prefix, Lifetime())
        change_of = Change(Action.RECORD, RecordKeys(prefix).record(OWNER), prefix, None, Reason.CLAIMS)
        assert registry.apply(OWNER, change_of, soon()).result is Result.APPLIED
    for prefix in ("/services", "/services/a", "/servi%2Fces", "/日 本"):
        registry = etcd_v2_registry(EtcdV2Client([(host, port)]), prefix, Lifetime())
        record = registry.read(OWNER, soon()).record
        assert record is not None
        assert record.value == prefix
        assert registry.other_records("another", soon()) == (record,)


def test_a_delete_leaves_no_empty_directory_and_no_other_key(good: EtcdServer) -> None:
    """The directories above the key are removed if they are empty, up to the prefix, which stays."""
    good.put("/services/team/a/core-01:web:80", "x:1")
    good.put("/services/team/core-02:web:80", "x:2")
    registry = registry_at(address(good))
    before = registry.read(OWNER, soon()).stored["/services/team/a/core-01:web:80"]
    assert registry.apply(OWNER, change(Action.DELETE, before), soon()).result is Result.APPLIED
    assert good.ls_dirs("/services") == ["/services/team"]
    assert good.keys("/services") == {"/services/team/core-02:web:80": "x:2"}


def test_a_store_that_was_wiped_has_another_position() -> None:
    """Its cluster id or its index shows it in the store position."""
    server = EtcdServer().start()
    try:
        server.put(KEY, "x:1")
        before = registry_at(address(server)).read(OWNER, soon()).store_position
        server.lose_data()
        after = registry_at(address(server)).read(OWNER, soon()).store_position
        assert before is not None
        assert after is not None
        assert not after.succeeds(before)
    finally:
        server.close()


def test_a_client_notices_another_cluster_behind_its_endpoint() -> None:
    """The store position of each read has the id of the cluster that answered, so nothing else has to tell the program
    about another cluster."""
    with fake(200, {"node": {"dir": True}}, X_Etcd_Index="7", X_Etcd_Cluster_Id="c1") as etcd:
        registry = registry_at(etcd.address)
        registry.read(OWNER, soon())
        etcd.headers["X-Etcd-Cluster-Id"] = "c2"
        position = registry.read(OWNER, soon()).store_position
        assert position is not None
        assert position.cluster == "c2"


def test_the_rest_of_every_keys_lifetime_is_read(good: EtcdServer) -> None:
    """Each key has a lifetime of its own, whoever wrote it."""
    good.put("/services/db/other:db:5432", "10.0.0.2:5432", ttl=100)
    stored = registry_at(address(good)).read(OWNER, soon()).stored
    assert stored["/services/db/other:db:5432"].ttl in range(95, 101)


# A directory is in the place of a key that is to be written.

CHANGES = {
    "entry": create(KEY, "10.0.0.1:80"),
    "record": Change(Action.RECORD, RecordKeys("/services").record(OWNER), "mine", None, Reason.CLAIMS),
}


@pytest.mark.parametrize("change_of", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("inside", ["", "/a", "/a/b", "/a/b/c"], ids=["empty", "one in it", "two", "three"])
def test_a_directory_without_keys_gives_way_to_the_key(good: EtcdServer, change_of: Change, inside: str) -> None:
    """The directory is removed together with all empty directories in it, and then the key is written."""
    good.put_directory(f"{change_of.key}{inside}")
    registry = registry_at(address(good))
    assert registry.apply(OWNER, change_of, soon()).result is Result.APPLIED
    assert good.get(change_of.key) == change_of.value


@pytest.mark.parametrize("inside", ["x", "a/b", "_hidden", "a/_hidden", "_hidden/a"])
def test_a_directory_with_a_key_stays(good: EtcdServer, inside: str) -> None:
    """The directory also stays if its only key is hidden, so that no listing shows that key. The create ends as a
    conflict that says why."""
    good.put(f"{KEY}/{inside}", "somebody's")
    ended = registry_at(address(good)).apply(OWNER, create(KEY), soon())
    assert (ended.result, ended.detail) == (Result.CONFLICT, "a directory that is not empty is in its place")
    assert good.get(f"{KEY}/{inside}") == "somebody's"


@pytest.mark.parametrize("action", [Action.UPDATE, Action.DELETE], ids=lambda each: each.value)
def test_a_directory_that_took_the_place_of_a_key_after_the_read_is_left_to_the_next_pass(
    good: EtcdServer, action: Action
) -> None:
    """Only a create removes such a directory. An update or a delete was decided while there was a key, so it leaves the
    directory alone."""
    good.put(KEY, "10.0.0.1:80")
    registry = registry_at(address(good))
    before = registry.read(OWNER, soon()).stored[KEY]
    good.delete(KEY)
    good.put_directory(KEY)
    wanted = Result.APPLIED if action is Action.DELETE else Result.CONFLICT
    assert registry.apply(OWNER, change(action, before, "10.0.0.1:80"), soon()).result is wanted
    assert (good.node(KEY) or {})["dir"]


def test_a_key_of_which_the_empty_directory_was_left_behind_is_written(good: EtcdServer) -> None:
    """An agent that was killed after it deleted a key and before it removed the key's directory leaves an empty
    directory. Later, a key that has the same name as that directory can be created all the same."""
    left_by_a_crash = "/services/team/db"
    good.put(f"{left_by_a_crash}/core-01:web:80", "10.0.0.1:80")
    good.delete(f"{left_by_a_crash}/core-01:web:80")
    assert good.ls_dirs("/services/team") == [left_by_a_crash]
    assert registry_at(address(good)).apply(OWNER, create(left_by_a_crash), soon()).result is Result.APPLIED


# Keys and values that are not UTF-8.


def test_a_key_that_is_not_utf_8_is_left_alone(good: EtcdServer) -> None:
    """Such a key looks like an orphan of this host, but the text that etcd gives for it does not name it, so it cannot
    be deleted. Two passes write nothing about it."""
    good.put_bytes("/services/nginx/core-01:w%FFb:80", "x")
    good.put_bytes("/services/ngin%C3%28x/core-01:web:80", "x")
    good.put_bytes("/services/nginx/core-01:%ED%A0%80:80", "x")
    host = RealHost(registry_at(address(good)))
    host.has_a_pass()
    index = good.index()
    for _ in range(2):
        report = host.has_a_pass()
        assert (report.plan.changes, report.plan.foreign, good.index()) == ((), 3, index)


@pytest.mark.parametrize("runs", [True, False], ids=["wanted", "not wanted"])
def test_a_value_that_is_not_utf_8_is_repaired_or_deleted_once(good: EtcdServer, runs: bool) -> None:
    """The key's id shows that the key is this host's. So one pass updates or deletes it, and the next pass has nothing
    to do."""
    good.put_bytes(KEY, "%FF%FE")
    host = RealHost(registry_at(address(good)), *([serving("web")] if runs else []))
    host.has_a_pass()
    assert good.get(KEY) == ("10.0.0.1:8000" if runs else None)
    assert host.has_a_pass().plan.changes == ()
