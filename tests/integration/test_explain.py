"""From "my container is not there" to the reason in one command, on a real engine and a real etcd."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

from tests.support.agent import Agent, run_once
from tests.support.host import Host
from tests.support.schemas import validated
from tests.support.waiting import wait_until

#: What makes a container one that the agent's filter selects.
SHOWN = "--label shown=yes"

#: The containers: how each is run, and the answer about it without its name. The agent has ``--filter label=shown=yes``
#: and ``--health healthy``.
CONTAINERS = {
    "fine": (f"{SHOWN} -P", "is registered: 1 service port."),
    "unpublished": (SHOWN, "is not registered: none of its ports is published."),
    "ignored": (
        f"{SHOWN} -P -e SERVICE_IGNORE=false",
        "is not registered: the environment variable SERVICE_IGNORE is set, and every value counts as yes, "
        "'false' too.",
    ),
    "filtered": ("-P", "is not registered: --filter label=shown=yes does not select it."),
    "starting": (
        f"{SHOWN} -P --health-cmd true --health-interval 1h",
        "is not registered: its HEALTHCHECK says 'starting', and --health healthy is given.",
    ),
    "one-off": (
        f"{SHOWN} -P --label com.docker.compose.oneoff=True",
        "is not registered: docker compose run started it for a single command, and --one-offs is not given.",
    ),
    "loopback": (f"{SHOWN} -p 127.0.0.1::9000", "is not registered: it is published on 127.0.0.1 alone, and not on"),
    "evil": (
        f"{SHOWN} -P -e SERVICE_NAME=../evil",
        "is not registered: environment variable SERVICE_NAME '../evil' has the path part '..'.",
    ),
    "taken": (f"{SHOWN} -P -e SERVICE_ID=shared", "is not registered: the key"),
    "drained": (f"{SHOWN} -P", "is not registered: it drains, because the engine has sent it the signal TERM, since"),
    "joined": (
        f"{SHOWN} --network container:fine",
        "is not registered: it joined the network that container 'fine' had before its last start; restart it.",
    ),
    "stopped": (f"{SHOWN} -P", "does not run: it is exited, with exit code 137; no key of it is left."),
}


def explained(agent: Agent, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command beside the agent. It sees none of the agent's flags."""
    return run_once("unix:///nowhere.sock", "explain", *args, env={"WHARFINGER_LISTEN": agent.listen})


def test_one_command_says_why_a_container_is_not_there(host: Host) -> None:
    """The first line is the reason, whatever it is. The agent is asked, whose flags the command does not see."""
    host.store.put(f"{host.prefix}/worker/shared", "192.0.2.9:1")
    first, *others = CONTAINERS
    with ThreadPoolExecutor(4) as pool:
        for names in ([first], others):
            list(pool.map(lambda name: host.engine.run(f"--name {name} {CONTAINERS[name][0]} worker:1"), names))
    host.engine.docker("restart", "--time=0", "fine")
    host.engine.docker("stop", "--time=0", "stopped")
    agent = host.agent("--filter", "label=shown=yes", "--health", "healthy").wait_ready()
    wait_until(lambda: agent.total("hints_flowing") == 1, what="hints to flow")
    host.engine.docker("kill", "--signal=TERM", "drained")
    drained = host.key("drained")
    wait_until(lambda: drained not in set(host.keys()), what="the container to drain")
    with ThreadPoolExecutor(4) as pool:
        told = dict(zip(CONTAINERS, pool.map(lambda name: explained(agent, name), CONTAINERS), strict=True))
    for name, (_, answer) in CONTAINERS.items():
        assert (told[name].returncode, told[name].stderr) == (0, ""), name
        assert told[name].stdout.startswith(f"{name} {answer}"), told[name].stdout
    missing = explained(agent, "fien")
    assert (missing.returncode, missing.stdout.splitlines()[:2]) == (
        1,
        ["This host has no container 'fien'.", "Names like it: fine."],
    )
    document = json.loads(explained(agent, "taken", "-o", "json").stdout)
    (registry,) = document["registries"]
    found = [(each["key"], each["stored"], each["state"]) for each in registry["keys"]]
    assert found == [(f"{host.prefix}/worker/shared", "192.0.2.9:1", "foreign")]
    status, page = agent.get("/api/v1/explain/taken")
    assert (status, validated("explain", page)["registries"][0]["answer"]) == (200, registry["answer"])


def test_without_an_agent_the_flags_of_the_command_decide(host: Host) -> None:
    """No key is written, and the output says that no agent was asked."""
    host.start("web")
    nowhere = {"WHARFINGER_LISTEN": "127.0.0.1:1"}
    flags = ("explain", "web", "-ip", host.engine.address, host.uri)
    done = run_once(host.engine.socket_url, *flags, "-explicit", env=nowhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("web is not registered: -explicit is given, and no SERVICE_NAME names the port.\n")
    assert "Decided by the flags of this command, in a pass that changed nothing. No agent was asked" in done.stdout
    done = run_once(host.engine.socket_url, *flags, "--no-agent", env=nowhere)
    assert "the entry is not written yet: a pass would create it (new)" in done.stdout
    assert host.keys() == {}
    host.engine.docker("stop", "--time=0", "web")
    done = run_once(host.engine.socket_url, *flags, "--no-agent", env=nowhere)
    assert done.stdout.startswith("web does not run: it is exited, with exit code 137; no key of it is left.")
