"""What the log of an agent says, and at which level."""

from __future__ import annotations

import json
from typing import Any

from tests.support.agent import Agent
from tests.support.host import Host
from tests.support.waiting import wait_until

LIFETIME = ("-ttl", "60", "-ttl-refresh", "20")


def lines(agent: Agent) -> list[dict[str, Any]]:
    """Return the lines that an agent has logged so far."""
    complete = agent.log().rpartition("\n")[0]
    return [json.loads(line) for line in complete.splitlines()]


def test_the_log_tells_what_an_operator_asks_for(host: Host) -> None:
    """The first line says for whom, where and with which engine the agent works. The line about a change names the
    container. Owner records and agent notes are shown at level debug alone, and so is what each pass did. The client
    libraries are heard at level trace alone."""
    agent = host.agent("--log-format", "json", "--log-level", "debug", *LIFETIME).wait_ready()
    host.start("web")
    host.start("custom", flags="-e SERVICE_ID=db.1")
    ids = {name: host.engine.inspect(name)["Id"][:12] for name in ("web", "custom")}
    wait_until(lambda: len(host.keys()) == 2, what="both keys")
    host.engine.docker("rm", "--force", "custom")
    wait_until(lambda: len(host.keys()) == 1, what="the delete")
    agent.wait_for_passes(2)
    said = lines(agent)
    assert (
        said[0].items()
        >= {
            "event": "started",
            "owner": host.owner,
            "address": host.engine.address,
            "engine": host.engine.socket_url,
            "lifetime": "60 s, renewed every 20 s",
        }.items()
    )
    changes = [line for line in said if line["event"] == "change applied"]
    of_entries = [line for line in changes if line["action"] in {"create", "delete"}]
    assert {(line["action"], line["container"], line["container_id"]) for line in of_entries} == {
        ("create", "web", ids["web"]),
        ("create", "custom", ids["custom"]),
        ("delete", "custom", ids["custom"]),
    }
    documents = [line for line in changes if line["action"] in {"record", "note"}]
    assert {line["action"] for line in documents} == {"record", "note"}
    assert [line for line in documents if line.keys() & {"value", "before"}] == []
    assert [line["containers"] for line in said if line["event"] == "pass ended"][-1] == 1
    assert {line["logger"].partition(".")[0] for line in said} == {"wharfinger"}
    tracing = host.agent("--log-format", "json", "--log-level", "trace", *LIFETIME).wait_ready()
    assert "urllib3" in {line["logger"].partition(".")[0] for line in lines(tracing)}
