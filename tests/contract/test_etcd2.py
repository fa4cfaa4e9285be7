"""What only etcd has: several endpoints, some of them ill, hidden keys, quorum reads."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from controller.clock import Clock, Deadline
from controller.errors import RegistryUnavailable
from controller.etcd2 import Endpoints, Etcd2Registry
from controller.rotation import CONNECT_TIMEOUT, READ_TIMEOUT
from model.plan import Action, Change, Reason
from model.record import ROOT, Shelf
from model.report import Result
from model.stored import Lifetime
from tests.support.builders import OWNER, change, create
from tests.support.etcd_server import EtcdServer
from tests.support.fakes import FakeTime
from tests.support.processes import free_ports

KEY = "/services/nginx/core-01:web:80"

#: What a machine may take on top.
SLACK = 1.5

Address = tuple[str, int]


class _Answering(BaseHTTPRequestHandler):
    """Answers everything alike, and keeps what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Fake)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.asked.append(f"{self.command} {self.path}")
        self.send_response(server.status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)

    do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""


class Fake(ThreadingHTTPServer):
    """Something that answers over HTTP, and is no etcd, or an ill one."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.status, self.body, self.headers = status, body, headers
        self.asked: list[str] = []

    @property
    def address(self) -> Address:
        """Where it listens."""
        return "127.0.0.1", self.server_port


@contextmanager
def fake(status: int = 200, body: object = None, **headers: str) -> Iterator[Fake]:
    """A server that answers so."""
    text = body if isinstance(body, str) else json.dumps(body)
    with Fake(status, text.encode(), {name.replace("_", "-"): value for name, value in headers.items()}) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def good(shared_server: EtcdServer) -> EtcdServer:
    """An etcd in good health, and empty."""
    if not shared_server.answers():
        shared_server.start()
    shared_server.delete("/services", recursive=True)
    shared_server.delete(ROOT, recursive=True)
    return shared_server


def address(server: EtcdServer) -> Address:
    """Where it serves its clients."""
    host, _, port = server.endpoint.rpartition(":")
    return host, int(port)


class Client:
    """A registry over these endpoints; ``errors`` counts the requests that got no usable answer."""

    def __init__(self, *endpoints: Address) -> None:
        self.errors = 0
        self.registry = Etcd2Registry(Endpoints(endpoints, self._count), "/services", Lifetime())

    def _count(self) -> None:
        self.errors += 1


def soon(seconds: float = 10) -> Deadline:
    """A deadline that is not what the test is about."""
    return Deadline.after(seconds, Clock())


#: Answers of an endpoint that is ill, with a word of what is said about it.
ILL: dict[str, tuple[int, object, str]] = {
    "500": (500, "internal error", "internal error"),
    "503 from a proxy": (503, "<html>Service Unavailable</html>", "Service Unavailable"),
    "no leader": (
        500,
        {"errorCode": 300, "message": "Raft Internal Error", "cause": "etcdserver: no leader"},
        "no leader",
    ),
    "election": (500, {"errorCode": 301, "message": "During Leader Election", "cause": ""}, "Election"),
    "no v2": (404, "404 page not found", "start etcd with --enable-v2"),
    "a page": (200, "<html>Welcome</html>", "does not answer as etcd does"),
    "another document": (200, {"hello": "world"}, "does not answer as etcd does"),
    "a list": (200, [], "does not answer as etcd does"),
    "a redirect": (307, "", "Bad response"),
}


@pytest.mark.parametrize(("status", "body", "said"), ILL.values(), ids=ILL.keys())
def test_an_endpoint_that_is_ill_is_passed_over(good: EtcdServer, status: int, body: object, said: str) -> None:
    """The next one answers, reads and writes alike; the ill one is not asked again while the other is well."""
    with fake(status, body) as ill:
        client = Client(ill.address, address(good))
        assert client.registry.apply(OWNER, create(KEY), soon()).result is Result.APPLIED
        assert client.registry.read(OWNER, soon()).stored[KEY].value == "10.0.0.1:80"
        assert (len(ill.asked), client.errors) == (1, 1)
        with pytest.raises(RegistryUnavailable, match=said) as unavailable:
            Client(ill.address).registry.read(OWNER, soon())
        assert f"127.0.0.1:{ill.server_port}" in str(unavailable.value)


def test_an_endpoint_that_refuses_is_passed_over_at_once(good: EtcdServer) -> None:
    """Nobody listens there."""
    client = Client(("127.0.0.1", free_ports(1)[0]), address(good))
    begun = time.monotonic()
    assert client.registry.read(OWNER, soon()).stored == {}
    assert time.monotonic() - begun < SLACK
    assert client.errors == 1


def test_an_endpoint_that_hangs_costs_one_time_out(good: EtcdServer) -> None:
    """SIGSTOP: it takes the connection, and never answers. The pass goes on with the next, and stays there."""
    frozen = EtcdServer().start()
    try:
        client = Client(address(frozen), address(good))
        client.registry.read(OWNER, soon())
        frozen.freeze()
        begun = time.monotonic()
        assert client.registry.read(OWNER, soon()).stored == {}
        assert READ_TIMEOUT <= time.monotonic() - begun < READ_TIMEOUT + SLACK
        assert client.registry.apply(OWNER, create(KEY), soon()).result is Result.APPLIED
        assert client.errors == 1
    finally:
        frozen.close()


def test_an_endpoint_that_takes_no_connection_costs_one_time_out(good: EtcdServer) -> None:
    """A listener whose queue is full answers as a host does that is switched off: not at all."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        client = Client(full.getsockname(), address(good))
        begun = time.monotonic()
        assert client.registry.read(OWNER, soon()).stored == {}
        assert time.monotonic() - begun < CONNECT_TIMEOUT + READ_TIMEOUT + SLACK
        assert client.errors == 1


