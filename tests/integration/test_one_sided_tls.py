"""An engine that uses TLS where the agent does not, and the other way round: the error says what to set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent import run_once
from tests.support.engine_proxy import EngineProxy
from tests.support.packages import CLIENT, DAEMON, missing_packages
from tests.support.private_engine import PrivateEngine
from tests.support.processes import Child
from tests.support.secure_etcd import Authority, authority

REGISTRY = "etcd://127.0.0.1:1/services"


class TlsEngine(PrivateEngine):
    """A private engine that also listens at a TCP port, over TLS. Its unix socket has no TLS."""

    def __init__(self, of: Authority) -> None:
        super().__init__()
        self._authority = of

    @property
    def endpoint(self) -> str:
        """The host and port at which the engine listens over TLS."""
        return f"{self.address}:2376"

    def _new_daemon(self) -> Child:
        self._sockets.append(f"tcp://{self.endpoint}")
        daemon, own = super()._new_daemon(), self._authority.issue(self.address)
        files = (f"--tlscacert={self._authority.path}", f"--tlscert={own.cert}", f"--tlskey={own.key}")
        daemon.argv += ["--tlsverify", *files]
        return daemon


@pytest.fixture
def tls_engine(tmp_path: Path) -> Iterator[TlsEngine]:
    """An engine of the test's own."""
    if os.geteuid() != 0 or missing_packages(CLIENT | DAEMON):
        pytest.skip("a private engine needs root and Docker's packages")
    engine = TlsEngine(authority(tmp_path / "pki"))
    try:
        engine.start()
        yield engine
    finally:
        engine.close()


def test_an_engine_and_an_agent_of_which_one_uses_tls_say_what_to_set(tls_engine: TlsEngine) -> None:
    """The pass fails, because the certificates may come later, or the engine may be restarted without TLS."""
    plain = run_once(f"tcp://{tls_engine.endpoint}", "reconcile", REGISTRY)
    assert plain.returncode == 1
    assert "the engine uses TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH" in plain.stderr
    with EngineProxy(tls_engine.socket_url) as without_tls:
        encrypted = run_once(f"https://{without_tls.address}", "reconcile", REGISTRY)
    assert encrypted.returncode == 1
    assert "the engine does not use TLS: give tcp://, and unset DOCKER_TLS_VERIFY and DOCKER_CERT_PATH" in (
        encrypted.stderr
    )
