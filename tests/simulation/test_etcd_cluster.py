"""The simulated etcd cluster: its faults, its lifetimes, and what it tells the oracle. Its answers to requests are
compared with a real etcd's in test_etcd_differential."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.simulation.etcd_change import Change, ChangeKind
from tests.simulation.etcd_cluster import EtcdCluster
from tests.simulation.messages import Request, Response

THREE = ("etcd-1", "etcd-2", "etcd-3")

APIS = ("v2", "v3")


class Time:
    """The virtual time."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    """The virtual time of the cluster."""
    return Time()


@pytest.fixture
def cluster(time: Time) -> EtcdCluster:
    """Three members that have no data."""
    return EtcdCluster(time, THREE)


def code(text: str) -> str:
    """Return a key or value as the gateway takes it."""
    return base64.b64encode(text.encode()).decode()


def post(call: str, **document: Any) -> Request:
    """Return a request for a call of the gateway."""
    return Request("POST", f"/v3/{call}", body=json.dumps(document).encode())


def get(api: str, key: str, *, plain: bool = False) -> Request:
    """Return a request for a key. A ``plain`` one is answered by a member alone."""
    if api == "v2":
        return Request("GET", f"/v2/keys{key}", {} if plain else {"quorum": "true"})
    return post("kv/range", key=code(key), serializable=plain)


def put(api: str, key: str, value: str) -> Request:
    """Return a request that writes a key."""
    if api == "v2":
        return Request("PUT", f"/v2/keys{key}", {"value": value})
    return post("kv/put", key=code(key), value=code(value))


def answered(response: Response | None) -> Response:
    """Return a response; fail if there is none."""
    assert response is not None
    return response


def document(response: Response | None) -> Any:
    """Return the JSON of a response; fail if there is none."""
    return json.loads(answered(response).body)


def value(api: str, response: Response | None) -> str | None:
    """Return the value in the answer to a read; None for no key."""
    found = document(response)
    if api == "v2":
        node = found.get("node")
        return None if node is None else str(node["value"])
    return base64.b64decode(found["kvs"][0]["value"]).decode() if "kvs" in found else None


def position(api: str, response: Response | None) -> tuple[str, int]:
    """Return the cluster id and the index in an answer."""
    if api == "v2":
        headers = answered(response).headers
        return headers["X-Etcd-Cluster-Id"], int(headers["X-Etcd-Index"])
    header = document(response)["header"]
    return header["cluster_id"], int(header["revision"])


@pytest.mark.parametrize("api", APIS)
def test_every_member_answers_with_what_any_member_wrote(cluster: EtcdCluster, api: str) -> None:
    """There is one store of each API, and the two have nothing to do with each other."""
    assert answered(cluster.handle("etcd-1", put(api, "/a", "1"))).status in {200, 201}
    assert [value(api, cluster.handle(member, get(api, "/a"))) for member in THREE] == ["1", "1", "1"]
    assert [cluster.keys(each, "/") for each in APIS if each != api] == [{}]


@pytest.mark.parametrize("api", APIS)
def test_a_minority_answers_plain_reads_from_what_it_knew(cluster: EtcdCluster, api: str) -> None:
    """Writes and consistent reads get no answer from a member that is cut off. The others go on, and it learns of what
    they wrote when it is connected again."""
    cluster.handle("etcd-1", put(api, "/a", "old"))
    cluster.isolate("etcd-3")
    cluster.handle("etcd-1", put(api, "/a", "new"))
    assert value(api, cluster.handle("etcd-3", get(api, "/a", plain=True))) == "old"
    assert cluster.handle("etcd-3", get(api, "/a")) is None
    assert cluster.handle("etcd-3", put(api, "/a", "lost")) is None
    assert value(api, cluster.handle("etcd-2", get(api, "/a"))) == "new"
    cluster.heal("etcd-3")
    assert value(api, cluster.handle("etcd-3", get(api, "/a", plain=True))) == "new"


@pytest.mark.parametrize("api", APIS)
def test_without_a_majority_nothing_is_written(cluster: EtcdCluster, api: str) -> None:
    """The member that is left answers plain reads, and operators can write as little as agents."""
    cluster.put(api, "/a", "1")
    cluster.stop("etcd-1")
    cluster.stop("etcd-2")
    assert cluster.leader is None
    assert value(api, cluster.handle("etcd-3", get(api, "/a", plain=True))) == "1"
    assert cluster.handle("etcd-3", put(api, "/a", "2")) is None
    assert not cluster.put(api, "/a", "2")
    assert not cluster.delete(api, "/a")
    assert not cluster.delete_prefix(api, "/")
    cluster.start("etcd-1")
    assert value(api, cluster.handle("etcd-3", get(api, "/a"))) == "1"


def test_a_stopped_member_gives_no_answer(cluster: EtcdCluster) -> None:
    """``running`` tells it from one that is waiting for the others."""
    cluster.stop("etcd-2")
    assert not cluster.running("etcd-2")
    assert cluster.handle("etcd-2", get("v2", "/a", plain=True)) is None


@pytest.mark.parametrize("api", APIS)
def test_a_member_that_was_stopped_knows_what_it_knew_until_it_finds_the_others(cluster: EtcdCluster, api: str) -> None:
    """Started alone, it shows old keys; with a majority, it shows the new ones."""
    cluster.put(api, "/a", "old")
    cluster.stop("etcd-3")
    cluster.put(api, "/a", "new")
    cluster.stop("etcd-1")
    cluster.stop("etcd-2")
    cluster.start("etcd-3")
    assert value(api, cluster.handle("etcd-3", get(api, "/a", plain=True))) == "old"
    cluster.start("etcd-1")
    assert value(api, cluster.handle("etcd-3", get(api, "/a", plain=True))) == "new"


@pytest.mark.parametrize("api", APIS)
def test_a_lagging_member_shows_old_keys_in_plain_reads_alone(cluster: EtcdCluster, api: str) -> None:
    """It goes on to take part in writes and consistent reads."""
    cluster.put(api, "/a", "old")
    cluster.lag("etcd-2")
    assert answered(cluster.handle("etcd-2", put(api, "/a", "new"))).status == 200
    assert value(api, cluster.handle("etcd-2", get(api, "/a", plain=True))) == "old"
    assert value(api, cluster.handle("etcd-2", get(api, "/a"))) == "new"
    cluster.catch_up("etcd-2")
    assert value(api, cluster.handle("etcd-2", get(api, "/a", plain=True))) == "new"


def test_a_transaction_of_compares_alone_is_answered_without_a_majority(cluster: EtcdCluster) -> None:
    """etcd takes it for a serializable read."""
    compare = {"key": code("/a"), "target": "MOD", "mod_revision": "0"}
    for member in THREE[1:]:
        cluster.isolate(member)
    assert document(cluster.handle("etcd-3", post("kv/txn", compare=[compare])))["succeeded"] is True
    assert cluster.handle("etcd-3", post("kv/txn", success=[{"request_range": {"key": code("/a")}}])) is None


def test_a_member_without_a_majority_refuses_by_itself_what_is_malformed(cluster: EtcdCluster) -> None:
    """It checks a request before it passes it on, so it needs nobody for that."""
    for member in THREE[1:]:
        cluster.isolate(member)
    too_many = post("kv/txn", success=[{"request_range": {"key": code("/a")}}] * 129)
    no_index = Request("PUT", "/v2/keys/a", {"value": "1", "prevIndex": "x"})
    requests = (too_many, no_index, post("kv/put"))
    assert [answered(cluster.handle("etcd-3", each)).status for each in requests] == [400, 400, 400]


def test_an_election_takes_its_time_and_gives_leases_their_lifetime_again(time: Time) -> None:
    """Nothing is written and nothing expires until another member leads."""
    cluster = EtcdCluster(time, THREE, election=1.5)
    cluster.handle("etcd-2", post("lease/grant", ID="7", TTL="10"))
    cluster.handle("etcd-2", post("kv/put", key=code("/a"), value=code("1"), lease="7"))
    time.now += 9.5
    cluster.stop("etcd-1")
    assert cluster.handle("etcd-2", get("v3", "/a")) is None
    assert cluster.next_expiry() == 111.0
    time.now = 111.0
    cluster.expire()
    assert cluster.leader == "etcd-2"
    assert value("v3", cluster.handle("etcd-2", get("v3", "/a"))) == "1"
    assert document(cluster.handle("etcd-2", post("lease/timetolive", ID="7")))["TTL"] == "11"


def test_a_v2_key_expires_at_the_leaders_next_look(cluster: EtcdCluster, time: Time) -> None:
    """Until then it is there, and says no ttl. The index moves when it goes."""
    changes: list[Change] = []
    cluster.on_change.append(changes.append)
    time.now = 100.2
    cluster.handle("etcd-1", Request("PUT", "/v2/keys/a/b", {"value": "1", "ttl": "10"}))
    assert cluster.next_expiry() == 110.5
    time.now = 110.3
    assert "ttl" not in document(cluster.handle("etcd-1", get("v2", "/a/b")))["node"]
    time.now = 110.5
    gone = document(cluster.handle("etcd-1", get("v2", "/a/b")))
    assert (gone["errorCode"], gone["index"]) == (100, 5)
    assert cluster.next_expiry() is None
    assert [(each.kind, each.key, each.previous_value) for each in changes] == [
        (ChangeKind.CREATE, "/a/b", None),
        (ChangeKind.EXPIRE, "/a/b", "1"),
    ]


def test_a_v2_refresh_gives_a_key_a_new_lifetime(cluster: EtcdCluster, time: Time) -> None:
    """It is told of as a renewal, as the value stays."""
    changes: list[Change] = []
    cluster.on_change.append(changes.append)
    cluster.handle("etcd-1", Request("PUT", "/v2/keys/a", {"value": "1", "ttl": "10"}))
    time.now += 9
    refresh = {"refresh": "true", "prevExist": "true", "ttl": "10"}
    assert document(cluster.handle("etcd-1", Request("PUT", "/v2/keys/a", refresh)))["node"]["ttl"] == 10
    assert changes[-1] == Change("v2", ChangeKind.RENEW, "/a", "1", "1")
    assert cluster.next_expiry() == 119.0


def test_a_lease_that_runs_out_takes_its_keys_along(cluster: EtcdCluster, time: Time) -> None:
    """All of them go in one revision."""
    cluster.handle("etcd-1", post("lease/grant", ID="7", TTL="10"))
    for key in ("/b", "/a"):
        cluster.handle("etcd-1", post("kv/put", key=code(key), value=code("1"), lease="7"))
    changes: list[Change] = []
    cluster.on_change.append(changes.append)
    revision = cluster.index("v3")
    assert cluster.next_expiry() == 110.0
    time.now = 109.9
    cluster.expire()
    assert list(cluster.keys("v3", "/")) == ["/a", "/b"]
    time.now = 110.0
    cluster.expire()
    assert (cluster.keys("v3", "/"), cluster.index("v3")) == ({}, revision + 1)
    assert changes == [Change("v3", ChangeKind.EXPIRE, key, None, "1") for key in ("/a", "/b")]
    assert document(cluster.handle("etcd-1", post("lease/timetolive", ID="7")))["TTL"] == "-1"


def test_a_lease_that_has_run_out_cannot_be_granted_while_its_keys_are_still_there(
    cluster: EtcdCluster, time: Time
) -> None:
    """That lasts for up to half a second."""
    time.now = 100.1
    cluster.handle("etcd-1", post("lease/grant", ID="7", TTL="10"))
    time.now = 110.2
    assert document(cluster.handle("etcd-1", post("lease/grant", ID="7", TTL="10")))["code"] == 9
    time.now = 110.5
    assert document(cluster.handle("etcd-1", post("lease/grant", ID="7", TTL="10")))["TTL"] == "10"


def test_a_renewal_of_a_lease_that_has_run_out_waits_for_its_end(cluster: EtcdCluster, time: Time) -> None:
    """A real etcd answers once the lease is revoked; here that comes at once. Then it can be granted again."""
    time.now = 100.1
    cluster.handle("etcd-1", post("lease/grant", ID="7", TTL="10"))
    time.now = 110.2
    assert "TTL" not in document(cluster.handle("etcd-1", post("lease/keepalive", ID="7")))["result"]
    assert document(cluster.handle("etcd-1", post("lease/grant", ID="7", TTL="10")))["TTL"] == "10"


def test_a_lease_lives_for_two_seconds_at_least(cluster: EtcdCluster) -> None:
    """That is one and a half times etcd's default election timeout, rounded up."""
    assert document(cluster.handle("etcd-1", post("lease/grant", ID="7", TTL="1")))["TTL"] == "2"