def test_time_outs_keep_to_the_deadline(good: EtcdServer) -> None:
    """However many endpoints hang, a pass does not take longer than it may."""
    frozen = EtcdServer().start()
    try:
        frozen.freeze()
        client = Client(*[address(frozen)] * 5)
        begun = time.monotonic()
        with pytest.raises(RegistryUnavailable, match="no answer in time"):
            client.registry.read(OWNER, soon(0.5))
        assert time.monotonic() - begun < 0.5 + SLACK
    finally:
        frozen.close()


def test_without_time_nobody_is_asked(good: EtcdServer) -> None:
    """The deadline has passed."""
    gone = Deadline.after(0, FakeTime().clock)
    with pytest.raises(RegistryUnavailable, match="the pass ran out of time"):
        Client(address(good)).registry.read(OWNER, gone)


def test_when_all_are_ill_each_says_why(good: EtcdServer) -> None:
    """In their order."""
    with fake(500, "one") as one, fake(500, "two") as two:
        with pytest.raises(RegistryUnavailable) as unavailable:
            Client(one.address, two.address).registry.read(OWNER, soon())
        first, second = str(unavailable.value).split("; ")
        assert (first.endswith("one"), second.endswith("two")) == (True, True)


def test_what_etcd_itself_refuses_is_not_tried_elsewhere(good: EtcdServer) -> None:
    """It would be the same at every member."""
    denied = {"errorCode": 110, "message": "The request requires user authentication", "cause": "no", "index": 7}
    with fake(401, denied) as one, fake(401, denied) as two:
        client = Client(one.address, two.address)
        assert client.registry.apply(OWNER, create(KEY), soon()).result is Result.FAILED
        assert (len(one.asked), len(two.asked), client.errors) == (1, 0, 0)


def test_reads_that_decide_deletes_are_quorum_reads() -> None:
    """Keys, record, and other owners' records; the first look of a pass costs no quorum."""
    empty = {"node": {"dir": True}}
    with fake(200, empty, X_Etcd_Index="7", X_Etcd_Cluster_Id="c1") as etcd:
        registry = Client(etcd.address).registry
        registry.read(OWNER, soon())
        assert [urlsplit(each.split()[1]).query for each in etcd.asked] == ["recursive=true"] * 2
        etcd.asked.clear()
        mark = registry.read(OWNER, soon(), consistent=True).mark
        registry.others(OWNER, soon())
        assert {"quorum=true" in each for each in etcd.asked} == {True}
        assert len(etcd.asked) == 3
        assert mark is not None
        assert (mark.cluster, mark.index) == ("c1", 7)


