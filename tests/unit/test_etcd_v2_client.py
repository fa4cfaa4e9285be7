"""The errors of etcd's v2 API. What the client does with a real etcd: contract/test_etcd_v2 and test_failover."""

from __future__ import annotations

import pytest

from controller.effects.clock import Clock, Deadline
from controller.errors import RegistryUnavailable
from controller.registry.etcd_v2.client import NOT_SERVED, EtcdV2Client, EtcdV2Error, EtcdV2ErrorCode
from model.host_port import HostPort
from model.stored import StorePosition
from tests.simulation.messages import Request, Response
from tests.simulation.transports import SimulatedPool, Timeouts


def test_the_message_of_an_error_is_what_etcd_said() -> None:
    """It goes into an outcome's detail, where a tuple of all fields would help nobody."""
    error = EtcdV2Error(EtcdV2ErrorCode.KEY_EXISTS, "Key already exists: /a (etcd error 105)", StorePosition("c1", 7))
    assert str(error) == "Key already exists: /a (etcd error 105)"


def said_by(version: object) -> str:
    """Return what is said of an etcd without the v2 API that gives its version so."""

    def deliver(endpoint: HostPort, request: Request, timeouts: Timeouts) -> Response:
        if request.path == "/version":
            return Response.of_json(version)
        return Response(404, b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})

    client = EtcdV2Client([("a", 1)], transport=lambda context: SimulatedPool(deliver))
    with pytest.raises(RegistryUnavailable) as unavailable:
        client.request("GET", "/services", {}, Deadline.after(10, Clock()))
    return str(unavailable.value)


@pytest.mark.parametrize("version", ["3.6.0", "3.6.0-alpha.0", "3.10.1", "4.0.0"])
def test_an_etcd_that_has_no_v2_api_is_told_by_its_version(version: str) -> None:
    """No flag of etcd helps there."""
    said = said_by({"etcdserver": version, "etcdcluster": "3.6.0"})
    assert f"it is {version}, and etcd has no v2 API since 3.6; use etcd3://" in said
    assert "--enable-v2" not in said


@pytest.mark.parametrize("version", ["3.4.0", "3.5.30", "3.5.0+git", "2.3.8"])
def test_an_etcd_whose_v2_api_is_off_is_told_by_its_version(version: str) -> None:
    """A flag of etcd turns it on."""
    said = said_by({"etcdserver": version})
    assert f"it is etcd {version}, and its v2 API is off; start it with --enable-v2, or use etcd3://" in said


@pytest.mark.parametrize(
    "version", [None, [], {}, {"etcdserver": 7}, {"etcdserver": "3"}, {"etcdserver": "3.6.\n<b>"}], ids=repr
)
def test_of_what_tells_no_version_all_is_said_that_may_help(version: object) -> None:
    """It may be etcd's grpc-proxy, or no etcd at all."""
    assert NOT_SERVED in said_by(version)
