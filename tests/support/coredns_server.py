"""A real CoreDNS for tests, at a loopback address, and the questions that they ask it by DNS."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Self

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.support.coredns import Answer
from tests.support.parts import PartMissing
from tests.support.peers import coredns
from tests.support.processes import Child, free_ports
from tests.support.scratch import scratch_folder
from tests.support.waiting import wait_until

#: Seconds for which a test waits for an answer.
PATIENCE = 10.0

#: The most bytes of an answer by UDP that the questions allow.
PAYLOAD = 4096


def etcd_corefile(etcd: str, zone: str = "cluster.local") -> str:
    """Return a configuration that answers at once from what the etcd at ``etcd`` ("127.0.0.1:2379") holds."""
    return f"{zone}:53 {{\n    errors\n    etcd {{\n        endpoint http://{etcd}\n    }}\n}}\n"


class CoreDnsServer:
    """A CoreDNS with the given configuration, which is moved from port 53 to `address`, by default an address of its
    own on the loopback."""

    def __init__(self, corefile: str, zone: str = "cluster.local", address: tuple[str, int] | None = None) -> None:
        self.host, self.port = address or ("127.0.0.1", free_ports(1)[0])
        self.folder = scratch_folder("coredns")
        self._zone = zone
        file = self.folder / "Corefile"
        file.write_text(_moved(corefile, self.host, self.port))
        self._child = Child([str(_binary_or_skip()), "-conf", str(file)], self.folder / "log")

    def start(self) -> Self:
        """Start it, and wait until it answers for its zone."""
        self._child.start()
        wait_until(lambda: self._answers() or not self._child.running, 20, "CoreDNS to answer")
        assert self._child.running, self.log()
        return self

    def ask(self, name: str, kind: str, *, tcp: bool = True) -> Answer:
        """Return the answer to a question by TCP or UDP. Raises dns.exception.Timeout if none comes."""
        return _read(self.message(name, kind, tcp=tcp))

    def message(self, name: str, kind: str, *, tcp: bool = True, patience: float = PATIENCE) -> dns.message.Message:
        """Return the message that answers a question. ``patience`` is in seconds."""
        question = dns.message.make_query(name, kind, use_edns=0, payload=PAYLOAD)
        by = dns.query.tcp if tcp else dns.query.udp
        return by(question, self.host, patience, self.port, one_rr_per_rrset=True)

    def log(self) -> str:
        """Return everything that it has written so far."""
        return self._child.log()

    def close(self) -> None:
        """Kill it and delete its files."""
        self._child.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        """Return whether it answers. A question for the zone's SOA asks nothing of etcd."""
        try:
            return self.message(self._zone, "SOA", patience=1).rcode() == dns.rcode.NOERROR
        except (OSError, EOFError, dns.exception.DNSException):
            return False


def _binary_or_skip() -> Path:
    """Return the path of CoreDNS. Skips the test if it cannot be built here."""
    try:
        return coredns()
    except PartMissing as missing:
        pytest.skip(f"no CoreDNS: {missing}")


def _moved(corefile: str, host: str, port: int) -> str:
    """Return a configuration whose servers listen at another address and port than all addresses and port 53."""
    assert ":53 {" in corefile
    return corefile.replace(":53 {", f":{port} {{\n    bind {host}")


def _read(message: dns.message.Message) -> Answer:
    return Answer(
        dns.rcode.to_text(message.rcode()),
        tuple(each.to_text() for each in message.answer),
        frozenset(each.to_text() for each in message.additional),
    )
