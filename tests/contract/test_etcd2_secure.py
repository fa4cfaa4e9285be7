"""etcd as it is run in production: TLS, users and passwords. Verification is never off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve, frozen
from structlog.testing import capture_logs

from controller.clock import Clock, Deadline
from controller.credentials import Credentials
from controller.errors import RegistryUnavailable, Stop
from controller.etcd2 import Endpoints, Etcd2Registry
from model.report import Result
from model.stored import Lifetime
from tests.support.builders import OWNER, create
from tests.support.etcd_server import EtcdServer
from tests.support.secure_etcd import Authority, TlsEtcd, WithoutV2, add_user, authority

KEY = "/services/nginx/core-01:web:80"
PASSWORD = "correct horse: battery/staple?ü€日"


@frozen
class Setting:
    """A server, and the credentials that it accepts."""

    server: EtcdServer
    good: Credentials
    ours: Authority

    def registry(self, credentials: Credentials, host: str = "") -> Etcd2Registry:
        """The registry with these credentials, under another name of the server's where one is given."""
        address, _, port = self.server.endpoint.rpartition(":")
        return Etcd2Registry(
            Endpoints([(host or address, int(port))], credentials=credentials), "/services", Lifetime()
        )


def soon() -> Deadline:
    """A deadline that is not what the test is about."""
    return Deadline.after(10, Clock())


def problem(registry: Etcd2Registry) -> str:
    """What a read fails with; a write fails alike."""
    with pytest.raises(RegistryUnavailable) as unavailable:
        registry.read(OWNER, soon())
    outcome = registry.apply(OWNER, create(KEY), soon())
    assert outcome.result is Result.FAILED
    assert str(unavailable.value).endswith(outcome.detail)
    return str(unavailable.value)


def works(registry: Etcd2Registry) -> bool:
    """Whether what is written can be read."""
    registry.apply(OWNER, create(KEY), soon())
    return KEY in registry.read(OWNER, soon(), consistent=True).stored


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """An etcd for 127.0.0.1, and for nothing else, that wants client certificates."""
    ours = authority(tmp_path_factory.mktemp("pki") / "ours")
    client = ours.issue("agent@core-01.example")
    server = TlsEtcd(ours, ours.issue("127.0.0.1")).start()
    yield Setting(server, Credentials(True, ours.path, client.cert, client.key), ours)
    server.close()


def test_ca_and_client_certificate_are_what_it_takes(tls: Setting) -> None:
    """Both sides know who the other one is."""
    assert works(tls.registry(tls.good))


def test_a_server_of_another_ca_is_refused(tls: Setting, tmp_path: Path) -> None:
    """Whatever it answers would be believed."""
    theirs = authority(tmp_path / "theirs")
    assert "certificate verify failed" in problem(tls.registry(evolve(tls.good, ca=theirs.path)))


def test_a_server_of_another_name_is_refused(tls: Setting) -> None:
    """Its certificate is good, and somebody else's."""
    text = problem(tls.registry(tls.good, host="localhost"))
    assert "certificate verify failed" in text
    assert "localhost" in text


def test_without_a_ca_the_systems_are_asked(tls: Setting) -> None:
    """They do not know ours; verification is not off."""
    assert "certificate verify failed" in problem(tls.registry(evolve(tls.good, ca="")))
    assert "certificate verify failed" in problem(tls.registry(Credentials(tls=True)))


def test_a_client_without_a_certificate_is_refused_by_etcd(tls: Setting) -> None:
    """And so is one whose certificate another CA has signed: the message names the endpoint and the cause."""
    text = problem(tls.registry(Credentials(True, tls.good.ca)))
    assert tls.server.endpoint in text
    assert "certificate required" in text or "bad certificate" in text


def test_a_client_certificate_of_another_ca_is_refused_by_etcd(tls: Setting, tmp_path: Path) -> None:
    """The server verifies, too."""
    stranger = authority(tmp_path / "theirs").issue("agent@core-01.example")
    text = problem(tls.registry(Credentials(True, tls.good.ca, stranger.cert, stranger.key)))
    assert "unknown ca" in text or "bad certificate" in text


def test_plain_http_to_a_tls_endpoint_fails(tls: Setting) -> None:
    """It is no etcd to us."""
    assert tls.server.endpoint in problem(tls.registry(Credentials()))


def test_tls_to_a_plain_endpoint_fails(shared_server: EtcdServer, tls: Setting) -> None:
    """Nothing falls back to talking in the clear."""
    if not shared_server.answers():
        shared_server.start()
    registry = evolve(tls, server=shared_server).registry(tls.good)
    with pytest.raises(RegistryUnavailable, match="https://"):
        registry.read(OWNER, soon())
    assert registry.apply(OWNER, create(KEY), soon()).result is Result.FAILED


def test_a_server_without_client_certificates_needs_only_its_ca(tmp_path: Path) -> None:
    """The client shows nothing."""
    ours = authority(tmp_path / "ours")
    server = TlsEtcd(ours, ours.issue("127.0.0.1"), client_auth=False).start()
    try:
        assert works(Setting(server, Credentials(), ours).registry(Credentials(True, ours.path)))
    finally:
        server.close()


@pytest.mark.parametrize("which", ["ca", "cert", "key"])
def test_files_that_are_no_certificates_stop_the_program(tls: Setting, tmp_path: Path, which: str) -> None:
    """At its start, with the files' names: waiting would not mend it."""
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    files = {"ca": tls.good.ca, "cert": tls.good.cert, "key": tls.good.key} | {which: str(rubbish)}
    with pytest.raises(Stop, match=r"rubbish\.pem"):
        tls.registry(Credentials(True, files["ca"], files["cert"], files["key"]))


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """An etcd that wants a user name and a password."""
    server = EtcdServer().start()
    add_user(server, "agent", PASSWORD)
    ours = authority(tmp_path_factory.mktemp("pki") / "ours")
    yield Setting(server, Credentials(user="agent", password=PASSWORD), ours)
    server.close()


def test_user_and_password_are_what_it_takes(users: Setting) -> None:
    """Whatever characters the password has."""
    assert works(users.registry(users.good))


@pytest.mark.parametrize(
    "credentials",
    [Credentials(), Credentials(user="agent", password="wr0ng"), Credentials(user="nobody", password=PASSWORD)],
    ids=["none", "wrong password", "unknown user"],
)
def test_others_are_refused_with_a_clear_error(users: Setting, credentials: Credentials) -> None:
    """Which says what is missing, and no password."""
    text = problem(users.registry(credentials))
    assert "requires user authentication" in text
    assert [word for word in ("wr0ng", PASSWORD) if word in text] == []


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_the_password_is_never_told(users: Setting, right: bool, caplog: pytest.LogCaptureFixture) -> None:
    """In no log line of ours or the libraries', at any level, and in no representation."""
    caplog.set_level(0)
    secret = PASSWORD if right else "wr0ng"
    credentials = evolve(users.good, password=secret)
    with capture_logs() as lines:
        registry = users.registry(credentials)
        outcome = registry.apply(OWNER, create("/services/x/core-01:web:80"), soon())
    told = [repr(credentials), str(credentials), repr(outcome), repr(lines), caplog.text]
    assert [each for each in told if secret in each] == []


def test_an_etcd_without_the_v2_api_says_so(tmp_path: Path) -> None:
    """And what to do: it is how etcd comes since 3.4."""
    server = WithoutV2().start()
    try:
        text = problem(Setting(server, Credentials(), authority(tmp_path / "ours")).registry(Credentials()))
        assert text.endswith("it does not serve the v2 API; start etcd with --enable-v2")
    finally:
        server.close()
