"""The client of etcd's v3 API: its errors, and what it asks. With a real etcd: contract/test_etcd_v3, test_failover."""

from __future__ import annotations

import pytest

from controller.effects.clock import Clock, Deadline
from controller.errors import RegistryUnavailable
from controller.registry.credentials import Credentials
from controller.registry.etcd_v3.client import EtcdV3Client, EtcdV3Error, GrpcStatus
from model.host_port import HostPort
from tests.simulation.messages import Request, Response
from tests.simulation.transports import SimulatedHttpClient, Timeouts
from tests.support.answering import fake


def test_the_message_of_an_error_is_what_etcd_said() -> None:
    """It goes into an outcome's detail, where a tuple of all fields would help nobody."""
    error = EtcdV3Error(GrpcStatus.NOT_FOUND, "etcdserver: requested lease not found")
    assert str(error) == "etcdserver: requested lease not found"


@pytest.mark.parametrize(
    ("code", "message", "full", "divisible", "stale_token"),
    [
        (GrpcStatus.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", True, False, False),
        (GrpcStatus.PERMISSION_DENIED, "etcdserver: permission denied", False, True, False),
        (GrpcStatus.INVALID_ARGUMENT, "etcdserver: too many operations in txn request", False, True, False),
        (GrpcStatus.INVALID_ARGUMENT, "etcdserver: request is too large", False, True, False),
        (GrpcStatus.UNAUTHENTICATED, "etcdserver: invalid auth token", False, False, True),
        (GrpcStatus.INVALID_ARGUMENT, "etcdserver: user name is empty", False, False, True),
        (GrpcStatus.INVALID_ARGUMENT, "etcdserver: revision of auth store is old", False, False, True),
        (GrpcStatus.NOT_FOUND, "etcdserver: requested lease not found", False, False, False),
    ],
    ids=str,
)
def test_an_error_says_what_may_help(
    code: GrpcStatus, message: str, full: bool, divisible: bool, stale_token: bool
) -> None:
    """Deletes may still be possible, the request may succeed in parts, or after signing in again."""
    error = EtcdV3Error(code, message)
    assert (error.full, error.divisible, error.stale_token) == (full, divisible, stale_token)


class Etcd:
    """A server that gives every request the same answer; ``asked`` are the calls that it got."""

    def __init__(self, answer: Response) -> None:
        self.asked: list[str] = []
        self._answer = answer
        self._client = EtcdV3Client(
            [("a", 1)], transport=lambda endpoint, context: SimulatedHttpClient(self._deliver, endpoint)
        )

    def call(self, path: str) -> object:
        """Make a call."""
        return self._client.call(path, {}, dict, Deadline.after(10, Clock()))

    def _deliver(self, endpoint: HostPort, request: Request, timeouts: Timeouts) -> Response:
        self.asked.append(request.path.removeprefix("/v3/"))
        return self._answer


GOOD = Response.of_json({"header": {"cluster_id": "1", "revision": "7"}})


def test_a_read_identifies_the_member_for_the_writes_after_it() -> None:
    """Its answer has the cluster id, so no further request is needed."""
    etcd = Etcd(GOOD)
    for path in ("kv/range", "kv/txn", "kv/txn"):
        etcd.call(path)
    assert etcd.asked == ["kv/range", "kv/txn", "kv/txn"]


def test_a_write_that_nothing_came_before_is_preceded_by_a_request_for_the_cluster_id() -> None:
    """The endpoint may belong to another cluster."""
    etcd = Etcd(GOOD)
    for path in ("kv/txn", "kv/txn"):
        etcd.call(path)
    assert etcd.asked == ["maintenance/status", "kv/txn", "kv/txn"]


#: Bodies that are not those of etcd's answers.
STRANGE = {
    "no UTF-8": b'{"header": {"cluster_id": "1"}, "kvs": "\xff"}',
    "giant nesting": b"[" * 100_000,
    "no JSON": b"{" * 10,
    "no header": b'{"header": 1e999999}',
    "a mark of another encoding": b"\xff\xfe",
}


@pytest.mark.parametrize("body", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("status", [200, 500])
def test_what_etcd_never_sends_is_no_usable_answer(status: int, body: bytes) -> None:
    """The error says what came instead."""
    with pytest.raises(RegistryUnavailable, match=f"it does not answer as etcd does, but with {status} "):
        Etcd(Response(status, body)).call("kv/range")


@pytest.mark.parametrize("token", ["a\r\nb: c", "\ud800", "☃"], ids=ascii)
def test_a_token_that_cannot_be_a_header_is_no_usable_answer(token: str) -> None:
    """Nothing is sent with it."""
    document = {"header": {"cluster_id": "1"}, "token": token}
    with fake(200, document) as server:
        client = EtcdV3Client([server.address], credentials=Credentials(user="agent", password="secret"))
        with pytest.raises(RegistryUnavailable):
            client.call("kv/range", {}, dict, Deadline.after(10, Clock()))
        assert server.asked == ["POST /v3/auth/authenticate"]


#: How the gateway of one version or another says that it does not reach its own etcd.
GATEWAY = (
    "connection closed",
    'connection error: desc = "transport: authentication handshake failed: remote error: tls: bad certificate"',
    'connection error: desc = "error reading server preface: remote error: tls: bad certificate"',
    "write tcp 127.0.0.1:41108->127.0.0.1:2379: write: broken pipe",
    "something that a later version of etcd may say",
)


def said_over(tls: bool, message: str) -> str:
    """Return what is said of a gateway that answers with this message."""
    answer = Response.of_json({"code": GrpcStatus.UNAVAILABLE, "message": message}, 503)
    client = EtcdV3Client(
        [("a", 1)],
        credentials=Credentials(tls=tls),
        transport=lambda endpoint, context: SimulatedHttpClient(lambda *_: answer, endpoint),
    )
    with pytest.raises(RegistryUnavailable) as unavailable:
        client.call("kv/range", {}, dict, Deadline.after(10, Clock()))
    return str(unavailable.value)


@pytest.mark.parametrize("message", GATEWAY)
def test_a_gateway_that_does_not_reach_its_etcd_is_told_by_code(message: str) -> None:
    """Its words change. It needs a certificate over TLS alone, and both ends agree on TLS, since it answered."""
    over_tls = said_over(True, message)
    assert "its gateway does not reach etcd itself; with --client-cert-auth, etcd's own certificate" in over_tls
    assert "does not use TLS" not in over_tls
    assert "its gateway" not in said_over(False, message)
    assert "uses TLS" not in said_over(False, message)


def test_an_etcd_in_trouble_is_no_gateway_that_does_not_reach_it() -> None:
    """The gateway has reached it, and passes on what it says."""
    assert "its gateway" not in said_over(True, "etcdserver: no leader")