def test_a_full_store_refuses_what_takes_space(cluster: EtcdCluster) -> None:
    """Ranges, deletes by range, renewals and the v2 API go on."""
    put_in_txn = post("kv/txn", success=[{"request_put": {"key": code("/a")}}])
    delete_in_txn = post("kv/txn", success=[{"request_delete_range": {"key": code("/a")}}])
    refused = [put("v3", "/a", "1"), put_in_txn, post("lease/grant", ID="8", TTL="9"), delete_in_txn, post("kv/txn")]
    passed = [get("v3", "/a"), post("kv/deleterange", key=code("/a")), post("lease/keepalive", ID="7")]
    cluster.full(True)
    assert {answered(cluster.handle("etcd-1", each)).status for each in refused} == {429}
    assert document(cluster.handle("etcd-1", refused[0]))["message"] == "etcdserver: mvcc: database space exceeded"
    assert {answered(cluster.handle("etcd-1", each)).status for each in passed} == {200}
    assert answered(cluster.handle("etcd-1", put("v2", "/a", "1"))).status == 201
    cluster.full(True, deletes_pass=True)
    assert {answered(cluster.handle("etcd-1", each)).status for each in refused[:3]} == {429}
    assert {answered(cluster.handle("etcd-1", each)).status for each in refused[3:]} == {200}
    cluster.full(False)
    assert {answered(cluster.handle("etcd-1", each)).status for each in refused} == {200}


