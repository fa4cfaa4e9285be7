"""Tests of etcd's refusals, with both APIs. If a refusal is about the store, every member would give it, so no other
member is asked. If it is about the member that gave it, the next member is asked."""

from __future__ import annotations

import pytest
from attrs import frozen

from controller.registry.credentials import Credentials
from controller.registry.etcd_v3.client import EtcdV3Client
from controller.registry.etcd_v3.registry import etcd_v3_registry
from model.host_port import HostPort
from model.report import Result
from model.stored import Lifetime
from tests.contract.clients import PREFIX, Client, address, soon
from tests.simulation.messages import Request, Response
from tests.simulation.transports import SimulatedHttpClient, Timeouts
from tests.support.answering import fake
from tests.support.builders import OWNER, create
from tests.support.etcd_cluster import EtcdCluster, EtcdMember
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3
from tests.support.waiting import wait_until

KEY = "/services/nginx/core-01:web:80"

#: The HTTP status that etcd's gateway gives with each gRPC code.
HTTP = {
    1: 499,
    2: 500,
    3: 400,
    4: 504,
    5: 404,
    7: 403,
    8: 429,
    9: 400,
    11: 400,
    12: 501,
    13: 500,
    14: 503,
    15: 500,
    16: 401,
}

#: Refusals of the v3 gateway that are about the store: code and message.
V3_STORE = [
    (3, "etcdserver: request is too large"),
    (3, "etcdserver: too many operations in txn request"),
    (3, "etcdserver: duplicate key given in txn request"),
    (3, "etcdserver: key is not provided"),
    (3, "etcdserver: user name is empty"),
    (3, "etcdserver: authentication failed, invalid user ID or password"),
    (3, "etcdserver: revision of auth store is old"),
    (5, "etcdserver: requested lease not found"),
    (7, "etcdserver: permission denied"),
    (8, "etcdserver: mvcc: database space exceeded"),
    (8, "grpc: received message larger than max (2097300 vs. 2097152)"),
    (9, "etcdserver: lease already exists"),
    (9, "etcdserver: authentication is not enabled"),
    (11, "etcdserver: mvcc: required revision has been compacted"),
    (11, "etcdserver: mvcc: required revision is a future revision"),
    (11, "etcdserver: too large lease TTL"),
    (16, "etcdserver: invalid auth token"),
]

#: Refusals of the v3 gateway that are about the member that gives them: code and message.
V3_MEMBER = [
    (1, "etcdserver: request canceled"),
    (2, "context deadline exceeded"),
    (2, "raft: stopped"),
    (4, "etcdserver: context deadline exceeded"),
    (5, "Not Found"),
    (8, "etcdserver: too many requests"),
    (8, "something that a later version of etcd may say"),
    (9, "etcdserver: rpc not supported for learner"),
    (9, "etcdserver: not capable"),
    (9, "etcdserver: not leader"),
    (9, "etcdserver: cluster ID mismatch"),
    (9, "etcdserver: cluster has a downgrade job in progress"),
    (9, "something that a later version of etcd may say"),
    (12, "unknown service etcdserverpb.KV"),
    (13, "transport: the stream was reset"),
    (14, "etcdserver: rpc not supported for learner"),
    (14, "etcdserver: no leader"),
    (14, "etcdserver: leader changed"),
    (14, "etcdserver: not capable"),
    (14, "etcdserver: server stopped"),
    (14, "etcdserver: request timed out"),
    (14, "etcdserver: request timed out, possibly due to previous leader failure"),
    (14, "etcdserver: request timed out, possibly due to connection lost"),
    (14, "etcdserver: request timed out, waiting for the applied index took too long"),
    (14, "etcdserver: unhealthy cluster"),
    (15, "etcdserver: corrupt cluster"),
]

#: Error codes of the v2 API that are about the store, each with etcd's message: https://etcd.io/docs/v2.3/errorcode/
V2_STORE = [
    (100, "Key not found"),
    (101, "Compare failed"),
    (102, "Not a file"),
    (104, "Not a directory"),
    (105, "Key already exists"),
    (107, "Root is read only"),
    (108, "Directory not empty"),
    (110, "The request requires user authentication"),
    (201, "PrevValue is Required in POST form"),
    (202, "The given TTL in POST form is not a number"),
    (203, "The given index in POST form is not a number"),
    (209, "Invalid field"),
    (210, "Invalid POST form"),
    (211, "Value provided on refresh"),
    (212, "A TTL must be provided on refresh"),
]

#: Error codes of the v2 API that are about the member that gives them.
V2_MEMBER = [
    (300, "Raft Internal Error"),
    (301, "During Leader Election"),
    (400, "watcher is cleared due to etcd recovery"),
    (401, "The event in requested index is outdated and cleared"),
    (402, "Standby Internal Error"),
    (499, "something that another version of etcd may say"),
    (500, "Client Internal Error"),
]


