"""TLS, through both APIs of etcd. Servers are always verified."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from controller.errors import RegistryUnavailable, Stop
from controller.registry.credentials import Credentials
from model.report import Result
from tests.support.agent import run_once
from tests.support.builders import OWNER, create
from tests.support.etcd_server import EtcdServer
from tests.support.processes import REPOSITORY
from tests.support.secure_etcd import (
    KEY,
    Setting,
    TlsEtcd,
    authority,
    problem,
    soon,
    transports_that_note_contexts,
    works,
)
from tests.support.unprivileged import NOBODY, without_overrides


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """An etcd that asks for client certificates. Its own certificate is valid for 127.0.0.1 alone."""
    ours = authority(tmp_path_factory.mktemp("pki") / "ours")
    client = ours.issue("agent@core-01.example")
    server = TlsEtcd(ours, ours.issue("127.0.0.1")).start()
    yield Setting(server, Credentials(True, ours.path, client.cert, client.key), ours)
    server.close()


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def tls(secured: Setting, request: pytest.FixtureRequest) -> Setting:
    """The same etcd through each API."""
    return evolve(secured, api=request.param)


@pytest.mark.every_etcd
def test_the_right_ca_and_client_certificate_are_accepted(tls: Setting) -> None:
    """Both sides verify each other."""
    assert works(tls.registry(tls.good))


def test_a_server_with_a_certificate_of_another_ca_is_not_trusted(tls: Setting, tmp_path: Path) -> None:
    """The error says that verification failed."""
    theirs = authority(tmp_path / "theirs")
    assert "certificate verify failed" in problem(tls.registry(evolve(tls.good, ca=theirs.path)))


def test_a_server_with_a_certificate_for_another_name_is_not_trusted(tls: Setting) -> None:
    """Its certificate is valid, but not for this name."""
    text = problem(tls.registry(tls.good, host="localhost"))
    assert "certificate verify failed" in text
    assert "localhost" in text


def test_without_a_ca_the_systems_are_trusted(tls: Setting) -> None:
    """They did not sign the server's certificate, so verification fails."""
    assert "certificate verify failed" in problem(tls.registry(evolve(tls.good, ca="")))
    assert "certificate verify failed" in problem(tls.registry(Credentials(tls=True)))


@pytest.mark.every_etcd
def test_a_client_without_a_certificate_is_refused_by_etcd(tls: Setting) -> None:
    """The error names the endpoint and the cause."""
    text = problem(tls.registry(Credentials(True, tls.good.ca)))
    assert tls.server.endpoint in text
    assert "certificate required" in text or "bad certificate" in text


@pytest.mark.every_etcd
def test_a_client_certificate_of_another_ca_is_refused_by_etcd(tls: Setting, tmp_path: Path) -> None:
    """The server verifies the client."""
    stranger = authority(tmp_path / "theirs").issue("agent@core-01.example")
    text = problem(tls.registry(Credentials(True, tls.good.ca, stranger.cert, stranger.key)))
    assert "unknown ca" in text or "bad certificate" in text


@pytest.mark.every_etcd
def test_plain_http_to_a_tls_endpoint_fails(tls: Setting) -> None:
    """The server answers with an error that is not etcd's, or closes the connection before that can be read. The error
    names the schemes that use TLS."""
    registry = tls.registry(Credentials())
    with pytest.raises(RegistryUnavailable, match=rf"http://{tls.server.endpoint}: .*etcds://, etcd3s://"):
        registry.read(OWNER, soon())
    assert registry.apply(OWNER, create(KEY), soon()).result is Result.FAILED


@pytest.mark.every_etcd
def test_tls_to_a_plain_endpoint_fails(shared_server: EtcdServer, tls: Setting) -> None:
    """The program never falls back to a connection without TLS. The error names the schemes that do not use TLS, and
    the flags that turn it on."""
    if not shared_server.answers():
        shared_server.start()
    registry = evolve(tls, server=shared_server).registry(tls.good)
    with pytest.raises(RegistryUnavailable, match=r"https://.*one of etcd://, etcd3://.* without --etcd-ca"):
        registry.read(OWNER, soon())
    assert registry.apply(OWNER, create(KEY), soon()).result is Result.FAILED