@pytest.mark.parametrize("api", APIS)
def test_a_wipe_leaves_another_cluster_without_data(cluster: EtcdCluster, api: str) -> None:
    """The index begins again. The id stays if the caller says so."""
    empty = position(api, cluster.handle("etcd-1", get(api, "/a")))
    cluster.put(api, "/a", "1")
    cluster.wipe(keep_id=True)
    assert position(api, cluster.handle("etcd-1", get(api, "/a"))) == empty
    cluster.wipe()
    wiped = position(api, cluster.handle("etcd-1", get(api, "/a")))
    assert (wiped[0] != empty[0], wiped[1]) == (True, empty[1])
    assert cluster.keys(api, "/") == {}


@pytest.mark.parametrize("api", APIS)
def test_a_backup_can_be_restored_more_than_once(cluster: EtcdCluster, api: str) -> None:
    """The index goes back to that of the backup, and the id changes, unless the caller says otherwise."""
    cluster.put(api, "/a", "old")
    backup = cluster.backup()
    before = position(api, cluster.handle("etcd-1", get(api, "/a")))
    for keep_id in (True, False):
        cluster.put(api, "/a", "new")
        cluster.put(api, "/b", "new")
        cluster.restore(backup, keep_id=keep_id)
        assert cluster.keys(api, "/") == {"/a": "old"}
        after = position(api, cluster.handle("etcd-1", get(api, "/a")))
        assert (after[0] == before[0], after[1]) == (keep_id, before[1])


