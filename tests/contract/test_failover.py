"""Failover among several endpoints of which some are ill, through both APIs of etcd."""

from __future__ import annotations

import socket
import time

import pytest

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.failover import CONNECT_TIMEOUT, READ_TIMEOUT
from model.report import Result
from tests.contract.clients import Client, address, soon
from tests.support.answering import fake
from tests.support.builders import OWNER, create
from tests.support.etcd_server import EtcdServer
from tests.support.fakes import FakeTime
from tests.support.processes import free_ports
from tests.support.trickling import Pace, Trickler

KEY = "/services/nginx/core-01:web:80"

#: Seconds that a busy machine may take in addition.
SLACK = 1.5

pytestmark = pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])


#: Answers of an endpoint that is ill: status, body, and for each API a part of the error message.
ILL: dict[str, tuple[int, object, dict[int, str]]] = {
    "500": (500, "internal error", {2: "internal error", 3: "internal error"}),
    "503 from a proxy": (503, "<html>Service Unavailable</html>", {2: "Service Unavailable", 3: "Service Unavailable"}),
    "no leader": (
        503,
        {"errorCode": 300, "message": "Raft Internal Error", "cause": "etcdserver: no leader", "code": 14},
        {2: "no leader", 3: "Raft Internal Error"},
    ),
    "election": (
        500,
        {"errorCode": 301, "message": "During Leader Election", "cause": "", "code": 13},
        {2: "Election", 3: "Election"},
    ),
    "not spoken": (404, "404 page not found", {2: "start etcd with --enable-v2", 3: "it does not serve the v3 API"}),
    "a page": (200, "<html>Welcome</html>", {2: "does not answer as etcd does", 3: "does not answer as etcd does"}),
    "another document": (
        200,
        {"hello": "world"},
        {2: "does not answer as etcd does", 3: "does not answer as etcd does"},
    ),
    "a list": (200, [], {2: "does not answer as etcd does", 3: "does not answer as etcd does"}),
    "an infinite number": (
        200,
        '{"header": {"cluster_id": "1", "revision": 1e999}, "code": 1e999}',
        {2: "does not answer as etcd does", 3: "does not answer as etcd does"},
    ),
    "a redirect": (307, "", {2: "307 Temporary Redirect", 3: "307 Temporary Redirect"}),
    "nothing": (500, "", {2: "500 Internal Server Error", 3: "500 Internal Server Error"}),
}


@pytest.mark.parametrize("ill", ILL)
def test_another_endpoint_answers_for_one_that_is_ill(good: EtcdServer, api: int, ill: str) -> None:
    """This holds for reads and writes. The ill one is not asked again while the other is well."""
    status, body, said = ILL[ill]
    with fake(status, body) as ill_one:
        client = Client(api, ill_one.address, address(good))
        assert client.registry.apply(OWNER, create(KEY), soon()).result is Result.APPLIED
        asked = len(ill_one.asked)
        assert client.registry.read(OWNER, soon()).stored[KEY].value == "10.0.0.1:80"
        assert (len(ill_one.asked), client.errors) == (asked, 1)
        with pytest.raises(RegistryUnavailable, match=said[api]) as unavailable:
            Client(api, ill_one.address).registry.read(OWNER, soon())
        assert f"127.0.0.1:{ill_one.server_port}" in str(unavailable.value)


def test_an_endpoint_that_refuses_connections_costs_no_time(good: EtcdServer, api: int) -> None:
    """The next endpoint is asked at once."""
    client = Client(api, ("127.0.0.1", free_ports(1)[0]), address(good))
    begun = time.monotonic()
    assert client.registry.read(OWNER, soon()).stored == {}
    assert time.monotonic() - begun < SLACK
    assert client.errors == 1


def test_an_endpoint_that_hangs_costs_one_timeout(good: EtcdServer, api: int) -> None:
    """The endpoint accepts connections and falls silent. Only the first request waits for it: from then on, the next
    endpoint is asked first."""
    with Trickler(address(good), pace=Pace(seconds=60.0)) as silent:
        silent.trickling = False
        client = Client(api, silent.address, address(good))
        client.registry.read(OWNER, soon())
        silent.trickling = True
        begun = time.monotonic()
        assert client.registry.read(OWNER, soon()).stored == {}
        assert READ_TIMEOUT <= time.monotonic() - begun < READ_TIMEOUT + SLACK
        assert client.registry.apply(OWNER, create(KEY), soon()).result is Result.APPLIED
        assert client.errors == 1


def test_an_endpoint_that_accepts_no_connection_costs_one_timeout(good: EtcdServer, api: int) -> None:
    """A listener whose queue is full does not answer at all, like a host that is switched off."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        client = Client(api, full.getsockname(), address(good))
        begun = time.monotonic()
        assert client.registry.read(OWNER, soon()).stored == {}
        assert time.monotonic() - begun < CONNECT_TIMEOUT + READ_TIMEOUT + SLACK
        assert client.errors == 1


def test_timeouts_keep_to_the_deadline(good: EtcdServer, api: int) -> None:
    """However many endpoints hang, a read ends by its deadline."""
    frozen = EtcdServer().start()
    try:
        frozen.freeze()
        client = Client(api, *[address(frozen)] * 5)
        begun = time.monotonic()
        with pytest.raises(RegistryUnavailable, match="no answer in time"):
            client.registry.read(OWNER, soon(0.5))
        assert time.monotonic() - begun < 0.5 + SLACK
    finally:
        frozen.close()


def test_no_endpoint_is_asked_after_the_deadline(good: EtcdServer, api: int) -> None:
    """The error says so."""
    gone = Deadline.after(0, FakeTime().clock)
    with pytest.raises(RegistryUnavailable, match="the pass ran out of time"):
        Client(api, address(good)).registry.read(OWNER, gone)


def test_when_all_endpoints_are_ill_the_error_says_why_each_is(good: EtcdServer, api: int) -> None:
    """They are in the order in which they were asked."""
    with fake(500, "one") as one, fake(500, "two") as two:
        with pytest.raises(RegistryUnavailable) as unavailable:
            Client(api, one.address, two.address).registry.read(OWNER, soon())
        text = str(unavailable.value)
        assert text.index(f"{one.server_port}: it does not answer") < text.index('saying "one"')
        assert (
            text.index('saying "one"')
            < text.index(f"{two.server_port}: it does not answer")
            < text.index('saying "two"')
        )


def test_a_request_that_etcd_refuses_is_not_sent_to_another_endpoint(good: EtcdServer, api: int) -> None:
    """Every member would refuse it."""
    denied = {"errorCode": 110, "message": "The request requires user authentication", "cause": "no", "index": 7}
    denied["code"] = 7
    with fake(401, denied) as one, fake(401, denied) as two:
        client = Client(api, one.address, two.address)
        assert client.registry.apply(OWNER, create(KEY), soon()).result is Result.REJECTED
        assert (bool(one.asked), len(two.asked), client.errors) == (True, 0, 0)
