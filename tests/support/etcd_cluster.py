"""A real etcd of several members. Each member can be killed, frozen, or made to lose its data."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v2 import EtcdV2
from tests.support.etcd_v3 import EtcdV3, EtcdV3Error
from tests.support.processes import free_ports, stands_still
from tests.support.waiting import wait_until

LOOPBACK = "127.0.0.1"

# Loopback traffic, whatever HTTP_PROXY says.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Status:
    """A member's id, and the id of the leader that it follows, which may be itself; 0 for none."""

    id: int
    leader: int


class EtcdMember(EtcdServer):
    """One member of a cluster. `join()` tells it who the others are."""

    def __init__(
        self,
        name: str,
        address: str = LOOPBACK,
        *,
        port: int | None = None,
        through: Callable[[Sequence[str]], Sequence[str]] = list,
    ) -> None:
        self.name = name
        self.peer_url = f"http://{address}:{free_ports(1)[0]}"
        self._initial = {"--initial-cluster": f"{name}={self.peer_url}", "--initial-cluster-state": "new"}
        self._through = through
        super().__init__(address, port=port, through=through)

    @property
    def awake(self) -> bool:
        """Whether it runs and is not frozen. A request to a frozen member would take its full timeout."""
        return self.running and not stands_still(self.pid)

    def join(self, members: Iterable[EtcdMember], state: str = "new") -> None:
        """Tell it who its peers are, before it starts without data. `state` is "new", or "existing" if the peers are a
        cluster already."""
        cluster = ",".join(f"{member.name}={member.peer_url}" for member in members)
        self._initial = {"--initial-cluster": cluster, "--initial-cluster-state": state}
        self._child.argv = list(self._through(self._argv(f"http://{self.endpoint}", self.peer_url)))

    def wake(self) -> None:
        """Start it, or let it go on if it is frozen. Do not wait, as a member alone answers no request."""
        if self.running:
            self._child.thaw()
        else:
            self.launch()

    def forget(self) -> None:
        """Kill it and delete its data."""
        self.kill()
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def status(self) -> Status | None:
        """Return what it says about itself; None if it does not answer. The statistics of the v2 API are of no use
        here: in them a member follows its last leader until the next one writes something."""
        try:
            answer = self.ask("POST", "/v3/maintenance/status", {})
            return Status(int(answer["header"]["member_id"]), int(answer.get("leader", 0)))
        except (OSError, ValueError, HTTPException):
            return None

    def ask(self, method: str, path: str, document: object = None) -> Any:
        """Call an API other than that of the keys; return the JSON of the answer, None if that is empty."""
        body = None if document is None else json.dumps(document).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://{self.endpoint}{path}", body, headers, method=method)
        with _opener.open(request, timeout=2) as response:
            text = response.read()
        return json.loads(text) if text else None

    def _flags(self, client: str, peer: str) -> dict[str, str]:
        return super()._flags(client, self.peer_url) | {
            **self._initial,
            "--name": self.name,
            # Milliseconds. On a busy machine, a member may not get to run for some time.
            "--heartbeat-interval": "100",
            "--election-timeout": "1000",
            # A member that lost its data can be replaced at once then.
            "--strict-reconfig-check": "false",
        }


class EtcdCluster:
    """The members of one cluster. Faults are made at a member, as in `cluster.leader().freeze()`."""

    def __init__(self, members: Sequence[EtcdMember]) -> None:
        self.members = list(members)
        for member in self.members:
            member.join(self.members)

    @classmethod
    def on_loopback(cls, size: int = 3) -> EtcdCluster:
        """Return a cluster of `size` members at the loopback address."""
        return cls([EtcdMember(f"etcd-{number}") for number in range(1, size + 1)])

    @property
    def endpoints(self) -> str:
        """The members' addresses for clients, as they stand in a registry URI."""
        return ",".join(member.endpoint for member in self.members)

    def start(self) -> EtcdCluster:
        """Start all members that do not run, let the frozen ones go on, and wait until they agree on a leader."""
        for member in self.members:
            member.wake()
        for member in self.members:
            member.wait()
        self.leader()
        return self

    def leader(self, other_than: EtcdMember | None = None) -> EtcdMember:
        """Return the member that most members follow; another member may still take itself for the leader. Wait for an
        election to end, and with `other_than` for one that another member wins."""
        elected = wait_until(lambda: self._elected(other_than), 30, "the members to agree on a leader")
        assert elected is not None
        return elected

    def followers(self) -> list[EtcdMember]:
        """Return all members but the leader."""
        leader = self.leader()
        return [member for member in self.members if member is not leader]

    def any(self) -> EtcdV2:
        """Return a member that answers, through which the cluster can be read and written."""
        found = wait_until(lambda: next(filter(EtcdMember.answers, self._awake()), None), 30, "any member to answer")
        assert found is not None
        return found

    def wipe(self, member: EtcdMember) -> None:
        """Delete a member's data and let it join again as a new member, as an operator would."""
        status = member.status()
        assert status is not None
        member.forget()
        helper = EtcdV3(self.leader(other_than=member).endpoint)
        _until_done(lambda: helper.call("cluster/member/remove", {"ID": str(status.id)}))
        _until_done(lambda: helper.call("cluster/member/add", {"peerURLs": [member.peer_url]}))
        member.join(self.members, state="existing")
        member.start()

    def close(self) -> None:
        """Kill all members and delete their data."""
        for member in self.members:
            member.close()

    def _awake(self) -> list[EtcdMember]:
        return [member for member in self.members if member.awake]

    def _elected(self, other_than: EtcdMember | None) -> EtcdMember | None:
        told = {member.name: member.status() for member in self._awake()}
        votes = Counter(status.leader for status in told.values() if status and status.leader)
        chosen = {identity for identity, count in votes.items() if count > len(self.members) / 2}
        for member in self.members:
            status = told.get(member.name)
            if status and status.id in chosen and member is not other_than:
                return member
        return None


def _until_done(call: Callable[[], object]) -> None:
    """Ask for a change of the members until it is made. Right after an election, etcd may refuse it."""

    def done() -> bool:
        try:
            call()
        except EtcdV3Error as error:
            # An earlier call did it, although its answer did not arrive.
            return "member not found" in str(error) or "Peer URLs already exists" in str(error)
        except OSError:
            return False
        return True

    wait_until(done, 30, "the cluster to take a change of its members")