def test_lifetimes_outlast_a_restore(cluster: EtcdCluster, time: Time) -> None:
    """A v2 key ends when it was to end; a lease begins anew with the new leader."""
    cluster.handle("etcd-1", Request("PUT", "/v2/keys/a", {"value": "1", "ttl": "10"}))
    cluster.handle("etcd-1", post("lease/grant", ID="7", TTL="10"))
    cluster.handle("etcd-1", post("kv/put", key=code("/a"), value=code("1"), lease="7"))
    backup = cluster.backup()
    time.now += 5
    cluster.restore(backup)
    assert cluster.next_expiry() == 110.0
    time.now = 110.0
    cluster.expire()
    assert (cluster.keys("v2", "/"), cluster.keys("v3", "/")) == ({}, {"/a": "1"})
    assert cluster.next_expiry() == 116.0


@pytest.mark.parametrize("api", APIS)
def test_every_change_is_told_of_in_order(cluster: EtcdCluster, api: str) -> None:
    """Each says what was there before and what is there now."""
    changes: list[Change] = []
    cluster.on_change.append(changes.append)
    cluster.put(api, "/x/a", "1")
    cluster.put(api, "/x/a", "2")
    cluster.put(api, "/x/b", "3")
    cluster.delete(api, "/x/a")
    assert not cluster.delete(api, "/x/a")
    assert cluster.delete_prefix(api, "/x/")
    assert changes == [
        Change(api, ChangeKind.CREATE, "/x/a", "1", None),
        Change(api, ChangeKind.UPDATE, "/x/a", "2", "1"),
        Change(api, ChangeKind.CREATE, "/x/b", "3", None),
        Change(api, ChangeKind.DELETE, "/x/a", None, "2"),
        Change(api, ChangeKind.DELETE, "/x/b", None, "3"),
    ]