@frozen
class Answer:
    """A refusal by one of etcd's APIs."""

    api: int
    status: int
    document: dict[str, object]

    @classmethod
    def of_v3(cls, code: int, message: str) -> Answer:
        """Return the refusal that the v3 gateway gives with this code and message."""
        return cls(3, HTTP[code], {"error": message, "code": code, "message": message})

    @classmethod
    def of_v2(cls, code: int, message: str) -> Answer:
        """Return the refusal that the v2 API gives with this code and message."""
        return cls(2, 400 if code < 300 else 500, {"errorCode": code, "message": message, "cause": "why", "index": 7})

    def second_is_asked(self) -> bool:
        """Return whether a second member is asked after the first one gave this answer to a write."""
        with fake(self.status, self.document) as first, fake(self.status, self.document) as second:
            client = Client(self.api, first.address, second.address)
            result = client.registry.apply(OWNER, create(KEY), soon()).result
            assert result in {Result.FAILED, Result.REJECTED, Result.CONFLICT, Result.APPLIED}
            assert first.asked
            return bool(second.asked)


@pytest.mark.parametrize(("code", "message"), V3_STORE)
def test_an_answer_of_v3_about_the_store_is_the_answer(code: int, message: str) -> None:
    """No other member is asked, as each would refuse, too."""
    assert not Answer.of_v3(code, message).second_is_asked()


@pytest.mark.parametrize(("code", "message"), V3_MEMBER)
def test_after_an_answer_of_v3_about_the_member_the_next_one_is_asked(code: int, message: str) -> None:
    """The refusal shows the state of one member, and not of the cluster."""
    assert Answer.of_v3(code, message).second_is_asked()


@pytest.mark.parametrize(("code", "message"), V2_STORE)
def test_an_answer_of_v2_about_the_store_is_the_answer(code: int, message: str) -> None:
    """No other member is asked, as each would refuse, too."""
    assert not Answer.of_v2(code, message).second_is_asked()


@pytest.mark.parametrize(("code", "message"), V2_MEMBER)
def test_after_an_answer_of_v2_about_the_member_the_next_one_is_asked(code: int, message: str) -> None:
    """The refusal shows the state of one member, and not of the cluster."""
    assert Answer.of_v2(code, message).second_is_asked()


def test_a_user_whom_v2_refuses_is_refused_by_every_member() -> None:
    """etcd's v2 API gives this refusal as an HTTP status without an error code."""
    assert not Answer(2, 401, {"message": "Insufficient credentials"}).second_is_asked()


@pytest.mark.parametrize("code", [9, 14])
def test_a_learner_that_refuses_a_sign_in_has_signed_nobody_in(good: EtcdServer, code: int) -> None:
    """A learner, which is a member that may not vote yet, refuses to sign the user in. So the next member is asked, and
    the learner has to sign the user in when it is its turn again."""
    learner = {"error": "", "code": code, "message": "etcdserver: rpc not supported for learner"}
    with fake(HTTP[code], learner) as first:
        credentials = Credentials(user="agent", password="secret")
        client = EtcdV3Client([first.address, address(good)], credentials=credentials)
        assert etcd_v3_registry(client, PREFIX, Lifetime()).read(OWNER, soon()).stored == {}
        assert first.asked == ["POST /v3/auth/authenticate"]


def test_a_member_that_does_not_know_the_token_that_it_gave_out_is_left_for_the_next() -> None:
    """The member gives out a token and then refuses it. It is asked for a new token once more, and then the next member
    is asked."""
    asked = list[tuple[str, str]]()
    good = {"header": {"cluster_id": "1"}}

    def deliver(endpoint: HostPort, request: Request, timeouts: Timeouts) -> Response:
        call = request.path.removeprefix("/v3/")
        asked.append((endpoint.host, call))
        if call == "auth/authenticate":
            return Response.of_json({"header": {"cluster_id": "1"}, "token": "t"})
        if endpoint.host == "forgetful":
            return Response.of_json({"code": 16, "message": "etcdserver: invalid auth token"}, 401)
        return Response.of_json(good)

    credentials = Credentials(user="agent", password="secret")
    endpoints = [("forgetful", 1), ("other", 1)]
    client = EtcdV3Client(
        endpoints,
        credentials=credentials,
        transport=lambda endpoint, context: SimulatedHttpClient(deliver, endpoint),
    )
    assert client.call("kv/range", {}, dict, soon()) == good
    both = ["auth/authenticate", "kv/range"]
    assert asked == [*(("forgetful", call) for call in both * 2), *(("other", call) for call in both)]


@pytest.mark.every_etcd
@pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])
def test_a_real_learner_first_in_the_list_is_passed_over(api: int) -> None:
    """A learner is a member of the cluster that may not vote yet. It refuses requests that go through the quorum."""
    cluster = EtcdCluster.on_loopback(1)
    learner = EtcdMember("learner")
    try:
        [leader] = cluster.start().members
        EtcdV3(leader.endpoint).call("cluster/member/add", {"peerURLs": [learner.peer_url], "isLearner": True})
        learner.join([leader, learner], state="existing")
        learner.launch()
        wait_until(lambda: learner.status() is not None, 20, "the learner to join")
        client = Client(api, address(learner), address(leader))
        assert client.registry.apply(OWNER, create(KEY), soon()).result is Result.APPLIED
        assert KEY in client.registry.read(OWNER, soon(), consistent=True).stored
    finally:
        learner.close()
        cluster.close()
