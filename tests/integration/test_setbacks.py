"""Writes that etcd refuses hold up nothing else: other entries are written in time, and keys with a lifetime do not
expire.

A real agent signs in to a real etcd as a user who may not write everything. With v2, everybody may read.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model.record import RecordKeys
from tests.support.agent import Agent
from tests.support.engine import DockerEngine
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v2 import EtcdV2
from tests.support.etcd_v3 import EtcdV3
from tests.support.host import Host, on_both
from tests.support.secure_etcd import V2Users, V3Users
from tests.support.waiting import wait_until

PASSWORD = "secret"

#: Flags for keys that live five seconds and are renewed after three. They would expire if the agent as a whole backed
#: off for 1, 2 and 4 seconds.
LIFETIME = ("-ttl", "5", "-ttl-refresh", "3")

#: Seconds for which a test checks that keys are there all the time.
LOOK = 14.0

#: The service whose keys the user may write. Containers with another SERVICE_NAME have other keys.
ALLOWED = "worker"


class RestrictedHost(Host):
    """A host with an etcd of its own, to which its agent signs in as a user with few permissions."""

    users: V2Users | V3Users

    @property
    def store(self) -> EtcdV2 | EtcdV3:
        """A client of the host's etcd that may read everything."""
        return self.users.reader

    def restrict(self, *writable: str) -> None:
        """Let the agent's user read everything, and write only below these paths."""
        self.users = V2Users(self.etcd) if self.api == 2 else V3Users(self.etcd)
        everything = (("READ", self.prefix), ("READ", RecordKeys(self.prefix).path))
        self.users.add("agent", PASSWORD, *everything, *(("READWRITE", path) for path in writable))
        self.users.enable()

    def guarded_agent(self, folder: Path, *flags: str) -> Agent:
        """Start an agent that signs in as the restricted user and gives keys the lifetime of these tests."""
        password = folder / "password"
        password.write_text(PASSWORD)
        signing = ("--etcd-user", "agent", "--etcd-password-file", str(password))
        return self.agent(*LIFETIME, *signing, *flags, interval=1.0)

    def live(self, names: tuple[str, ...], seconds: float, meanwhile: Callable[[], object] = lambda: None) -> set[str]:
        """Look for this many seconds, and return which keys of these containers were missing at any moment. Call
        ``meanwhile`` once, after half of the time."""
        wanted = {self.key(name) for name in names}
        wait_until(lambda: wanted <= self.keys().keys(), 20, "the keys")
        missing: set[str] = set()
        half = time.monotonic() + seconds / 2
        while time.monotonic() < half:
            missing |= wanted - self.keys().keys()
        meanwhile()
        end = time.monotonic() + seconds / 2
        while time.monotonic() < end:
            missing |= wanted - self.keys().keys()
        return missing


@pytest.fixture
def restricted(
    engine: DockerEngine, fresh_etcd: EtcdServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[RestrictedHost]:
    """Yield a host with a clean engine and an etcd of its own. Call `restrict` to give the agent's user permissions."""
    engine.remove_all()
    found = RestrictedHost(engine, fresh_etcd, tmp_path, request.param)
    try:
        yield found
    finally:
        found.close()


def refusals_logged(agent: Agent) -> int:
    """Return the number of lines in the agent's log that say that a change failed."""
    return agent.log().count("change failed")


@on_both("restricted")
def test_a_key_that_may_not_be_written_holds_up_no_other_and_lets_none_expire(
    restricted: RestrictedHost, tmp_path: Path
) -> None:
    """While etcd denies one key, the other keys do not expire, and new keys are written in time. The agent is ready,
    names the denied key, and logs it once. When the user may write the key, SIGHUP has it written at once."""
    host = restricted
    denied = f"{host.prefix}/denied"
    host.restrict(f"{host.prefix}/{ALLOWED}", RecordKeys(host.prefix).path)
    host.start("web-1", "web-2", "web-3", "web-4")
    host.start("bad", flags="-e SERVICE_NAME=denied")
    agent = host.guarded_agent(tmp_path)
    came: list[float] = []

    def start_another() -> None:
        host.start("late")
        began = time.monotonic()
        wait_until(
            lambda: {host.key("late")} <= host.keys().keys(), 20, "the key of a container that started meanwhile"
        )
        came.append(time.monotonic() - began)

    assert host.live(("web-1", "web-2", "web-3", "web-4"), LOOK, start_another) == set()
    assert came[0] < 4
    status, text = agent.get("/readyz")
    assert (status, "incomplete: cannot create" in text, denied in text) == (200, True, True)
    assert agent.total("changes_waiting") == 1
    assert agent.total("last_attempt_timestamp_seconds") - agent.total("last_success_timestamp_seconds") < 5
    assert refusals_logged(agent) == 1
    assert "pass failed" not in agent.log()
    host.users.grant("agent", "READWRITE", denied)
    agent.signal(signal.SIGHUP)
    wait_until(lambda: agent.total("changes_waiting") == 0, 5, "the key that may be written now")
    assert len(host.keys()) == 6


@on_both("restricted")
def test_keys_live_on_although_the_owner_record_may_not_be_written(restricted: RestrictedHost, tmp_path: Path) -> None:
    """While etcd denies the owner record, only entries under a custom id wait for it, and the other keys do not expire.
    The agent note cannot be written either."""
    host = restricted
    host.restrict(host.prefix)
    host.start("web-1", "web-2")
    host.start("custom", flags="-e SERVICE_ID=custom-id")
    agent = host.guarded_agent(tmp_path)
    assert host.live(("web-1", "web-2"), LOOK) == set()
    assert set(host.keys()) == {host.key("web-1"), host.key("web-2")}
    assert refusals_logged(agent) == 2


@on_both("restricted")
def test_one_pass_tries_everything_and_tells_what_was_refused(restricted: RestrictedHost) -> None:
    """``reconcile`` writes the entry that the user may write, names the denied one, and ends with exit code 1, because
    not everything is in sync."""
    host = restricted
    host.restrict(f"{host.prefix}/{ALLOWED}", RecordKeys(host.prefix).path)
    host.start("web-1")
    host.start("bad", flags="-e SERVICE_NAME=denied")
    (host.etcd.folder / "password").write_text(PASSWORD)
    signing = ("--etcd-user", "agent", "--etcd-password-file", str(host.etcd.folder / "password"))
    for _ in range(2):
        done = host.reconcile(*signing)
        assert done.returncode == 1
        assert done.stderr.startswith(f"wharfinger: incomplete: cannot create {host.prefix}/denied/")
    assert set(host.keys()) == {host.key("web-1")}


@on_both("host")
def test_keys_outlive_an_interval_that_is_nearly_as_long_as_their_lifetime(host: Host) -> None:
    """Keys stay if the interval is nearly as long as their lifetime. At each pass, -ttl-refresh does not call for a
    renewal yet, but the keys would expire before the next pass, so they are renewed."""
    host.start("web-1", "web-2")
    host.agent("-ttl", "6", "-ttl-refresh", "5", "--pass-timeout", "2", interval=4.0)
    host.wait_for(host.expected())
    missing: set[str] = set()
    end = time.monotonic() + LOOK
    while time.monotonic() < end:
        missing |= host.expected().keys() - host.keys().keys()
    assert missing == set()
