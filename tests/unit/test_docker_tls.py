"""An engine over TCP: TLS files that are renewed, and what the environment must not do to its connections."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller import logs
from controller.effects.background import Threads
from controller.effects.clock import Clock, Deadline
from controller.errors import EngineUnavailable
from controller.source.docker import Asking, Engine
from controller.source.engine_connection import EngineSettings, connect
from tests.support.captured_logs import capture_logs
from tests.support.engine_proxy import EngineProxy
from tests.support.fakes import FakeDocker, inspected
from tests.support.recorded_engine import RecordedEngine, serving
from tests.support.renewed_files import WAYS, Way, by_rename, in_place, issued
from tests.support.secure_etcd import Authority, authority

#: Returns the engine at a URL, with these environment variables.
EngineAt = Callable[..., Engine]


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    """Return the socket of an engine that runs one container."""
    document = inspected("web")
    state = RecordedEngine([FakeDocker(document).containers(all=True)[0]], {"web": document}, name="core-07")
    with serving(state, tmp_path / "engine.sock") as path:
        yield path


@pytest.fixture
def proxy(socket: Path) -> Iterator[EngineProxy]:
    """Yield what makes the engine reachable over TCP, without TLS yet."""
    with EngineProxy(f"unix://{socket}") as proxy:
        yield proxy


@pytest.fixture
def engine_at() -> Iterator[EngineAt]:
    """Return what opens an engine. The engine is closed after the test."""
    opened: list[Engine] = []

    def open_at(url: str, **environment: str) -> Engine:
        settings = EngineSettings(url, environment, report_renewal=logs.report_renewal)
        asking = Asking(Threads(), Clock(), patience=5)
        opened.append(Engine(lambda: connect(settings), asking, stopped_too=False, where=lambda: settings.url))
        return opened[-1]

    yield open_at
    for each in opened:
        each.close()


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    """Return the folder for DOCKER_CERT_PATH. It is empty."""
    folder = tmp_path / "certs"
    folder.mkdir()
    return folder


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    """Return an authority."""
    return authority(tmp_path / "ours")


def names(engine: Engine) -> list[str]:
    """Return the names of the containers that the engine runs."""
    return [each.name for each in engine.read(Deadline.after(10, Clock())).containers]


@pytest.fixture
def secure(proxy: EngineProxy, certs: Path, engine_at: EngineAt) -> EngineAt:
    """Return what opens the engine behind the proxy, over TLS."""
    return lambda verify="1": engine_at(proxy.url, DOCKER_CERT_PATH=str(certs), DOCKER_TLS_VERIFY=verify)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_renewed_files_are_used_without_a_restart(
    proxy: EngineProxy, certs: Path, secure: EngineAt, ours: Authority, tmp_path: Path, way: Way
) -> None:
    """CA, certificate and key are all new. The connections under the old files are not used on."""
    proxy.use_tls(ours.server_context())
    way(certs, issued(ours))
    engine = secure()
    assert names(engine) == names(engine) == ["web"]
    before = proxy.connections
    assert (names(engine), proxy.connections) == (["web"], before)
    theirs = authority(tmp_path / "theirs")
    proxy.use_tls(theirs.server_context())
    way(certs, issued(theirs))
    assert names(engine) == ["web"]
    assert proxy.connections == before + 1


def test_files_in_the_midst_of_a_renewal_change_nothing(
    proxy: EngineProxy, certs: Path, secure: EngineAt, ours: Authority
) -> None:
    """A certificate with the key of another one, and a key that is missing, leave the earlier files in use, for new
    connections, too. One line of the log says so."""
    proxy.use_tls(ours.server_context())
    in_place(certs, issued(ours))
    engine = secure()
    assert names(engine) == ["web"]
    after = issued(ours)
    with capture_logs() as lines:
        by_rename(certs, {"cert.pem": after["cert.pem"]})
        engine.close()
        assert names(engine) == ["web"]
        (certs / "key.pem").unlink()
        engine.close()
        assert names(engine) == ["web"]
    assert [line["event"] for line in lines] == ["changed files cannot be used, their earlier content stays in use"]


def test_files_that_are_missing_at_the_start_are_used_when_they_come(
    proxy: EngineProxy, certs: Path, secure: EngineAt, ours: Authority
) -> None:
    """Until then, the error names them."""
    proxy.use_tls(ours.server_context())
    engine = secure()
    with pytest.raises(EngineUnavailable, match=r"the TLS files cannot be used .*ca\.pem.*cert\.pem.*key\.pem"):
        names(engine)
    in_place(certs, issued(ours))
    assert names(engine) == ["web"]


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_the_engine_is_verified_if_the_environment_says_so(
    proxy: EngineProxy, certs: Path, secure: EngineAt, ours: Authority, tmp_path: Path
) -> None:
    """DOCKER_TLS_VERIFY decides, as for the docker command."""
    proxy.use_tls(ours.server_context())
    in_place(certs, {**issued(ours), "ca.pem": Path(authority(tmp_path / "theirs").path).read_bytes()})
    with pytest.raises(EngineUnavailable, match="certificate verify failed"):
        names(secure())
    assert names(secure(verify="")) == ["web"]


def test_a_certificate_for_another_name_is_not_trusted(
    proxy: EngineProxy, certs: Path, secure: EngineAt, ours: Authority
) -> None:
    """The certificate is of the right authority."""
    proxy.use_tls(ours.server_context("192.0.2.1"))
    in_place(certs, issued(ours))
    with pytest.raises(EngineUnavailable, match="certificate verify failed"):
        names(secure())


#: What an environment or a home folder may have that leads requests elsewhere.
ELSEWHERE = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.fixture
def trap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[EngineProxy]:
    """Make the environment name a proxy, a bundle of CAs that does not exist, and passwords. Yield the proxy."""
    with EngineProxy("unix:///nowhere") as proxy:
        for name in ELSEWHERE:
            monkeypatch.setenv(name, f"http://{proxy.address}")
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.setenv(name, str(tmp_path / "nowhere.pem"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login agent password secret\n")
        (tmp_path / ".docker").mkdir()
        config = f'{{"proxies": {{"default": {{"httpProxy": "http://{proxy.address}"}}}}, "credsStore": "nowhere"}}'
        (tmp_path / ".docker" / "config.json").write_text(config)
        (tmp_path / ".netrc").chmod(0o600)
        monkeypatch.setenv("HOME", str(tmp_path))
        yield proxy


def test_the_environment_leads_no_request_elsewhere(trap: EngineProxy, proxy: EngineProxy, engine_at: EngineAt) -> None:
    """Neither a proxy nor a password is taken from the environment, from the first request on."""
    engine = engine_at(proxy.url)
    assert (names(engine), engine.identity().name) == (["web"], "core-07")
    assert trap.connections == 0
    assert not [headers for headers in proxy.headers if "Authorization" in headers]


def test_the_environment_leads_no_request_over_tls_elsewhere(
    trap: EngineProxy, proxy: EngineProxy, certs: Path, secure: EngineAt, ours: Authority
) -> None:
    """Neither a proxy nor CAs are taken from the environment."""
    proxy.use_tls(ours.server_context())
    in_place(certs, issued(ours))
    assert names(secure()) == ["web"]
    assert trap.connections == 0


def test_the_environment_leads_no_request_to_a_socket_elsewhere(
    trap: EngineProxy, engine_at: EngineAt, socket: Path
) -> None:
    """ALL_PROXY counts for every kind of URL."""
    assert names(engine_at(f"unix://{socket}")) == ["web"]
    assert trap.connections == 0


@pytest.mark.parametrize(
    "config",
    [
        '{"auths": {"registry.example": {"auth": "%%%"}}}',
        '{"auths": {"registry.example": "agent"}}',
        '{"proxies": null}',
        '{"HttpHeaders": {"X-Secret": "secret"}}',
        '{"HttpHeaders": {"X-Secret": 1}}',
        "[]",
        "rubbish",
    ],
)
@pytest.mark.parametrize("variable", ["HOME", "DOCKER_CONFIG"])
def test_nothing_in_dockers_own_configuration_counts(
    proxy: EngineProxy, engine_at: EngineAt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, variable: str
) -> None:
    """It is for the docker command. The agent reads the engine whatever is in it, and sends none of its headers."""
    folder = tmp_path / (".docker" if variable == "HOME" else "")
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(config)
    monkeypatch.setenv(variable, str(tmp_path))
    assert names(engine_at(proxy.url)) == ["web"]
    assert not [headers for headers in proxy.headers if "X-Secret" in headers]


def test_without_tls_files_an_https_url_is_verified_by_the_systems_authorities(
    proxy: EngineProxy, engine_at: EngineAt, ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE says which these are, as for all programs that use OpenSSL."""
    context = ours.server_context()
    context.verify_mode = ssl.CERT_NONE
    proxy.use_tls(context)
    url = proxy.url.replace("tcp:", "https:")
    with pytest.raises(EngineUnavailable, match="certificate verify failed"):
        names(engine_at(url))
    monkeypatch.setitem(os.environ, "SSL_CERT_FILE", ours.path)
    assert names(engine_at(url)) == ["web"]


