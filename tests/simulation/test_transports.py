"""The simulated transports: what the client libraries make of answers and of network errors."""

from __future__ import annotations

from collections.abc import Callable
from http.client import IncompleteRead, RemoteDisconnected

import pytest
import urllib3

from controller.effects.clock import Clock, Deadline
from controller.effects.http_client import UnwantedAnswer
from controller.effects.request_time import TimeLimits
from controller.errors import RegistryUnavailable
from controller.registry.etcd_v2.client import EtcdV2Client
from controller.registry.etcd_v3.client import EtcdV3Client
from controller.source.engine_client import HttpEngineClient
from controller.source.engine_errors import EngineError, problem_of
from model.host_port import HostPort
from tests.simulation.messages import Request, Response
from tests.simulation.transports import (
    CutShort,
    Refused,
    SimulatedHttpClient,
    SimulatedPool,
    TimedOut,
    Timeouts,
)

ENDPOINT = HostPort("etcd-1", 2379)

#: Maximum seconds of a request, from its start to the end of its answer.
AS_A_WHOLE = 10.0

ANSWER = Response.of_json({"node": {"key": "/a"}}, headers={"X-Etcd-Index": "7", "X-Etcd-Cluster-Id": "c1"})


class Server:
    """Answers each request with the same response, or error, and keeps the requests."""

    def __init__(self, answer: Response | Exception) -> None:
        self.answer = answer
        self.seen: list[tuple[HostPort, Request, Timeouts]] = []

    def deliver(self, endpoint: HostPort, request: Request, timeouts: Timeouts) -> Response:
        """See Deliver."""
        self.seen.append((endpoint, request, timeouts))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def soon() -> Deadline:
    """Return a deadline for tests that are not about deadlines. Its clock stands still."""
    return Deadline.after(AS_A_WHOLE, Clock(monotonic=lambda: 0.0))


def v2_client(server: Server) -> EtcdV2Client:
    """The program's client of the v2 API over the simulated transport."""
    return EtcdV2Client([ENDPOINT], transport=lambda context: SimulatedPool(server.deliver))


def v3_client(server: Server) -> EtcdV3Client:
    """The program's client of the v3 API over the simulated transport."""
    return EtcdV3Client([ENDPOINT], transport=lambda endpoint, context: SimulatedHttpClient(server.deliver, endpoint))


def test_a_request_of_python_etcd_arrives_with_its_path_and_parameters() -> None:
    """The path is percent-encoded as it was sent; parameters of the query and of a form are decoded."""
    server = Server(ANSWER)
    client = v2_client(server)
    assert client.request("GET", "/a b?", {"recursive": "true"}, soon()).node == {"key": "/a"}
    client.request("PUT", "/ä", {"value": "1 & 2", "ttl": ""}, soon())
    assert server.seen == [
        (ENDPOINT, Request("GET", "/v2/keys/a%20b%3F", {"recursive": "true"}), (1.0, 2.0, AS_A_WHOLE)),
        (ENDPOINT, Request("PUT", "/v2/keys/%C3%A4", {"value": "1 & 2", "ttl": ""}), (1.0, 2.0, AS_A_WHOLE)),
    ]


def test_a_request_of_the_v3_client_arrives_with_its_document() -> None:
    """The document is the body."""
    document = {"header": {"cluster_id": "1"}}
    server = Server(Response.of_json(document))
    assert v3_client(server).call("kv/range", {"key": "YQ=="}, dict, soon()) == document
    [(endpoint, request, timeouts)] = server.seen
    assert (endpoint, request.method, request.path, timeouts) == (
        ENDPOINT,
        "POST",
        "/v3/kv/range",
        (1.0, 2.0, AS_A_WHOLE),
    )
    assert request.json() == {"key": "YQ=="}


def engine_client(server: Server) -> HttpEngineClient:
    """The program's client of the engine over the simulated transport."""
    return HttpEngineClient(SimulatedHttpClient(server.deliver, HostPort("engine", 1)), 5, "/v1.41")


#: Runs a test with each error of the simulated network, and a part of the message that the operator reads of it.
NETWORK_ERRORS = pytest.mark.parametrize(
    ("error", "says"),
    [
        (Refused(), "Connection refused"),
        (TimedOut(connect=True), "no answer in time"),
        (TimedOut(), "no answer in time"),
        (CutShort(), "Remote end closed connection without response"),
        (CutShort(ANSWER), "IncompleteRead"),
    ],
)


def test_a_request_to_the_engine_arrives() -> None:
    """Its parameters are decoded, and its time limits are told."""
    server = Server(Response.of_json([{"Id": "1"}]))
    assert engine_client(server).containers(all=True) == [{"Id": "1"}]
    path, whole = "/v1.41/containers/json", (5, 5, 5)
    assert server.seen == [(HostPort("engine", 1), Request("GET", path, {"all": "1"}), whole)]


