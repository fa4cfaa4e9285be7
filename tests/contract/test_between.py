"""What stands between the agent and etcd, through both APIs of etcd: proxies, load balancers, login pages of networks.

Each answer that is none of etcd's is an error that says what answered and what to do. None of them counts as an empty
registry, and nothing is written or deleted because of one.
"""

from __future__ import annotations

import socketserver
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from attrs import field, frozen

from controller.commands.exit_codes import ExitCode
from controller.errors import RegistryUnavailable
from model.report import Result
from tests.contract.clients import Address, Client, soon
from tests.support.answering import fake
from tests.support.builders import OWNER, create
from tests.support.command_host import Host
from tests.support.etcd_server import EtcdServer, etcd_binary
from tests.support.processes import Child, free_ports
from tests.support.waiting import wait_until
from tests.support.wiretap import Moment, Wiretap

KEY = "/services/nginx/core-01:web:80"

#: What no message may have: parts of pages, and secrets.
HIDDEN = ("<", "Welcome", "hunter2", "\n", "\x1b")

PAGE = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body>hunter2</body></html>\n"

NOT_REACHED = "a proxy or load balancer before etcd does not reach it; mend it, or give the endpoints of etcd itself"
NOT_LET_THROUGH = "whatever stands before etcd does not let the agent through; allow it, or give the endpoints of etcd"
ELSE = "something other than etcd answers there; give the endpoints of etcd itself"
NOT_FOLLOWED = "and redirects are not followed; give the endpoints of etcd itself"


@frozen
class Strange:
    """An answer that is none of etcd's, and what is said of it."""

    status: int
    body: object
    said: str
    headers: dict[str, str] = field(factory=dict)


HTML = {"Content_Type": "text/html; charset=utf-8"}
TEXT = {"Content_Type": "text/plain"}
JSON = {"Content_Type": "application/json"}

STRANGE = {
    "nginx without etcd": Strange(502, PAGE, f"502 Bad Gateway (text/html, from test): {NOT_REACHED}", HTML),
    "HAProxy without etcd": Strange(503, PAGE, f"503 Service Unavailable (text/html, from test): {NOT_REACHED}", HTML),
    "Envoy": Strange(
        503,
        "no healthy upstream",
        f'503 Service Unavailable (text/plain, from test, saying "no healthy upstream"): {NOT_REACHED}',
        TEXT,
    ),
    "a gateway that waits": Strange(504, PAGE, f"504 Gateway Timeout (text/html, from test): {NOT_REACHED}", HTML),
    "a firewall": Strange(403, PAGE, f"403 Forbidden (text/html, from test): {NOT_LET_THROUGH}", HTML),
    "a sign-in": Strange(401, PAGE, f"401 Unauthorized (text/html, from test): {NOT_LET_THROUGH}", HTML),
    "a proxy's sign-in": Strange(
        407, PAGE, f"407 Proxy Authentication Required (text/html, from test): {NOT_LET_THROUGH}", HTML
    ),
    "an API gateway": Strange(
        404,
        {"message": "no Route matched with those values"},
        f'404 Not Found (application/json, from test, saying "no Route matched with those values"): {ELSE}',
        JSON,
    ),
    "an API gateway that asks for a key": Strange(
        401,
        {"message": "No API key found in request"},
        f'401 Unauthorized (application/json, from test, saying "No API key found in request"): {NOT_LET_THROUGH}',
        JSON,
    ),
    "Kubernetes": Strange(
        403,
        {"kind": "Status", "message": "forbidden: User", "reason": "Forbidden", "code": 403},
        f'403 Forbidden (application/json, from test, saying "forbidden: User"): {NOT_LET_THROUGH}',
        JSON,
    ),
    "a service whose codes are like etcd's": Strange(
        404,
        {"errorCode": 100, "message": "no such thing"},
        f'404 Not Found (application/json, from test, saying "no such thing"): {ELSE}',
        JSON,
    ),
    "a web server": Strange(404, PAGE, f"404 Not Found (text/html, from test): {ELSE}", HTML),
    "the login page of a network": Strange(200, PAGE, f"200 OK (text/html, from test): {ELSE}", HTML),
    "an empty page": Strange(200, "", f"200 OK (no content, from test): {ELSE}"),
    "no content": Strange(204, "", f"204 No Content (no content, from test): {ELSE}"),
    "another API": Strange(200, {"status": "ok"}, f"200 OK (application/json, from test): {ELSE}", JSON),
    "an empty document": Strange(200, {}, f"200 OK (application/json, from test): {ELSE}", JSON),
    "null": Strange(200, None, f"200 OK (application/json, from test): {ELSE}", JSON),
    "control characters": Strange(
        500, "\x1b[31m", f'500 Internal Server Error (content of no type, from test, saying "\\x1b[31m"): {ELSE}'
    ),
    "moved": Strange(
        301,
        PAGE,
        f"301 Moved Permanently (text/html, from test): it points to https://etcd.example, {NOT_FOLLOWED}",
        {**HTML, "Location": "https://agent:hunter2@etcd.example/v2/keys?token=hunter2"},
    ),
    "found": Strange(
        302, "", f"302 Found (no content, from test): it points to another path, {NOT_FOLLOWED}", {"Location": "/login"}
    ),
    "elsewhere": Strange(
        307, "", f"307 Temporary Redirect (no content, from test): it points to another path, {NOT_FOLLOWED}"
    ),
    "a redirect to nowhere": Strange(
        303,
        "",
        f"303 See Other (no content, from test): it points to no valid URL, {NOT_FOLLOWED}",
        {"Location": "http://["},
    ),
    "permanent": Strange(
        308,
        "",
        f"308 Permanent Redirect (no content, from test): it points to http://127.0.0.1:1, {NOT_FOLLOWED}",
        {"Location": "http://127.0.0.1:1/hunter2"},
    ),
    "nginx with TLS": Strange(
        400,
        "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>",
        "400 Bad Request (text/html, from test): it uses TLS; give one of etcds://, etcd3s://, skydns2s://, skydns3s://",
        HTML,
    ),
    "etcd with TLS": Strange(
        400,
        "Client sent an HTTP request to an HTTPS server.\n",
        '400 Bad Request (text/plain, from test, saying "Client sent an HTTP request to an HTTPS server."): '
        "it uses TLS; give one of etcds://, etcd3s://, skydns2s://, skydns3s://",
        TEXT,
    ),
    "too many requests": Strange(429, PAGE, f"429 Too Many Requests (text/html, from test): {NOT_LET_THROUGH}", HTML),
    "a status of its own": Strange(599, PAGE, f"599 (text/html, from test): {ELSE}", HTML),
}