LIST_AND_INSPECT = r"/containers/(\w+/)?json"

#: What a socket proxy lets through.
ALLOWED = {
    "any version": rf"(/v1\.\d+)?(/info|{LIST_AND_INSPECT})",
    "with a version alone": rf"/v1\.\d+(/info|{LIST_AND_INSPECT})",
    "no info": rf"(/v1\.\d+)?{LIST_AND_INSPECT}",
}


@pytest.mark.parametrize("allowed", ALLOWED)
def test_a_proxy_may_let_info_list_and_inspect_through_alone(
    proxy: EngineProxy, engine_at: EngineAt, allowed: str
) -> None:
    """The version of the API is in a header of the engine's answers. It is the engine's, and not the SDK's own."""
    proxy.only = ALLOWED[allowed]
    assert names(engine_at(proxy.url)) == ["web"]
    assert proxy.requests[-1] == "/v1.41/containers/web/json"


@pytest.mark.parametrize("answer", [(404, b"{}"), (501, b"<html>"), (200, b"{}"), (200, b"[]"), (200, b"OK")], ids=repr)
def test_a_proxy_may_refuse_the_version_in_any_way(
    proxy: EngineProxy, engine_at: EngineAt, answer: tuple[int, bytes]
) -> None:
    """It may also answer with something else."""
    proxy.answers["/version"] = answer
    assert names(engine_at(proxy.url)) == ["web"]


def test_an_engine_whose_version_cannot_be_known_is_an_error(proxy: EngineProxy, engine_at: EngineAt) -> None:
    """A version must not be guessed: engines refuse those that are too new or too old. The error says what to do."""
    proxy.answers = {"/version": (403, b"{}"), "/containers/json": (200, b"[]")}
    with pytest.raises(EngineUnavailable, match="let /version or this header through"):
        names(engine_at(proxy.url))


def test_a_redirect_of_the_engine_is_not_followed(proxy: EngineProxy, engine_at: EngineAt, trap: EngineProxy) -> None:
    """Another server may answer with an empty list."""
    engine = engine_at(proxy.url)
    assert names(engine) == ["web"]
    proxy.redirect = f"http://{trap.address}/"
    with pytest.raises(EngineUnavailable, match="it redirects to another place, which is not followed"):
        names(engine)
    assert trap.connections == 0
