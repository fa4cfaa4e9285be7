"""``wharfinger explain``: whom it asks, what it prints, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import ClassVar

import pytest

from controller.observe.api.explain import EXPLAIN, ExplainPage
from controller.observe.api.values import encoded
from controller.observe.last_reports import LastReports
from model.container_lookup import EngineLookup
from tests.support.fakes import EPOCH
from tests.support.loopback_server import LoopbackServer
from tests.support.pass_harness import Host, serving
from tests.support.processes import free_ports
from tests.unit.conftest import Ran

pytestmark = pytest.mark.usefixtures("logging_restored")

URI = "etcd://127.0.0.1:1/services"


class _Agent(BaseHTTPRequestHandler):
    """An agent of a host that runs one container, or what else listens at its port."""

    page: ClassVar[ExplainPage]
    #: An answer in place of the page.
    answer: ClassVar[tuple[int, str] | None] = None

    def do_GET(self) -> None:
        page = self.page(self.path.removeprefix(EXPLAIN))
        status, text = self.answer or (200, encoded(page.document))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing about requests."""


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the URL of an agent of a host that runs one container."""
    loop = LastReports()
    loop.ended(Host(serving()).tries_a_pass(), EPOCH, 1.0)
    page = ExplainPage({"etcd": URI}, {"etcd": loop}, lambda text: EngineLookup())
    monkeypatch.setattr(_Agent, "page", page, raising=False)
    with LoopbackServer(_Agent) as server:
        yield f"http://{server.address}"


def test_the_agent_is_asked(ran: Ran, agent: str) -> None:
    """The output ends in who decided, and when."""
    code, out, err = ran("explain", "web", "--agent", agent)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "web is registered: 1 service port."
    assert lines[-1].startswith(f"Decided by the agent at {agent}, in its pass of ")


def test_the_json_is_the_page_of_the_agent(ran: Ran, agent: str) -> None:
    """And nothing else."""
    code, out, err = ran("explain", "web", "--agent", agent, "-o", "json")
    assert (code, err) == (0, "")
    assert json.loads(out) == _Agent.page("web").document


def test_a_container_that_does_not_exist_has_exit_code_1(ran: Ran, agent: str) -> None:
    """It is told like any other."""
    code, out, err = ran("explain", "wbe", "--agent", agent)
    assert (code, err) == (1, "")
    assert out.startswith("This host has no container 'wbe'.\nNames like it: web.\n")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((404, "not found\n"), "it is none, or one of another version"),
        ((503, '{"version": 1, "problems": ["no pass has ended yet"]}'), "no pass has ended yet"),
        ((200, '{"version": 2, "registries": []}'), "it is none, or one of another version"),
        ((200, "[]"), "it is none, or one of another version"),
        ((200, '{"version": 1}'), "it is none, or one of another version"),
        ((200, '{"version": 1, "registries": [{"planned_at": "now"}]}'), "it is none, or one of another version"),
    ],
)
def test_what_does_not_explain_containers_is_no_agent(
    ran: Ran, agent: str, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, str], problem: str
) -> None:
    """An agent of an older version, one whose first pass has not ended, and something else at its port."""
    monkeypatch.setattr(_Agent, "answer", answer)
    code, out, err = ran("explain", "web", "--agent", agent)
    assert (code, out) == (1, "")
    assert err == f"wharfinger: the agent at {agent} does not explain containers: {problem}\n"


def test_without_an_agent_and_without_a_registry_there_is_nothing_to_ask(
    ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names both ways out."""
    monkeypatch.setenv("WHARFINGER_LISTEN", f"127.0.0.1:{free_ports(1)[0]}")
    code, out, err = ran("explain", "web")
    assert (code, out) == (1, "")
    assert "wharfinger: cannot ask the agent at http://127.0.0.1:" in err
    assert "Nor is there a pass to make without an agent: " in err
    code, _, err = ran("explain", "web", "--no-agent")
    assert (code, "cannot ask the agent" in err) == (1, False)


def test_without_an_agent_the_flags_of_the_command_decide(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """A pass is made, and the output says why. Here it can read neither registry nor engine."""
    monkeypatch.setenv("WHARFINGER_LISTEN", f"127.0.0.1:{free_ports(1)[0]}")
    flags = (f"etcd://127.0.0.1:{free_ports(1)[0]}/services", f"--docker-host=unix://{tmp_path}/nowhere.sock")
    code, out, err = ran("explain", "web", *flags, "--hostname", "core-01", "--filter", "label=a")
    assert (code, err) == (1, "")
    assert out.startswith("Nothing was decided about 'web', because the pass made no plan (registry-error: ")
    assert "Decided by the flags of this command, in a pass that changed nothing. No agent was asked: cannot ask" in out
    code, out, _ = ran("explain", "web", *flags, "--hostname", "core-01", "--no-agent", "-o", "json")
    assert (code, json.loads(out)["decided_by"]) == (1, "dry-run")


@pytest.mark.parametrize("text", ["", "a/b", "etcd://user:horse@127.0.0.1:1/services"])
def test_what_is_no_container_is_refused(ran: Ran, text: str) -> None:
    """As a forgotten container before the URI. A password is not shown."""
    code, out, err = ran("explain", text)
    assert (code, out, "horse" in err) == (1, "", False)
    assert "is no name and no id of a container" in err


@pytest.mark.parametrize("name", ["list", "runs", "recon", "dry-run"])
def test_a_container_may_have_a_name_like_a_command(ran: Ran, agent: str, name: str) -> None:
    """It is no mistyped command."""
    code, out, _ = ran("explain", name, "--agent", agent)
    assert (code, out.splitlines()[0]) == (1, f"This host has no container {name!r}.")
