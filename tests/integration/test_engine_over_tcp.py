"""An engine over TCP: behind a proxy that lets few requests through, and behind TLS whose certificates are renewed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent import run_once
from tests.support.engine_proxy import EngineProxy
from tests.support.host import Host, on_both
from tests.support.processes import REPOSITORY
from tests.support.renewed_files import by_rename, issued
from tests.support.secure_etcd import authority
from tests.support.waiting import wait_until

PAGE = (REPOSITORY / "docs" / "security.md").read_text()

#: Seconds after a change within which etcd must be right, on a busy machine, too.
SOON = 10.0

#: What the proxy lets through, as docs/security.md has it for HAProxy.
ALLOWED = r"(/v[0-9.]+)?/(info|events|containers/json|containers/[a-zA-Z0-9_.-]+/json)"


@pytest.fixture
def proxy(host: Host) -> Iterator[EngineProxy]:
    """Yield a proxy between agents and the host's engine."""
    with EngineProxy(host.engine.socket_url) as proxy:
        yield proxy


def documented_requests() -> list[str]:
    """Return what docs/security.md says that the program asks the engine, as regular expressions of paths."""
    return [re.sub("<[a-z]+>", "[^/]+", path) for path in re.findall(r"^\| `GET (/[^`]+)`", PAGE, re.MULTILINE)]


def test_a_socket_proxy_that_lets_four_kinds_of_request_through_is_enough(host: Host, proxy: EngineProxy) -> None:
    """Entries follow the containers. Keys are deleted at once, for which the engine is asked about their containers.
    The agent asks for nothing that the page does not name."""
    proxy.only = ALLOWED
    host.start("stays", "goes")
    agent = host.agent("--docker-host", proxy.url).wait_ready()
    host.wait_for(host.expected(), SOON)
    host.engine.docker("rm", "--force", "goes")
    host.wait_for(host.expected(), SOON)
    assert agent.passes("engine-error") == 0
    done = run_once("", "reconcile", "--docker-host", proxy.url, "-ip", host.engine.address, host.uri)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"^{ALLOWED}$" in PAGE
    requests = documented_requests()
    assert [path for path in set(proxy.asked) if not any(re.fullmatch(each, path) for each in requests)] == []


@on_both("host")
def test_certificates_are_renewed_under_a_running_agent(host: Host, proxy: EngineProxy, tmp_path: Path) -> None:
    """The environment names a proxy that answers nothing, and the agent does not use it, for the engine or for etcd.
    The agent goes on with the old certificates until all files of the new ones are there."""
    ours, certs = authority(tmp_path / "ours"), tmp_path / "certs"
    certs.mkdir()
    by_rename(certs, issued(ours))
    proxy.use_tls(ours.server_context())
    env = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certs), "REQUESTS_CA_BUNDLE": "/nowhere.pem"}
    env |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:1")
    host.start("before")
    agent = host.agent("--docker-host", proxy.url, env=env).wait_ready()
    host.wait_for(host.expected(), SOON)
    theirs = authority(tmp_path / "theirs")
    new = issued(theirs)
    by_rename(certs, {"cert.pem": new["cert.pem"]})
    wait_until(lambda: "changed files cannot be used" in agent.log(), SOON, "the agent to see the change")
    agent.wait_for_passes(3)
    assert agent.log().count("changed files cannot be used") == 1
    proxy.use_tls(theirs.server_context())
    by_rename(certs, new)
    wait_until(lambda: "changed files were read again" in agent.log(), SOON, "the agent to read the files")
    host.start("after")
    host.wait_for(host.expected(), SOON)
    assert agent.passes("engine-error") == agent.passes("registry-error") == 0
    assert run_once("", "health", env={**env, "WHARFINGER_LISTEN": agent.listen}).stdout == "ok\n"
