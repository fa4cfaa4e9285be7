"""A name server on a loopback port of its own, over UDP and TCP. It has SRV records, and a test changes them."""

from __future__ import annotations

import socketserver
import threading
from types import TracebackType
from typing import Any, Self

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

#: The most bytes of an answer over UDP. A longer one is cut, and the client asks again over TCP.
UDP_LIMIT = 512


class DnsServer:
    """Answers questions while it is entered. ``records`` has the texts of the SRV records of each name, such as
    ``0 10 2379 etcd-1.test.``; a name that is not there does not exist. ``dead`` makes it answer nothing, and
    ``refusing`` makes it refuse each question. ``asked`` counts the questions."""

    def __init__(self, **records: tuple[str, ...]) -> None:
        self.records: dict[str, tuple[str, ...]] = dict(records)
        self.dead = self.refusing = False
        self.asked = self.asked_by_tcp = 0
        self._servers = self._bound()
        where: Any = self._servers[0].server_address
        self.address, self.port = str(where[0]), int(where[1])

    def _bound(self) -> tuple[socketserver.BaseServer, ...]:
        """Return servers for TCP and UDP at the same port."""
        server = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                wire, sock = self.request
                if answer := server.answer(wire, UDP_LIMIT):
                    sock.sendto(answer, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                server.asked_by_tcp += 1
                length = int.from_bytes(self.rfile.read(2), "big")
                if answer := server.answer(self.rfile.read(length)):
                    self.wfile.write(len(answer).to_bytes(2, "big") + answer)

        tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tcp)
        tcp.daemon_threads = True
        return tcp, socketserver.UDPServer(("127.0.0.1", tcp.server_address[1]), Udp)

    def answer(self, wire: bytes, most: int = 65535) -> bytes:
        """Return the answer to a question, of at most so many bytes; nothing while it is dead."""
        self.asked += 1
        if self.dead:
            return b""
        question = dns.message.from_wire(wire)
        answer = dns.message.make_response(question)
        name = question.question[0].name
        records = self.records.get(name.to_text(omit_final_dot=True))
        if self.refusing:
            answer.set_rcode(dns.rcode.REFUSED)
        elif records is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif records:
            answer.answer.append(dns.rrset.from_text(name, 30, "IN", "SRV", *records))
        try:
            return answer.to_wire(max_size=most)
        except dns.exception.TooBig:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
            return answer.to_wire()

    def __enter__(self) -> Self:
        for each in self._servers:
            threading.Thread(target=each.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each in self._servers:
            each.shutdown()
            each.server_close()
