"""An agent on a busy machine, where it has the CPU for a fifth of the time."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.bounds import AgentTimes, Bounds
from tests.support.agent import PROGRAM, Agent
from tests.support.busy import BusyMachine
from tests.support.host import Host, on_both
from tests.support.processes import REPOSITORY, clean_environment
from tests.support.waiting import wait_until

#: Seconds for which the machine is busy.
SECONDS = 30.0

#: Seconds after which Docker counts a HEALTHCHECK of the image as failed if it has not ended.
HEALTHCHECK_TIMEOUT = float(re.findall(r"HEALTHCHECK .*--timeout=(\d+)s", (REPOSITORY / "Dockerfile").read_text())[0])

TTL = ("-ttl", "20", "-ttl-refresh", "5")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """Yield the socket to which a service sends its notifications for systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(tmp_path / "notify"))
        datagrams.setblocking(False)
        yield datagrams


def watchdog_was_fed(systemd: socket.socket) -> bool:
    """Return whether the agent has sent systemd a sign of life (WATCHDOG=1) since the last call."""
    fed = False
    try:
        while True:
            fed |= b"WATCHDOG=1" in systemd.recv(10_000)
    except BlockingIOError:
        return fed


def ask_health(agent: Agent, machine: BusyMachine) -> tuple[int, str]:
    """Run `wharfinger health` on the busy machine, as Docker runs it for a HEALTHCHECK. Return its exit code and its
    output."""
    process = subprocess.Popen(
        [*PROGRAM, "health"],
        env=clean_environment(WHARFINGER_LISTEN=agent.listen),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    machine.add(process.pid)
    try:
        wait_until(lambda: has_ended(process.pid), HEALTHCHECK_TIMEOUT, "wharfinger health")
    finally:
        machine.remove(process.pid)
        process.kill()
        said = process.communicate()[0]
    return process.returncode, said


def has_ended(pid: int) -> bool:
    """Return whether a child process has ended. Its exit code stays for whoever waits for it later."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@on_both("host")
def test_on_a_busy_machine_passes_go_on_and_nothing_is_declared_dead(
    host: Host, systemd: socket.socket, tmp_path: Path
) -> None:
    """On a busy machine, entries follow their containers within the documented time, and no request fails. Docker's and
    systemd's checks of health get their answers in time."""
    environment = {"NOTIFY_SOCKET": systemd.getsockname()}
    flags = ("--interval", "1", "-ip", host.engine.address, *TTL)
    agent = Agent(host.engine.socket_url, *flags, host.uri, log_path=tmp_path / "busy.log", env=environment)
    steady = Bounds.of(AgentTimes(interval=1.0, pass_timeout=10.0, ttl=20.0)).steady
    host.start("stays", "second", "third")
    with BusyMachine() as machine:
        machine.add(agent.start().pid)
        try:
            agent.wait_ready(60)
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                host.start("comes")
                assert ask_health(agent, machine) == (0, "ok\n")
                host.wait_for(host.expected(), steady)
                host.engine.docker("rm", "--force", "comes")
                host.wait_for(host.expected(), steady)
                assert agent.get("/healthz") == (200, "ok\n")
                assert agent.get("/readyz")[0] == 200
                assert watchdog_was_fed(systemd)
            seen = agent.metrics()
            drift = agent.drift()
        finally:
            machine.remove(agent.pid)
            agent.kill9()
    failed = {name: value for name, value in seen.items() if value and re.search(r"_errors_total|-error\"", name)}
    assert failed == {}, agent.log()
    assert set(drift.values()) == {0.0}
    assert "pass failed" not in agent.log()
