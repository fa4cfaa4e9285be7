"""An engine at a TCP port with TLS, as ``dockerd --tlsverify`` serves it: which certificates let an agent in. Where one
of both ends does not use TLS, the error says what to set."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.agent import run_once
from tests.support.engine_proxy import EngineProxy
from tests.support.etcd_server import EtcdServer
from tests.support.packages import CLIENT, DAEMON, missing_packages
from tests.support.private_engine import PrivateEngine
from tests.support.processes import Child, clean_environment
from tests.support.renewed_files import Contents, in_place, issued
from tests.support.secure_etcd import Authority, authority
from tests.support.trickling import Trickler

REGISTRY = "etcd://127.0.0.1:1/services"

#: Makes a pass that changes nothing.
DRY_RUN = ("reconcile", "--dry-run", "-ip=10.0.0.1")


class TlsEngine(PrivateEngine):
    """A private engine that also listens at a TCP port, over TLS. Its unix socket has no TLS."""

    def __init__(self, of: Authority) -> None:
        super().__init__()
        self.authority = of

    @property
    def endpoint(self) -> str:
        """The host and port at which the engine listens over TLS."""
        return f"{self.address}:2376"

    def _new_daemon(self) -> Child:
        self._sockets.append(f"tcp://{self.endpoint}")
        daemon, own = super()._new_daemon(), self.authority.issue(self.address)
        files = (f"--tlscacert={self.authority.path}", f"--tlscert={own.cert}", f"--tlskey={own.key}")
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


@pytest.fixture
def etcd() -> Iterator[EtcdServer]:
    """An empty etcd."""
    server = EtcdServer().start()
    yield server
    server.close()


def test_an_engine_with_tls_is_read_with_the_right_certificates_alone(
    tls_engine: TlsEngine, etcd: EtcdServer, tmp_path: Path
) -> None:
    """Each end verifies the other one: CA, dates and host name. A context that the docker command has made leads to the
    same as Docker's variables, which do not count under a context."""
    ours, theirs = tls_engine.authority, authority(tmp_path / "theirs")
    good, foreign = issued(ours), issued(theirs)
    uri, url = f"etcd3://{etcd.endpoint}/services", f"tcp://{tls_engine.endpoint}"
    with Trickler((tls_engine.address, 2376)) as elsewhere:
        elsewhere.trickling = False
        other_name = f"tcp://127.0.0.1:{elsewhere.address[1]}"
        cases: list[tuple[str, str, Contents, str]] = [
            ("good", url, good, "in sync"),
            ("other-ca", url, {**good, "ca.pem": foreign["ca.pem"]}, "certificate verify failed"),
            ("stranger", url, {**foreign, "ca.pem": good["ca.pem"]}, "alert unknown ca|alert bad certificate"),
            ("expired", url, {**good, **_expired(ours)}, "alert bad certificate|alert certificate expired"),
            ("other-name", other_name, good, "IP address mismatch"),
        ]
        for name, host, files, expected in cases:
            variables = _context(tmp_path / name, host, files)
            done = run_once("", *DRY_RUN, uri, env={**variables, "DOCKER_CERT_PATH": "/nowhere"})
            assert re.search(expected, f"{done.stdout}{done.stderr}"), (name, done)
            assert done.returncode == (name != "good")
    variables = {"DOCKER_CERT_PATH": str(tmp_path / "good"), "DOCKER_TLS_VERIFY": "1"}
    assert "in sync" in run_once(url, *DRY_RUN, uri, env=variables).stdout


def _context(folder: Path, url: str, files: Contents) -> dict[str, str]:
    """Make a context for the engine at a URL by the docker command, with these files for TLS, which are put into the
    folder. Return the variables that name the context."""
    folder.mkdir()
    in_place(folder, files)
    variables = {"DOCKER_CONFIG": str(folder / "config")}
    paths = ",".join(f"{kind}={folder}/{kind}.pem" for kind in ("ca", "cert", "key"))
    argv = ["docker", "context", "create", "prod", "--docker", f"host={url},{paths}"]
    subprocess.run(argv, env=clean_environment(**variables), check=True, capture_output=True, timeout=30)
    return {**variables, "DOCKER_CONTEXT": "prod"}


def _expired(of: Authority) -> Contents:
    """Return the certificate of a client that was valid until yesterday, and its key."""
    issued = of.ca.issue_cert("agent.example", not_after=datetime.now(UTC) - timedelta(days=1))
    return {"cert.pem": issued.cert_chain_pems[0].bytes(), "key.pem": issued.private_key_pem.bytes()}
