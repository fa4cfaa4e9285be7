"""Listen for clients, and answer each connection once, whatever the clients do.

A client may connect and send nothing, send its request byte by byte, go on sending, or not read its answer. So there
are limits: how many connections are open, and how long each of them may take as a whole. If the limit of connections is
reached, each new connection takes the place of the oldest one. So a client that sends its request at once gets its
answer, however many others wait.

One thread does all of it, because nothing that computes an answer waits. docs/architecture.md says why no library does.
"""

from __future__ import annotations

import errno
import selectors
import socket
from collections.abc import Callable, Sequence

from attrs import frozen

from controller.effects.clock import Clock, Deadline

#: Makes an answer that takes some milliseconds. It is called when no other client waits.
Later = Callable[[], bytes]

#: Returns the answer to what a client has sent until now, or None if that is no whole request yet.
Answering = Callable[[bytes], bytes | Later | None]

#: The most bytes that are received at once.
_PIECE = 16 * 1024

#: Seconds without new connections if the system has no descriptor or no memory for another one.
_PAUSE = 1.0

#: Seconds between two reports of trouble, so that clients cannot fill the log.
_QUIET = 60.0

#: The errors of accept() that mean that the process or the system has no room for another connection.
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@frozen
class Limits:
    """What clients may use."""

    #: Connections that are open at the same time.
    connections: int = 100
    #: Seconds from the start of a connection until the client must have sent its request and received the answer.
    seconds: float = 10.0
    #: Seconds in which the client may close its connection after the answer. What it sends meanwhile is dropped. If the
    #: connection were closed at once, a client that still sends would lose the answer.
    lingering: float = 2.0


class _Connection:
    """A connection to one client."""

    def __init__(self, sock: socket.socket, ends: Deadline) -> None:
        self.sock = sock
        #: When it is closed at the latest.
        self.ends = ends
        #: Makes the answer, if that is still to be done.
        self.later: Later | None = None
        self._received = b""
        self._unsent = memoryview(b"")
        self._answered = False

    @property
    def waits_for(self) -> int:
        """What the connection waits for: that the client sends, or that it receives."""
        return selectors.EVENT_WRITE if self._unsent else selectors.EVENT_READ

    def go_on(self, answer: Answering, lingering: Deadline) -> bool:
        """Receive or send what is possible without waiting. Return False if the connection is at its end. Once the
        answer is sent, the connection ends at ``lingering``."""
        try:
            if not self._unsent and not self._receive(answer):
                return False
            if self._unsent and self._send():
                self.ends = min(self.ends, lingering, key=lambda each: each.at)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def _receive(self, answer: Answering) -> bool:
        """Receive the next bytes, and prepare the answer if they end the request. Return False if the client has sent
        everything, or is gone. What follows the request is dropped."""
        data = self.sock.recv(_PIECE)
        if not self._answered:
            self._received += data
            if found := answer(self._received):
                self._received, self._answered = b"", True
                if isinstance(found, bytes):
                    self._unsent = memoryview(found)
                else:
                    self.later = found
        return bool(data)

    def make_answer(self) -> None:
        """Make the answer that was put off."""
        if self.later:
            self._unsent, self.later = memoryview(self.later()), None

    def _send(self) -> bool:
        """Send the next bytes of the answer. Return whether they were the last ones."""
        self._unsent = self._unsent[self.sock.send(self._unsent) :]
        if self._unsent:
            return False
        self.sock.shutdown(socket.SHUT_WR)
        return True


