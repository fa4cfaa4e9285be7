"""The JSON pages of a real agent, over a real engine and etcd, validated with their schemas in several states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.agent import Agent, run_once
from tests.support.engine_proxy import EngineProxy
from tests.support.host import Host
from tests.support.schemas import validated
from tests.support.waiting import wait_until

#: The pages that are built from the last reports.
PAGES = ("status", "entries", "plan", "changes")


class Pages:
    """The pages of one agent."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def registry(self, name: str) -> dict[str, Any]:
        """Return what a page says of the only registry. The page is one of its schema."""
        status, body = self.agent.get(f"/api/v1/{name}")
        assert status == 200, body
        (only,) = validated(name, body)["registries"]
        assert isinstance(only, dict)
        return only

    def states(self) -> dict[str, str]:
        """Return the states of the entries, by the names of their containers, after every page was validated."""
        for name in PAGES:
            self.registry(name)
        rows = self.registry("entries")["entries"]
        return {each["container"]["name"]: each["state"] for each in rows}

    def wait_for(self, **states: str) -> None:
        """Wait until the entries have exactly these states."""
        wait_until(lambda: self.states() == states, what=f"the states {states}; they are {self.states()}")

    def row(self, name: str) -> dict[str, Any]:
        """Return the row of the only entry of this container."""
        row: dict[str, Any]
        (row,) = (each for each in self.registry("entries")["entries"] if each["container"]["name"] == name)
        return row


def test_the_pages_tell_what_became_of_each_container(breakable_host: Host) -> None:
    """A refusal, an exclusion, a drain, a container that cannot be read, an outage of etcd, and what came after it."""
    host = breakable_host
    with EngineProxy(host.engine.socket_url) as proxy:
        agent = host.agent("--docker-host", proxy.url, "--health", "healthy", "--pass-timeout", "2")
        pages = Pages(agent.wait_ready())
        host.start("web", "db", flags="--env PASSWORD=hunter2")
        host.start("bad", flags="--env SERVICE_NAME=a//b")
        host.start("sick", flags="--health-cmd false --health-interval 1h")
        host.start("slow")
        pages.wait_for(web="in-step", db="in-step", bad="refused", sick="excluded", slow="in-step")
        web = pages.row("web")
        assert (web["key"], web["stored"]) == (f"{host.prefix}/{host.key('web')}", host.expected()[host.key("web")])
        assert (pages.row("bad")["reason"], pages.row("sick")["reason"]) == ("bad-name", "unhealthy")

        drained = run_once("unix:///nowhere.sock", "drain", "db", "--wait=0", env={"WHARFINGER_LISTEN": agent.listen})
        assert drained.returncode == 0, drained.stderr
        pages.wait_for(web="in-step", db="draining", bad="refused", sick="excluded", slow="in-step")
        status = pages.registry("status")
        assert [each["name"] for each in status["drain_order"]["containers"]] == ["db"]
        assert (status["counts"]["in_step"], status["counts"]["refused"]["bad-name"]) == (2, 1)
        assert validated("agent", agent.get("/api/v1/agent")[1])["owner"] == host.owner
        newest = pages.registry("changes")["changes"][0]
        assert (newest["action"], newest["reason"], newest["result"]) == ("delete", "draining", "applied")

        slow = host.engine.inspect("slow")["Id"]
        proxy.answers[f"/containers/{slow}/json"] = (500, b'{"message": "no answer from the shim"}')
        host.engine.docker("rename", "slow", "slower")
        wait_until(lambda: pages.registry("status")["counts"]["unreadable_containers"] == 1, what="the refused inspect")
        held = [each for each in pages.registry("entries")["entries"] if each["state"] in {"held", "unreadable"}]
        assert {each["container"]["id"] for each in held} == {slow}
        assert {each["state"] for each in held} == {"held", "unreadable"}

        host.etcd.freeze()
        wait_until(lambda: pages.registry("status")["result"] == "registry-error", 30, "the outage")
        assert pages.registry("entries")["last_pass"]["result"] == "registry-error"
        assert "in-step" in pages.states().values()
        host.etcd.thaw()
        proxy.answers.clear()
        wait_until(lambda: pages.registry("status")["result"] == "success", 30, "the end of the outage")
        text = "".join(agent.get(f"/api/v1/{name}")[1] for name in PAGES)
        assert "hunter2" not in text


def test_before_the_first_pass_has_ended_the_pages_answer_and_say_so(breakable_host: Host, tmp_path: Path) -> None:
    """The first pass hangs in the engine. With a token file, only who sends the token learns even that. Commands that
    ask the agent find the token where their environment says."""
    token = tmp_path / "token"
    token.write_text("correct-horse\n")
    with EngineProxy(breakable_host.engine.socket_url) as proxy:
        proxy.hang("/info", "/version")
        agent = breakable_host.agent("--docker-host", proxy.url, "--pass-timeout=30", f"--web-token-file={token}")
        wait_until(lambda: agent.get("/readyz")[0] == 503, what="the HTTP server")
        for name in PAGES:
            status, body = agent.get(f"/api/v1/{name}")
            assert (status, validated("problems", body)["version"]) == (401, 1)
            status, body = agent.get(f"/api/v1/{name}", token="correct-horse")
            assert status == 503
            assert "no pass has ended yet" in str(validated("status" if name == "status" else "problems", body))
        proxy.release()
        wait_until(lambda: agent.get("/readyz")[0] == 200, 30, "the first pass")
    environment = {"WHARFINGER_LISTEN": agent.listen}
    refused = run_once("unix:///nowhere.sock", "undrain", "--all", env=environment)
    assert (refused.returncode, "set WHARFINGER_WEB_TOKEN_FILE as for the agent" in refused.stderr) == (1, True)
    environment["WHARFINGER_WEB_TOKEN_FILE"] = str(token)
    done = run_once("unix:///nowhere.sock", "undrain", "--all", env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_reconcile_prints_is_of_the_schema_of_a_plan(host: Host) -> None:
    """And so is what it prints about a wrong command line."""
    host.start("web")
    document = validated("plan", host.reconcile("-o", "json").stdout)
    assert [each["container_name"] for each in document["changes"]] == ["web"]
    wrong = host.reconcile("-o", "json", "--interval", "0")
    assert wrong.returncode == 1
    assert json.loads(wrong.stdout) == validated("problems", wrong.stdout)