def test_a_prefix_of_v2_keys_need_not_be_a_directory(cluster: EtcdCluster) -> None:
    """Then each key is deleted, hidden ones too, and directories stay."""
    for key in ("/x/ab", "/x/ac/_h", "/x/b"):
        cluster.put("v2", key, "1")
    assert cluster.keys("v2", "/x/a") == {"/x/ab": "1", "/x/ac/_h": "1"}
    assert cluster.delete_prefix("v2", "/x/a")
    assert cluster.keys("v2", "/") == {"/x/b": "1"}


def test_old_revisions_can_be_read_until_they_are_compacted(time: Time) -> None:
    """The store compacts itself, so that it does not grow for ever."""
    cluster = EtcdCluster(time, history=10)
    for number in range(15):
        cluster.put("v3", "/a", str(number))
        cluster.put("v3", f"/{number}", "x")
    cluster.delete("v3", "/a")

    def read(revision: int) -> Any:
        return document(cluster.handle("etcd-1", post("kv/range", key=code("/a"), revision=str(revision))))

    assert base64.b64decode(read(cluster.index("v3") - 1)["kvs"][0]["value"]) == b"14"
    assert base64.b64decode(read(cluster.index("v3") - 9)["kvs"][0]["value"]) == b"10"
    assert read(2)["code"] == 11
    assert read(99)["code"] == 11
    assert document(cluster.handle("etcd-1", post("kv/compaction", revision="32")))["header"]["revision"] == "32"
    assert (read(31)["code"], read(32).get("kvs")) == (11, None)


@pytest.mark.parametrize(("size", "status"), [(1_500_000, 200), (1_600_000, 400), (2_200_000, 429)])
def test_a_request_that_is_too_large_is_refused(cluster: EtcdCluster, size: int, status: int) -> None:
    """etcd takes one and a half mebibytes, and gRPC two."""
    assert answered(cluster.handle("etcd-1", put("v3", "/a", "x" * size))).status == status


def test_what_is_not_served_is_not_found(cluster: EtcdCluster) -> None:
    """The statuses are those of a real etcd; a document that is no JSON is a bad request."""
    requests = [
        Request("GET", "/nothing"),
        Request("POST", "/v3/nothing"),
        Request("GET", "/v3/kv/range"),
        Request("POST", "/v3/kv/range", body=b"{"),
    ]
    assert [answered(cluster.handle("etcd-1", each)).status for each in requests] == [404, 404, 405, 400]


@pytest.mark.parametrize(
    "request_", [Request("GET", "/v2/keys/a", {"wait": "true"}), post("kv/range", key=code("/a"), sort_order="DESCEND")]
)
def test_what_is_not_simulated_says_so(cluster: EtcdCluster, request_: Request) -> None:
    """An answer that is wrong would be worse."""
    with pytest.raises(NotImplementedError):
        cluster.handle("etcd-1", request_)