@pytest.mark.every_etcd
@pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])
def test_a_server_without_client_certificates_needs_only_its_ca(tmp_path: Path, api: int) -> None:
    """The client shows no certificate of its own."""
    ours = authority(tmp_path / "ours")
    server = TlsEtcd(ours, ours.issue("127.0.0.1"), client_auth=False).start()
    try:
        assert works(Setting(server, Credentials(), ours, api).registry(Credentials(True, ours.path)))
    finally:
        server.close()


@pytest.mark.parametrize("which", ["ca", "cert", "key"])
def test_files_that_are_no_certificates_stop_the_program(tls: Setting, tmp_path: Path, which: str) -> None:
    """The program stops at its start and names the files: trying again would not help."""
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    files = {"ca": tls.good.ca, "cert": tls.good.cert, "key": tls.good.key} | {which: str(rubbish)}
    with pytest.raises(Stop, match=r"rubbish\.pem"):
        tls.registry(Credentials(True, files["ca"], files["cert"], files["key"]))


def test_a_request_adds_no_ca_to_those_that_are_trusted(tls: Setting) -> None:
    """The client libraries have CA bundles of their own, and may add them to a context."""
    transports, contexts = transports_that_note_contexts()
    assert works(tls.registry(tls.good, transports=transports))
    (context,) = contexts
    assert context is not None
    assert len(context.get_ca_certs()) == 1


#: The command that needs no engine, and its end.
DEREGISTER = ("deregister", "--hostname", "core-09", "--missing-ok", "--force", "--yes")


@pytest.mark.parametrize("name", ["ca", "cert", "key", "password-file"])
def test_one_file_that_only_another_user_may_read_is_one_error(tmp_path: Path, name: str) -> None:
    """The error names the flag, the file, the user and the cure. There is no second error about a file that is missing,
    although the program goes on without this one until it has found all errors."""
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    os.chown(secret, NOBODY, NOBODY)
    password = tmp_path / "password"
    password.write_text("passw0rd\n")
    ours = authority(tmp_path / "ours")
    client = ours.issue("agent@core-01.example")
    given = {"ca": ours.path, "cert": client.cert, "key": client.key, "user": "agent", "password-file": password}
    flags = [f"--etcd-{flag}={value}" for flag, value in (given | {name: secret}).items()]
    done = run_once("", *DEREGISTER, *flags, "etcds://127.0.0.1:1/services", through=without_overrides)
    assert done.returncode == 1
    advice, problem = done.stderr.splitlines()
    assert problem.startswith(f"wharfinger: --etcd-{name} {str(secret)!r}: it cannot be read by user 'root' (uid 0): ")
    assert "LoadCredential=" in problem
    assert advice == "Try 'wharfinger deregister --help'."


def test_the_service_reads_what_systemd_hands_to_it(tls: Setting, tmp_path: Path) -> None:
    """systemd copies the files of LoadCredential= into a folder of the service's user, and sets the variables in the
    unit to the paths of the copies. With them, the program connects, though it may not read the files themselves."""
    given = {"etcd-ca.pem": tls.good.ca, "etcd-cert.pem": tls.good.cert, "etcd-key.pem": tls.good.key}
    drop_in = (REPOSITORY / "manifests/systemd/credentials.conf").read_text()
    loaded = dict(re.findall(r"^LoadCredential=(.+):/etc/wharfinger/(.+)$", drop_in, re.MULTILINE))
    assert loaded.keys() == given.keys()
    for copy, source in loaded.items():
        shutil.copy(given[source], tmp_path / copy)
        (tmp_path / copy).chmod(0o400)
    variables = dict(re.findall(r"^Environment=(.+)=%d/(.+)$", drop_in, re.MULTILINE))
    environment = {variable: str(tmp_path / copy) for variable, copy in variables.items()}
    uri = f"etcd{tls.api if tls.api == 3 else ''}s://{tls.server.endpoint}/services"
    done = run_once("", *DEREGISTER, uri, env=environment, through=without_overrides)
    assert done.returncode == 0
    assert done.stderr.startswith("wharfinger: nobody has the name 'core-09'")