def test_records_are_hidden_from_every_listing(good: EtcdServer) -> None:
    """Consumers and ``etcdctl ls`` never see them; who knows the key can read it."""
    record = Shelf("/services").record(OWNER)
    registry = Client(address(good)).registry
    registry.apply(OWNER, Change(Action.RECORD, record, "mine", None, Reason.CLAIMS), soon())
    assert [key for key in good.keys("/") if "wharfinger" in key] == []
    assert [key for key in good.ls_dirs("/") if "wharfinger" in key] == []
    assert good.get(record) == "mine"


def test_a_prefix_is_one_part_of_the_records_key(good: EtcdServer) -> None:
    """Percent-encoded, and so it comes back: no shelf lies within another one."""
    host, port = address(good)
    for prefix in ("/services", "/services/a", "/servi%2Fces", "/日 本"):
        registry = Etcd2Registry(Endpoints([(host, port)]), prefix, Lifetime())
        change_of = Change(Action.RECORD, Shelf(prefix).record(OWNER), prefix, None, Reason.CLAIMS)
        assert registry.apply(OWNER, change_of, soon()).result is Result.APPLIED
    for prefix in ("/services", "/services/a", "/servi%2Fces", "/日 本"):
        registry = Etcd2Registry(Endpoints([(host, port)]), prefix, Lifetime())
        record = registry.read(OWNER, soon()).record
        assert record is not None
        assert record.value == prefix
        assert registry.others("another", soon()) == (record,)


def test_a_delete_leaves_no_empty_directory_and_no_other_key(good: EtcdServer) -> None:
    """Up to the prefix, which stays."""
    good.put("/services/team/a/core-01:web:80", "x:1")
    good.put("/services/team/core-02:web:80", "x:2")
    registry = Client(address(good)).registry
    before = registry.read(OWNER, soon()).stored["/services/team/a/core-01:web:80"]
    assert registry.apply(OWNER, change(Action.DELETE, before), soon()).result is Result.APPLIED
    assert good.ls_dirs("/services") == ["/services/team"]
    assert good.keys("/services") == {"/services/team/core-02:web:80": "x:2"}


def test_a_store_that_was_wiped_is_another_one() -> None:
    """Its index went back, or it is another cluster: the mark says so."""
    server = EtcdServer().start()
    try:
        server.put(KEY, "x:1")
        before = Client(address(server)).registry.read(OWNER, soon()).mark
        server.lose_data()
        after = Client(address(server)).registry.read(OWNER, soon()).mark
        assert before is not None
        assert after is not None
        assert not after.succeeds(before)
    finally:
        server.close()


def test_a_client_notices_another_cluster_behind_its_endpoint() -> None:
    """The first answer of the other one is no answer; the next read sees it as it is."""
    with fake(200, {"node": {"dir": True}}, X_Etcd_Index="7", X_Etcd_Cluster_Id="c1") as etcd:
        client = Client(etcd.address)
        client.registry.read(OWNER, soon())
        etcd.headers["X-Etcd-Cluster-Id"] = "c2"
        with pytest.raises(RegistryUnavailable, match="another cluster"):
            client.registry.read(OWNER, soon())
        mark = client.registry.read(OWNER, soon()).mark
        assert mark is not None
        assert mark.cluster == "c2"


def test_what_is_left_of_anybodys_lifetime_shows(good: EtcdServer) -> None:
    """Each key has its own here."""
    good.put("/services/db/other:db:5432", "10.0.0.2:5432", ttl=100)
    stored = Client(address(good)).registry.read(OWNER, soon()).stored
    assert stored["/services/db/other:db:5432"].ttl in range(95, 101)