class Listener:
    """Accepts connections and answers each of them once."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        answer: Answering,
        clock: Clock,
        report: Callable[[str], None] = lambda trouble: None,
        limits: Limits = Limits(),
    ) -> None:
        """``sockets`` are listening. ``report`` is told in a few words when connections cannot be served as usual."""
        self._sockets, self._answer, self._clock, self._report, self._limits = sockets, answer, clock, report, limits
        self._selector = selectors.DefaultSelector()
        #: The open connections, the oldest first.
        self._connections: dict[_Connection, None] = {}
        self._pause: Deadline | None = None
        self._quiet = Deadline.after(0, clock)
        for sock in sockets:
            sock.setblocking(False)
        self._begin_to_accept()

    def run(self) -> None:
        """Serve until the program ends. No client can end this; an error that does is a mistake of this program."""
        while True:
            self.turn(self._patience())

    def close(self) -> None:
        """Close all sockets. The program itself leaves that to its end."""
        for connection in [*self._connections]:
            self._close(connection)
        for sock in self._sockets:
            sock.close()
        self._selector.close()

    def turn(self, patience: float | None = None) -> None:
        """Wait for clients, for ``patience`` seconds at most, and do what is to be done for them."""
        ready = [key.data for key, _ in self._selector.select(patience)]
        for connection in ready:
            if isinstance(connection, _Connection):
                self._go_on(connection)
        for listening in ready:  # These come last, because a new connection may take the place of one that is ready.
            if isinstance(listening, socket.socket) and not self._pause:
                self._accept_all(listening)
        for connection in [each for each in self._connections if each.ends.passed]:
            self._close(connection)
        if connection := self._next_later():
            connection.make_answer()
            self._selector.register(connection.sock, connection.waits_for, connection)
            self._go_on(connection)
        if self._pause and self._pause.passed:
            self._pause = None
            self._begin_to_accept()

    def _patience(self) -> float | None:
        """Return the seconds until there is something to do even if no client does anything; None: there is nothing."""
        if self._next_later():
            return 0
        moments = [each.ends.left for each in self._connections]
        return min([*moments, self._pause.left] if self._pause else moments, default=None)

    def _next_later(self) -> _Connection | None:
        """Return the oldest connection whose answer was put off."""
        return next((each for each in self._connections if each.later), None)

    def _accept_all(self, listening: socket.socket) -> None:
        """Accept the connections that wait, but not more than may be open, because the others are to be served, too."""
        for _ in range(self._limits.connections):
            try:
                sock, _address = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM and not self._make_room():
                    return
            else:
                self._go_on(self._add(sock))  # Its request has often arrived by now.

    def _add(self, sock: socket.socket) -> _Connection:
        if len(self._connections) >= self._limits.connections:
            self._tell("all connections are in use, so the oldest one is closed for each new one")
            self._close(next(iter(self._connections)))
        sock.setblocking(False)
        connection = _Connection(sock, Deadline.after(self._limits.seconds, self._clock))
        self._connections[connection] = None
        self._selector.register(sock, connection.waits_for, connection)
        return connection

    def _make_room(self) -> bool:
        """Close the oldest connection. If there is none, stop accepting for a moment. Return whether there was one."""
        self._tell("the process may open no more files, so connections have to give way or wait")
        if self._connections:
            self._close(next(iter(self._connections)))
            return True
        self._pause = Deadline.after(_PAUSE, self._clock)
        for sock in self._sockets:
            self._selector.unregister(sock)
        return False

    def _begin_to_accept(self) -> None:
        for sock in self._sockets:
            self._selector.register(sock, selectors.EVENT_READ, sock)

    def _go_on(self, connection: _Connection) -> None:
        if not connection.go_on(self._answer, Deadline.after(self._limits.lingering, self._clock)):
            self._close(connection)
        elif connection.later:  # It waits for this program, and not for the client.
            self._selector.unregister(connection.sock)
        else:
            self._selector.modify(connection.sock, connection.waits_for, connection)

    def _close(self, connection: _Connection) -> None:
        del self._connections[connection]
        if connection.sock in self._selector.get_map():
            self._selector.unregister(connection.sock)
        connection.sock.close()

    def _tell(self, trouble: str) -> None:
        if self._quiet.passed:
            self._quiet = Deadline.after(_QUIET, self._clock)
            self._report(trouble)