@NETWORK_ERRORS
def test_the_client_of_the_engine_reports_network_errors_as_with_sockets(error: Exception, says: str) -> None:
    """Each network error becomes the message that the operator reads of the real one."""
    with pytest.raises(EngineError) as caught:
        engine_client(Server(error)).info()
    assert says in problem_of(caught.value)


@pytest.mark.parametrize("api", ["v2", "v3"])
@NETWORK_ERRORS
def test_the_programs_clients_report_network_errors_as_with_sockets(api: str, error: Exception, says: str) -> None:
    """Each network error becomes the message that the operator reads of the real one."""
    server = Server(error)
    ask: Callable[[], object] = (
        (lambda: v2_client(server).request("GET", "/a", {}, soon()))
        if api == "v2"
        else (lambda: v3_client(server).call("kv/range", {}, dict, soon()))
    )
    with pytest.raises(RegistryUnavailable, match=says):
        ask()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Refused(), urllib3.exceptions.NewConnectionError),
        (TimedOut(connect=True), urllib3.exceptions.ConnectTimeoutError),
        (TimedOut(), urllib3.exceptions.ReadTimeoutError),
        (CutShort(), urllib3.exceptions.ProtocolError),
    ],
)
def test_urllib3_raises_what_it_raises_of_sockets(error: Exception, reason: type[Exception]) -> None:
    """Each is a MaxRetryError with the reason."""
    with pytest.raises(urllib3.exceptions.MaxRetryError) as caught:
        SimulatedPool(Server(error).deliver).request("GET", "http://etcd-1/")
    assert type(caught.value.reason) is reason


def test_a_response_may_be_anything() -> None:
    """A body that is no JSON, or a status that etcd never gives, reaches the client as it is."""
    server = Server(Response(503, b"<html>"))
    with pytest.raises(RegistryUnavailable, match="503 Service Unavailable"):
        v2_client(server).request("GET", "/a", {}, soon())
    response = SimulatedPool(server.deliver).request("GET", "http://etcd-1:2379/")
    assert (response.status, response.data) == (503, b"<html>")


#: The time limits of the tests' requests: not in the order in which a simulated server is told of them.
LIMITS = TimeLimits(total=AS_A_WHOLE, connect=1.0, read=2.0)


def http_client(server: Server) -> SimulatedHttpClient:
    """The stand-in for the program's HTTP client."""
    return SimulatedHttpClient(server.deliver, ENDPOINT)


def test_a_request_of_the_http_client_arrives_and_is_answered() -> None:
    """The query is decoded, the body is as it was sent, and the answer's headers have names in lower case."""
    server = Server(ANSWER)
    answer = http_client(server).request("POST", "/a%20b?all=1", LIMITS, b"{}")
    assert server.seen == [
        (ENDPOINT, Request("POST", "/a%20b", {"all": "1"}, b"{}"), (1.0, 2.0, AS_A_WHOLE)),
    ]
    assert (answer.status, answer.headers["x-etcd-index"], answer.body) == (200, "7", ANSWER.body)


@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        (Refused(), ConnectionRefusedError, "Connection refused"),
        (TimedOut(connect=True), TimeoutError, "timed out"),
        (TimedOut(), TimeoutError, "timed out"),
        (CutShort(), RemoteDisconnected, "Remote end closed connection without response"),
        (CutShort(ANSWER), IncompleteRead, "IncompleteRead"),
    ],
)
def test_the_http_client_raises_what_it_raises_of_sockets(error: Exception, raised: type[Exception], says: str) -> None:
    """The errors are those of the standard library."""
    with pytest.raises(raised, match=says) as caught:
        http_client(Server(error)).request("GET", "/", LIMITS)
    assert caught.type is raised


def test_the_lines_of_an_answer_arrive_one_by_one() -> None:
    """They end with the body. Of an answer that is cut short, the first half arrives."""
    server = Server(Response(200, b"one\ntwo\n"))
    assert list(http_client(server).lines("/events?since=1", LIMITS, 60.0)) == [b"one\n", b"two\n"]
    assert server.seen == [(ENDPOINT, Request("GET", "/events", {"since": "1"}), (1.0, 2.0, AS_A_WHOLE))]
    cut = http_client(Server(CutShort(Response(200, b"one\ntwo\n")))).lines("/events", LIMITS, 60.0)
    assert next(cut) == b"one\n"
    with pytest.raises(IncompleteRead):
        next(cut)


def test_lines_are_those_of_a_success() -> None:
    """Any other answer is raised, as a whole."""
    with pytest.raises(UnwantedAnswer, match="status 403") as caught:
        list(http_client(Server(Response(403, b"no"))).lines("/events", LIMITS, 60.0))
    assert caught.value.answer.body == b"no"
