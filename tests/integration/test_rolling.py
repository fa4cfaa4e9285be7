"""A container is replaced behind a real nginx, which tries no second server, and no request is lost.

benchmarks/rolling.py does the same for longer, and shows what is lost otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from benchmarks.backends import CLOSING, HEALTHCHECK, IMAGE, LINGERING, SERVICE, Backends, build_backend
from benchmarks.load import Load, lost_kinds
from benchmarks.proxy import Proxy, ServiceKeys
from benchmarks.rolling import End, replace
from tests.support.agent import run_once
from tests.support.host import Host
from tests.support.tools import need_tool

#: The most requests that are sent, and how many are sent after the old container has ended.
MOST, AFTER = 1500, 50


@pytest.fixture
def served(host: Host) -> Iterator[Host]:
    """A host with the image of the service behind nginx. Skips the test if nginx is not installed."""
    need_tool("nginx", "nginx")
    build_backend(host.engine)
    yield host
    host.engine.remove_all()
    host.engine.docker("rmi", "--force", IMAGE)


def lost(host: Host, command: Sequence[str], flags: Sequence[str], end: End) -> str:
    """Replace one of two containers under load, and return what became of the requests that were lost."""
    backends = Backends(host.engine, command, flags)
    old, other = backends.start(), backends.start()
    with closing(Proxy(ServiceKeys(host.etcd.endpoint, f"{host.prefix}/{SERVICE}", host.api))) as proxy:
        proxy.start().wait_for_servers([old, other])
        load = Load(proxy.port, MOST).start()
        replace(old, backends, load, end)
        assert load.running
        load.cut(AFTER)
        answers = load.wait()
    assert {old, other} < {each.text for each in answers}
    return lost_kinds(answers)


@pytest.mark.parametrize("host", [3], ids=["v3"], indirect=True)
def test_a_server_that_goes_on_after_its_signal_is_stopped_without_loss(served: Host) -> None:
    """Its entry goes as soon as the engine sends the signal, and it answers until nginx has turned to the others."""
    served.agent("--health", "healthy").wait_ready()
    assert lost(served, LINGERING, HEALTHCHECK, lambda name: served.engine.docker("stop", name)) == ""


@pytest.mark.parametrize("host", [2], ids=["v2"], indirect=True)
def test_a_server_that_closes_at_its_signal_is_stopped_without_loss_after_a_drain(served: Host) -> None:
    """``wharfinger drain --wait`` returns when nginx has had the time to turn to the others."""
    agent = served.agent().wait_ready()

    def end(name: str) -> None:
        environment = {"WHARFINGER_LISTEN": agent.listen}
        done = run_once(served.engine.socket_url, "drain", name, "--wait", "3s", env=environment)
        assert done.returncode == 0, done.stderr
        served.engine.docker("stop", name)

    assert lost(served, CLOSING, (), end) == ""
