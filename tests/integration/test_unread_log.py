"""A log that nobody reads, or that cannot be written. The agent works nevertheless."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.agent import Agent
from tests.support.host import Host, on_both
from tests.support.pipes import UnreadPipe
from tests.support.waiting import wait_until

#: Seconds within which a stop signal ends the agent, even if its log cannot be written, with some time for a slow
#: machine.
END = 3.0

LOST = "wharfinger_log_lines_lost_total"


@pytest.fixture
def pipe() -> Iterator[UnreadPipe]:
    """Yield a pipe that nobody reads."""
    pipe = UnreadPipe()
    yield pipe
    pipe.close()


def assert_works(host: Host, agent: Agent) -> None:
    """Assert that the agent keeps etcd in step, answers over HTTP, and obeys SIGHUP and SIGTERM."""
    host.start("comes")
    host.wait_for(host.expected())
    host.engine.docker("rm", "--force", "comes")
    host.start("stays")
    host.wait_for(host.expected())
    passes = agent.passes()
    agent.signal(signal.SIGHUP)
    wait_until(lambda: agent.passes() > passes, 10, "a pass")
    assert agent.get("/healthz") == (200, "ok\n")
    assert agent.get("/readyz")[0] == 200
    right, begun = host.expected(), time.monotonic()
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
    assert time.monotonic() - begun < END
    assert host.keys() == right


@on_both("host")
@pytest.mark.parametrize("later", [False, True], ids=["from the start", "later"])
def test_an_agent_works_and_stops_though_its_log_is_a_full_pipe(host: Host, pipe: UnreadPipe, later: bool) -> None:
    """The agent works and stops although its log goes to a pipe that is full, whose other end somebody keeps open and
    does not read."""
    if not later:
        pipe.fill()
    agent = host.agent("--log-level", "debug", stderr=pipe.writing).wait_ready()
    if later:
        pipe.fill()
    assert_works(host, agent)


@pytest.mark.parametrize("kind", ["a pipe whose reader has gone", "a full disk"])
def test_an_agent_works_and_stops_though_its_log_cannot_be_written(host: Host, pipe: UnreadPipe, kind: str) -> None:
    """The agent works and stops although each write of its log fails, and counts the lines that are lost."""
    pipe.break_off()
    with ExitStack() as stack:
        full = stack.enter_context(open("/dev/full", "wb"))
        agent = host.agent(stderr=pipe.writing if "pipe" in kind else full.fileno()).wait_ready()
        before = agent.metrics()[LOST]
        agent.signal(signal.SIGHUP)
        wait_until(lambda: agent.metrics()[LOST] > before, 10, "a lost line")
        assert before >= 2  # The lines about its start and its first pass.
        assert_works(host, agent)


def test_a_log_that_is_read_late_has_every_line(host: Host, pipe: UnreadPipe) -> None:
    """While the log cannot be written, a short log waits in the agent. When somebody reads the pipe, every line
    arrives."""
    agent = host.agent(stderr=pipe.fill().writing).wait_ready()
    host.start("one")
    host.wait_for(host.expected())
    received = ""

    def complete() -> bool:
        nonlocal received
        received += pipe.read()
        return "change applied" in received

    wait_until(complete, 10, "the log")
    assert [text for text in ("started", "first pass succeeded", "change applied") if text not in received] == []
    assert agent.metrics()[LOST] == 0
