"""The commands, against a real etcd and an engine that answers as a real one did."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from controller.commands.exit_codes import ExitCode
from model.agent_note import AgentNote
from model.record import RecordKeys
from tests.support.agent import PROGRAM, Agent, run_once
from tests.support.command_host import OWNER, Host, on_a_terminal
from tests.support.processes import free_ports
from tests.support.secure_etcd import TlsEtcd, authority
from tests.support.waiting import wait_until

SECRET = "correct horse"
RECORD_KEYS = RecordKeys("/services")


IN_SYNC, WRONG, PENDING, HELD_BACK, NOT_ALL_REGISTERED = ExitCode

SIX = tuple("abcdef")

#: The agent note of an agent that answers within 1.5 seconds, so that no test waits for long.
SHORT_NOTE = AgentNote("0.2.0", 0.5, 0.5, 0.5, {}, "run-1").encode()


def test_held_back_deletes_give_exit_code_3_and_force_makes_them(host: Host) -> None:
    """One pass alone does not make that many deletes. With --force, it does."""
    host.runs(*SIX)
    assert host.reconcile().returncode == IN_SYNC
    host.runs("a")
    for more in ([], ["--dry-run", "--exit-code"]):
        done = host.reconcile(*more)
        assert done.returncode == HELD_BACK == 3
        assert done.stdout.count("  held back: ") == 5
        assert len(host.registered) == 6
    assert host.reconcile("--dry-run", "--force", "--exit-code").returncode == PENDING
    assert len(host.registered) == 6
    forced = host.reconcile("--force")
    assert (forced.returncode, host.registered) == (IN_SYNC, {f"{OWNER}:a:80"})
    assert "Applied 5 of 5 changes." in forced.stdout


def test_ports_that_are_not_registered_give_exit_code_4(host: Host) -> None:
    """A refused port does, and so does a container that the engine does not describe, but no container that is to have
    no entries. Pending changes, and deletes that are held back, are more important. Without --exit-code it is 0."""
    host.runs("a", b="..")
    assert host.reconcile("--exit-code").returncode == NOT_ALL_REGISTERED == 4
    assert host.reconcile("--dry-run", "--exit-code").returncode == NOT_ALL_REGISTERED
    assert host.reconcile().returncode == IN_SYNC
    host.runs("a", "c", b="..")
    assert host.reconcile("--dry-run", "--exit-code").returncode == PENDING
    host.runs("a", "b")
    host.docker.documents[1]["Config"]["Env"] = ["SERVICE_IGNORE=yes"]
    assert host.reconcile("--exit-code").returncode == IN_SYNC
    host.docker.documents[1]["Config"]["Env"] = 1
    assert host.reconcile("--exit-code").returncode == NOT_ALL_REGISTERED
    host.runs(*SIX)
    host.reconcile()
    host.runs("a", b="..")
    assert host.reconcile("--exit-code").returncode == HELD_BACK


def test_without_a_guard_nothing_is_held_back(host: Host) -> None:
    """``--delete-guard 0`` turns the guard off."""
    host.runs(*SIX)
    host.reconcile()
    host.runs()
    assert host.reconcile("--delete-guard=0").returncode == IN_SYNC
    assert host.registered == set()


def test_the_owner_name_of_another_engine_gives_exit_code_1_and_a_remedy(host: Host) -> None:
    """Nothing is written, unless --take-over is given."""
    host.runs("a")
    host.etcd.store.put(RECORD_KEYS.record(OWNER), '{"engine":"ANOTHER","claims":{}}')
    host.etcd.store.put(RECORD_KEYS.agent_note(OWNER), SHORT_NOTE)
    done = host.reconcile()
    assert (done.returncode, host.registered) == (WRONG, set())
    assert done.stderr.startswith("wharfinger: owner-conflict: ")
    assert "--take-over" in done.stderr
    index = host.etcd.store.index()
    planned = host.reconcile("--take-over", "--dry-run")
    assert (planned.returncode, host.etcd.store.index(), planned.stdout.count("(new)")) == (IN_SYNC, index, 1)
    taken = host.reconcile("--take-over")
    assert taken.returncode == IN_SYNC
    assert taken.stderr.count("--take-over waits for a sign of life until") == 1
    assert host.registered == {f"{OWNER}:a:80"}
    assert host.etcd.store.get(RECORD_KEYS.record(OWNER)) != '{"engine":"ANOTHER","claims":{}}'


def test_a_single_pass_with_take_over_leaves_the_name_of_a_living_agent(host: Host) -> None:
    """A pass with --take-over waits for the other agent's answer, and ends with exit code 1 as soon as that agent has
    answered."""
    host.runs("a")
    agent = host.agent().wait_ready()
    host.docker.engine_id = "ANOTHER"
    try:
        done = host.reconcile("--take-over")
    finally:
        agent.terminate()
    assert (done.returncode, "is alive, as it has answered" in done.stderr) == (WRONG, True)


# deregister


def leftovers(host: Host) -> dict[str, str]:
    """Register two containers of this host beside those of two other hosts; return the entries of the others."""
    host.runs("a", b="custom-b")
    assert host.reconcile().returncode == IN_SYNC
    foreign = {"/services/nginx/core-08:a:80": "10.0.0.8:80", "/services/nginx/core-071:a:80": "10.0.0.9:80"}
    for key, value in foreign.items():
        host.etcd.store.put(key, value)
    return foreign


def test_deregister_removes_and_prints_the_owners_entries(host: Host) -> None:
    """It also removes the owner record, and nothing else."""
    foreign = leftovers(host)
    done = host.deregister("--yes")
    assert (done.returncode, done.stderr) == (IN_SYNC, "")
    assert done.stdout.splitlines() == [
        f"- /services/nginx/{OWNER}:a:80  10.0.0.1:8080",
        "- /services/nginx/custom-b  10.0.0.1:8080",
        f"Removed 2 of 2 entries of '{OWNER}'.",
    ]
    assert host.etcd.store.keys("/services") == foreign
    assert host.etcd.store.get(RECORD_KEYS.record(OWNER)) is None
    again = host.deregister("--yes")
    assert (again.returncode, "0 to delete" in again.stdout) == (WRONG, True)
    assert again.stderr == f"wharfinger: nobody has the name '{OWNER}'; the owners there are 'core-071', 'core-08'\n"


def test_deregister_also_removes_what_comes_while_it_waits_for_the_agent(host: Host) -> None:
    """A key appears while deregister waits for an answer, as when etcd is late with a write of an agent that has ended.
    deregister removes this key, too."""
    leftovers(host)
    with ThreadPoolExecutor() as pool:
        ended = pool.submit(host.deregister, "--yes", "--wait=2")
        query = RECORD_KEYS.liveness_query(OWNER)
        wait_until(lambda: host.etcd.store.get(query) is not None, what="the liveness query")
        host.etcd.store.put(f"/services/nginx/{OWNER}:late:80", "10.0.0.1:8082")
        done = ended.result()
    assert done.stdout.splitlines()[-1] == f"Removed 3 of 3 entries of '{OWNER}'."
    assert len(host.registered) == 2


def test_a_dry_run_of_deregister_writes_nothing(host: Host) -> None:
    """It does not create a liveness query either."""
    leftovers(host)
    before = host.etcd.store.index()
    done = host.deregister("--dry-run")
    assert (done.returncode, host.etcd.store.index()) == (IN_SYNC, before)
    assert done.stdout.splitlines()[-1] == "Plan: 0 to create, 0 to update, 2 to delete, 0 in sync, 0 refused."


def test_deregister_without_a_terminal_needs_yes(host: Host) -> None:
    """Without a terminal nobody can confirm, so --yes has to."""
    leftovers(host)
    done = host.deregister()
    assert (done.returncode, len(host.registered)) == (WRONG, 4)
    assert done.stderr == "wharfinger: nobody is there to confirm; say --yes if these entries are to go\n"


@pytest.mark.parametrize(("word", "left"), [("y", 2), ("n", 4), ("", 4)], ids=["yes", "no", "nothing"])
def test_deregister_asks_on_a_terminal(host: Host, word: str, left: int) -> None:
    """It shows first which entries would be removed. The default answer is no."""
    leftovers(host)
    code, shown = on_a_terminal([*PROGRAM, "deregister", f"--hostname={OWNER}", "--wait=0.2", host.uri], word)
    assert f"Remove these 2 entries of '{OWNER}'? [y/N]" in shown
    assert shown.index("- /services/nginx/custom-b") < shown.index("Remove these")
    assert (code, len(host.registered)) == (IN_SYNC if left == 2 else WRONG, left)


def test_deregister_refuses_an_owner_whose_agent_is_alive(host: Host) -> None:
    """With --force it removes them all the same, and the agent registers them again at once."""
    leftovers(host)
    agent = host.agent().wait_ready()
    try:
        done = host.deregister("--yes", "--wait=20")
        assert (done.returncode, len(host.registered)) == (WRONG, 4)
        assert f"the agent of '{OWNER}' is alive" in done.stderr
        assert host.etcd.store.get(RECORD_KEYS.liveness_query(OWNER)) is None
        assert host.deregister("--yes", "--force").returncode in {IN_SYNC, WRONG}
        wait_until(lambda: len(host.registered) == 4, what="the agent to register them again")
        # The agent writes its record again in the pass after that, at the latest.
        wait_until(
            lambda: "custom-b" in (host.etcd.store.get(RECORD_KEYS.record(OWNER)) or ""), what="the new owner record"
        )
    finally:
        agent.terminate()
    assert host.deregister("--yes").returncode == IN_SYNC
    assert len(host.registered) == 2


def test_deregister_of_an_etcd_that_is_down_gives_exit_code_1(host: Host) -> None:
    """It must not look like an etcd without entries."""
    uri = f"etcd://127.0.0.1:{free_ports(1)[0]}/services"
    done = run_once("", "deregister", "--hostname=x", "--yes", uri)
    assert (done.returncode, done.stdout) == (WRONG, "")
    assert "Connection refused" in done.stderr


def test_deregister_needs_an_owner(host: Host) -> None:
    """The owner is never taken from the environment, so that no host removes its own entries by mistake."""
    done = host.command("deregister", "--yes", WHARFINGER_HOSTNAME=OWNER)
    assert done.returncode == WRONG
    assert "--hostname is needed" in done.stderr


# health


def test_health_asks_the_agent_on_this_host(host: Host) -> None:
    """It asks at the address in WHARFINGER_LISTEN, or at a URL that is given."""
    agent = host.agent().wait_ready()
    try:
        for done in (
            run_once("", "health", env={"WHARFINGER_LISTEN": agent.listen}),
            run_once("", "health", f"http://{agent.listen}/healthz"),
        ):
            assert (done.returncode, done.stdout, done.stderr) == (IN_SYNC, "ok\n", "")
    finally:
        agent.terminate()
    gone = run_once("", "health", env={"WHARFINGER_LISTEN": agent.listen})
    assert (gone.returncode, gone.stdout) == (WRONG, "")
    assert gone.stderr.startswith(f"cannot ask http://{agent.listen}/healthz: ")


# TLS and secrets, through the whole program


def test_the_program_speaks_tls_with_etcdctls_own_variables(host: Host, tmp_path: Path) -> None:
    """The CA and the client certificate come from the environment, and the scheme is etcds://."""
    ours = authority(tmp_path / "ours")
    client = ours.issue("agent@core-07.example")
    server = TlsEtcd(ours, ours.issue("127.0.0.1")).start()
    try:
        env = {"ETCDCTL_CACERT": ours.path, "ETCDCTL_CERT": client.cert, "ETCDCTL_KEY": client.key}
        uri = f"{server.scheme}s://{server.endpoint}/services"
        host.runs("a")
        args = ("reconcile", "-ip=10.0.0.1", "--exit-code", uri)
        assert run_once(f"unix://{host.socket}", *args, env=env).returncode == IN_SYNC
        assert run_once(f"unix://{host.socket}", *args, "--dry-run", env=env).returncode == IN_SYNC
        refused = run_once(f"unix://{host.socket}", *args)
        assert (refused.returncode, "certificate verify failed" in refused.stderr) == (WRONG, True)
    finally:
        server.close()


def _has_had_a_pass(agent: Agent) -> bool:
    return "pass" in agent.log()


def test_the_password_is_in_no_log_and_no_metric(host: Host) -> None:
    """This holds with the log level trace, both while the registry works and while it is down."""
    host.runs("a")
    for uri in (host.uri, f"etcd://127.0.0.1:{free_ports(1)[0]}/services"):
        agent = Agent(
            f"unix://{host.socket}",
            "--log-level=trace",
            "--interval=0.1",
            uri,
            log_path=host.folder / "agent.log",
            env={"WHARFINGER_ETCD_PASSWORD": SECRET, "WHARFINGER_ETCD_USER": "agent"},
        ).start()
        try:
            wait_until(partial(_has_had_a_pass, agent), what="a pass")
            pages = [agent.get(path)[1] for path in ("/", "/metrics", "/healthz", "/readyz")]
            pages += [agent.get(f"/api/v1/{name}")[1] for name in ("agent", "status", "entries", "plan", "changes")]
        finally:
            agent.terminate()
        assert [page for page in pages if SECRET in page] == []
        assert SECRET not in agent.log()
