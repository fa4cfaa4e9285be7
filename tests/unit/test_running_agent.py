"""Finding the running agent of a host, and reaching what it reaches."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from attrs import evolve

from controller.commands.running_agent import TOKEN_VARIABLE, RunningAgent, ask_page, find_agent
from controller.errors import Stop
from controller.observe.agent_page import PATH, AgentDescription

DESCRIPTION = AgentDescription(
    registries=("etcd://127.0.0.1:1/services", "etcd3s://127.0.0.1:2/services"),
    connection={},
    docker_host="unix:///engine.sock",
    owner="core-01",
    engine_id="4C7A",
)

CURE = "give its URL with --agent, as in --agent http://127.0.0.1:9119, or set WHARFINGER_LISTEN as for the agent"


@contextmanager
def serving(text: str, status: int = 200, token: str = "") -> Iterator[str]:
    """Serve this text as the agent's page, and yield HOST:PORT. Whoever does not send exactly this token is refused."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            admitted = self.headers["Authorization"] == (f"Bearer {token}" if token else None)
            self.send_response(401 if not admitted else status if self.path == PATH else 404)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of each request."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what the environment of the tests says about etcd and the agent."""
    for variable in ("WHARFINGER_ETCD_PASSWORD", "ETCDCTL_PASSWORD", "WHARFINGER_LISTEN", TOKEN_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("end", ["", "/"])
def test_the_agent_is_asked_at_its_url(end: str) -> None:
    """With or without a slash at its end."""
    with serving(DESCRIPTION.encode()) as address:
        agent = find_agent(f"http://{address}{end}")
    assert (agent.url, agent.description, agent.owner) == (f"http://{address}", DESCRIPTION, "core-01")


def test_the_agent_is_asked_where_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is that of the agent, for example in its container."""
    with serving(DESCRIPTION.encode()) as address:
        monkeypatch.setenv("WHARFINGER_LISTEN", address)
        assert find_agent("").description == DESCRIPTION


@pytest.mark.parametrize(
    ("text", "status"), [("ok\n", 200), ("{}", 200), ("not found\n", 404), (DESCRIPTION.encode(), 503)]
)
def test_what_is_no_agent_is_told_apart(text: str, status: int) -> None:
    """Something else may listen there, or an older agent. The message says what to do."""
    with serving(text, status) as address, pytest.raises(Stop) as stop:
        find_agent(f"http://{address}")
    assert str(stop.value) == f"what answers at http://{address} is no agent, or one of another version; {CURE}"


def test_the_agent_is_sent_the_token_that_it_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the file that the variable names which the agent has, too. Without it, or with another one, the agent
    refuses, and the message says what to do."""
    file = tmp_path / "token"
    file.write_text("correct-horse\n")
    with serving(DESCRIPTION.encode(), token="correct-horse") as address:
        url = f"http://{address}"
        with pytest.raises(Stop, match=f"^the agent at {url} asks for a token: set {TOKEN_VARIABLE} as"):
            find_agent(url)
        monkeypatch.setenv(TOKEN_VARIABLE, str(file))
        assert find_agent(url).owner == "core-01"
        file.write_text("wrong\n")
        with pytest.raises(Stop, match=rf"asks for another token than that in {file}: set {TOKEN_VARIABLE}"):
            find_agent(url)


@pytest.mark.parametrize("text", [None, "\n"], ids=["no file", "no token"])
def test_a_token_file_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """Nobody is asked then."""
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv(TOKEN_VARIABLE, str(file))
    with pytest.raises(Stop, match=f"the token for the agent cannot be used: {file} "):
        find_agent("http://127.0.0.1:1")


def test_of_a_long_page_only_so_much_is_read() -> None:
    """Something else than an agent may listen there."""
    with serving("x" * 100) as address:
        status, body = ask_page(f"http://{address}", PATH, most=1000)
        assert (status, body) == (200, b"x" * 100)
        assert len(ask_page(f"http://{address}", PATH, most=150)[1]) < 100


def test_an_agent_that_does_not_know_its_owner_yet_cannot_be_used() -> None:
    """Its first pass has not ended."""
    with serving(evolve(DESCRIPTION, owner="").encode()) as address, pytest.raises(Stop, match="owner name yet"):
        find_agent(f"http://{address}")


def test_an_agent_without_an_http_server_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to do. A URL that is given counts all the same."""
    monkeypatch.setenv("WHARFINGER_LISTEN", "")
    with pytest.raises(Stop, match=r"WHARFINGER_LISTEN is empty, .* start it with --listen, or give .* with --agent"):
        find_agent("")
    with serving(DESCRIPTION.encode()) as address:
        assert find_agent(f"http://{address}").owner == "core-01"


@pytest.mark.parametrize("url", ["rubbish", "ftp://127.0.0.1:1", "http://u:secret@127.0.0.1:1"])
def test_an_agent_that_does_not_answer_is_an_error_that_says_what_to_do(url: str) -> None:
    """No password of the URL is in the message."""
    with pytest.raises(Stop) as stop:
        find_agent(url)
    assert str(stop.value).startswith("cannot ask the agent at ")
    assert str(stop.value).endswith(CURE)
    assert "secret" not in str(stop.value)


def test_a_variable_that_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent itself does not start with it."""
    monkeypatch.setenv("WHARFINGER_LISTEN", "9119")
    with pytest.raises(Stop, match="WHARFINGER_LISTEN '9119' is no address to ask"):
        find_agent("")


def agent(**connection: str) -> RunningAgent:
    """Return an agent with these flags of its connection."""
    flags = {name.replace("_", "-"): value for name, value in connection.items()}
    return RunningAgent("http://127.0.0.1:1", evolve(DESCRIPTION, connection=flags))


def test_the_registries_are_those_of_the_agent() -> None:
    """With their labels, and with TLS where the URI asks for it."""
    plain, encrypted = agent().registries()
    assert (plain.given, plain.label, plain.credentials.tls) == ("etcd://127.0.0.1:1/services", "etcd", False)
    assert (encrypted.given, encrypted.credentials.tls) == ("etcd3s://127.0.0.1:2/services", True)


def test_the_engine_is_that_of_the_agent() -> None:
    """With the variables for TLS, and with nothing of this program's own environment."""
    variables = {"DOCKER_CERT_PATH": "/certs"}
    engine = evolve(agent(), description=evolve(DESCRIPTION, docker_environment=variables)).engine
    assert (engine.url, engine.environment, engine.asks_for_tls) == ("unix:///engine.sock", variables, True)


def test_the_password_comes_from_the_environment_or_the_agents_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent does not tell it. The file goes first, as for the agent."""
    file = tmp_path / "password"
    file.write_text("from the file\n")
    with_file = agent(etcd_user="agent", etcd_password_file=str(file))
    assert with_file.registries()[0].credentials.password == "from the file"
    with pytest.raises(Stop, match=r"logs in to etcd as 'agent', .* set WHARFINGER_ETCD_PASSWORD"):
        agent(etcd_user="agent").registries()
    monkeypatch.setenv("WHARFINGER_ETCD_PASSWORD", "from the environment")
    credentials = agent(etcd_user="agent").registries()[0].credentials
    assert (credentials.user, credentials.password) == ("agent", "from the environment")
    assert with_file.registries()[0].credentials.password == "from the file"


def test_files_that_cannot_be_read_here_are_named(tmp_path: Path) -> None:
    """The command may run as another user than the agent, or outside of its container."""
    with pytest.raises(Stop, match=r"cannot reach the registries of the agent at .*: --etcd-ca .*nowhere.pem"):
        agent(etcd_ca=str(tmp_path / "nowhere.pem")).registries()