@contextmanager
def greeting_server(greeting: bytes) -> Iterator[Address]:
    """Run a server that answers each connection with these bytes, and yield its address."""

    class Greeting(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(greeting)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeting) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield ("127.0.0.1", server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def api(request: pytest.FixtureRequest) -> int:
    """The version of etcd's API."""
    return int(request.param)


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
def test_the_error_says_what_answered_and_what_to_do(api: int, strange: Strange) -> None:
    """It has the endpoint, the status, the kind of content and what the server calls itself, but no page."""
    with fake(strange.status, strange.body, Server="test", **strange.headers) as server:
        client = Client(api, server.address)
        with pytest.raises(RegistryUnavailable) as unavailable:
            client.registry.read(OWNER, soon())
        outcome = client.registry.apply(OWNER, create(KEY), soon())
        message = str(unavailable.value)
        assert (
            message
            == f"http://127.0.0.1:{server.server_port}: it does not answer as etcd does, but with {strange.said}"
        )
        assert (outcome.result, outcome.detail) == (Result.FAILED, message)
        assert [each for each in HIDDEN if each in message] == []


def test_what_the_server_says_of_itself_cannot_disturb_the_terminal(api: int) -> None:
    """It is cut short, and control characters are escaped."""
    with fake(500, "", Server="\x1b[31m" + "x" * 1000, Content_Type="\x1b[31m") as server:
        with pytest.raises(RegistryUnavailable) as unavailable:
            Client(api, server.address).registry.read(OWNER, soon())
        assert str(unavailable.value).isprintable()
        assert len(str(unavailable.value)) < 300


def test_a_refusal_cannot_disturb_the_terminal(api: int) -> None:
    """Whoever looks like etcd may send anything."""
    said = "\x1b[31mno\n"
    refusals = {
        2: {"errorCode": 203, "message": said, "cause": said, "index": 1},
        3: {"code": 3, "message": said},
    }
    with fake(400, refusals[api], Content_Type="application/json") as server:
        with pytest.raises(RegistryUnavailable, match="no") as unavailable:
            Client(api, server.address).registry.read(OWNER, soon())
        assert str(unavailable.value).isprintable()


@pytest.mark.parametrize(
    ("greeting", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", f'"SSH-2.0-OpenSSH_9.2": {ELSE}'),
        (b"-ERR unknown command\r\n", f'"-ERR unknown command": {ELSE}'),
        (b"\x1b[31m" + b"x" * 1000, f'"\\x1b[31m{"x" * 72}": {ELSE}'),
        (
            b"\x15\x03\x01\x00\x02\x02\x46",
            f'"\\x15\\x03\\x01\\x00\\x02\\x02F": {ELSE} '
            "(if it uses TLS, give one of etcds://, etcd3s://, skydns2s://, skydns3s://)",
        ),
    ],
    ids=["SSH", "Redis", "control characters", "an alert of TLS"],
)
def test_what_does_not_speak_http_is_named(api: int, greeting: bytes, said: str) -> None:
    """The error has the first line of what it says, without control characters."""
    with greeting_server(greeting) as address:
        with pytest.raises(RegistryUnavailable) as unavailable:
            Client(api, address).registry.read(OWNER, soon())
        assert str(unavailable.value).partition(": ")[2] == f"it does not answer in HTTP, but with {said}"


@pytest.mark.v2
def test_a_load_balancer_that_drops_etcds_headers_is_named(shared_server: EtcdServer) -> None:
    """By v2, only the headers tell how far the store has come. By v3, there are none that matter."""
    answer = urllib.request.urlopen(f"http://{shared_server.endpoint}/v2/keys/").read().decode()
    lacking = pytest.raises(RegistryUnavailable, match="its answer lacks the header X-Etcd-Index; have the proxy")
    with fake(200, answer, Content_Type="application/json") as server, lacking:
        Client(2, server.address).registry.read(OWNER, soon())


@pytest.mark.parametrize("host", ["a" * 64, "*", "a..b", "ä" * 60], ids=repr)
def test_a_host_that_the_libraries_refuse_is_an_error_of_the_endpoint(api: int, host: str) -> None:
    """No request is sent, so there is no answer of which something could be said."""
    with pytest.raises(RegistryUnavailable, match="http://"):
        Client(api, (host, 1)).registry.read(OWNER, soon(2))


def test_a_redirect_leads_nobody_astray(api: int) -> None:
    """A password would go there, too."""
    with fake(200, "") as elsewhere, fake(307, "", Location=f"http://127.0.0.1:{elsewhere.server_port}/") as server:
        with pytest.raises(RegistryUnavailable):
            Client(api, server.address).registry.read(OWNER, soon())
        assert Client(api, server.address).registry.apply(OWNER, create(KEY), soon()).result is Result.FAILED
        assert elsewhere.asked == []


@pytest.fixture(scope="module")
def grpc_proxy(shared_server: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Return the address of etcd's own grpc-proxy before an etcd."""
    address = "127.0.0.1", free_ports(1)[0]
    # Later versions of the proxy connect to themselves at the address that they advertise.
    itself = f"{address[0]}:{address[1]}"
    flags = [f"--endpoints={shared_server.endpoint}", f"--listen-addr={itself}", f"--advertise-client-url={itself}"]
    log = tmp_path_factory.mktemp("grpc-proxy") / "log"
    proxy = Child([etcd_binary(), "grpc-proxy", "start", *flags], log)
    proxy.start()
    try:
        wait_until(lambda: answers(f"http://{itself}/health"), 20, "the grpc-proxy")
        yield address
    finally:
        proxy.kill()


def answers(url: str) -> bool:
    """Return whether a server answers at this URL."""
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


@pytest.mark.every_etcd
def test_etcds_grpc_proxy_is_named(api: int, grpc_proxy: Address) -> None:
    """It serves neither the v2 API nor the gateway of the v3 API."""
    with pytest.raises(RegistryUnavailable) as unavailable:
        Client(api, grpc_proxy).registry.read(OWNER, soon())
    assert f"it does not serve the v{api} API" in str(unavailable.value)
    assert "give the endpoints of etcd itself if it is etcd's grpc-proxy" in str(unavailable.value)


@pytest.mark.parametrize("strange", ["nginx without etcd", "moved", "an empty document", "the login page of a network"])
def test_nothing_is_deleted_while_something_else_answers(host: Host, strange: str) -> None:
    """The engine runs nothing any more, so the next answer of etcd leads to deletes. Standard error is readable."""
    answer = STRANGE[strange]
    host.runs("a", "b")
    assert host.reconcile().returncode == ExitCode.IN_SYNC
    before = host.registered
    host.runs()
    with fake(answer.status, answer.body, Server="test", **answer.headers) as server:
        uri = f"etcd://127.0.0.1:{server.server_port}/services"
        done = host.command("reconcile", "-ip=10.0.0.1", "--delete-guard=0", uri=uri)
    assert (done.returncode, host.registered) == (ExitCode.FAILED, before)
    assert answer.said in done.stderr + done.stdout
    assert [each for each in HIDDEN[:3] if each in done.stderr + done.stdout] == []


def test_a_load_balancer_that_answers_every_other_request_deletes_nothing(host: Host, api: int) -> None:
    """Half of the requests of a pass reach etcd. The others get a page."""
    host.runs("a", "b")
    scheme = {2: "etcd", 3: "etcd3"}[api]
    number = 0

    def every_other(moment: Moment) -> bool:
        nonlocal number
        if not moment.answered:
            number += 1
            moment.status = 502 * (number % 2)
        return True

    right = f"{scheme}://{host.etcd.endpoint}/services"
    assert host.command("reconcile", "-ip=10.0.0.1", uri=right).returncode == ExitCode.IN_SYNC
    with Wiretap(host.etcd.endpoint, every_other) as tap:
        for _ in range(4):
            done = host.command("reconcile", "-ip=10.0.0.1", uri=f"{scheme}://{tap.endpoint}/services")
            assert "\n- " not in f"\n{done.stdout}"
    again = host.command("reconcile", "--dry-run", "-ip=10.0.0.1", uri=right)
    assert "0 to delete, 2 in sync" in again.stdout
