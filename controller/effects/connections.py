"""HTTP connections that keep to the time limits of a request, whatever the other end does.

urllib3 takes its read time-out for the time between two pieces of an answer, so that an answer which comes byte by byte
never ends. With the pools of this module, a request has a limit as a whole: for connecting, the TLS handshake, sending,
and every byte of headers and body. It is the ``total`` of its ``urllib3.Timeout``, or the read time-out where no total
is given. Below it, the read time-out stays the longest silence.
"""

from __future__ import annotations

import io
import socket
from functools import partial
from http.client import HTTPResponse
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from controller.effects.clock import Clock, Deadline
from controller.effects.network import connect_unix

#: The time limits of one request, in seconds.
TimeLimits = urllib3.Timeout

#: Bytes that are sent between two looks at the clock.
_PIECE = 16 * 1024


def bounded_manager(**options: Any) -> urllib3.PoolManager:
    """Return a pool manager of urllib3 whose requests keep to their time limits. It makes no retries."""
    manager = urllib3.PoolManager(retries=urllib3.Retry(0), **options)
    _bound(manager)
    return manager


class BoundedAdapter(HTTPAdapter):
    """An adapter of requests whose requests keep to their time limits. It makes no retries."""

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """Give urllib3 the pools of this module."""
        super().init_poolmanager(*args, **more)
        _bound(self.poolmanager)


def _bound(manager: urllib3.PoolManager) -> None:
    """Make a pool manager use the pools of this module."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


class _RequestTime:
    """What is left of the time of the request that a pool makes. A pool makes one request at a time, as each belongs to
    one client, and a client to one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._silence = 0.0
        self._connecting = self._whole = Deadline.after(0, clock)

    def begin(self, timeout: urllib3.Timeout) -> None:
        """A request begins, with these limits."""
        silence, total, connect = timeout.read_timeout, timeout.total, timeout.connect_timeout
        assert isinstance(silence, (int, float))
        self._silence = silence
        self._whole = Deadline.after(total if isinstance(total, (int, float)) else silence, self._clock)
        self._connecting = Deadline.after(connect if isinstance(connect, (int, float)) else silence, self._clock)

    def to_connect(self) -> float:
        """Return the seconds that connecting and the TLS handshake may still take. Raises TimeoutError."""
        return _some(min(self._connecting.left, self._whole.left))

    def to_go_on(self) -> float:
        """Return the seconds that the next step of sending or receiving may take. Raises TimeoutError."""
        return _some(min(self._silence, self._whole.left))


def _some(seconds: float) -> float:
    """Return the seconds if there are any left. To a socket, 0 would mean not to wait at all."""
    if not seconds:
        raise TimeoutError("timed out")
    return seconds


class _Connection(HTTPConnection):
    """A connection that keeps to the time of its pool's request."""

    def __init__(self, time: _RequestTime, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._time = time
        self.response_class = partial(_Response, time)  # type: ignore[assignment] # called as the class is

    def _new_conn(self) -> socket.socket:
        """Connect. A TLS handshake that follows has to end within what is left for connecting."""
        self.timeout = self._time.to_connect()
        sock = super()._new_conn()
        sock.settimeout(self._time.to_connect())
        return sock

    def send(self, data: bytes) -> None:  # type: ignore[override] # this program sends nothing but bytes
        """Send data, piece by piece."""
        if self.sock is None:
            self.connect()
        for start in range(0, len(data), _PIECE):
            self.sock.settimeout(self._time.to_go_on())
            super().send(data[start : start + _PIECE])


class _TlsConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Response(HTTPResponse):
    """A response of http.client that arrives within the time of its request."""

    def __init__(self, time: _RequestTime, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp = io.BufferedReader(_Incoming(time, sock, self.fp.detach()))


class _Incoming(io.RawIOBase):
    """The bytes that come in through a socket."""

    def __init__(self, time: _RequestTime, sock: socket.socket, raw: io.RawIOBase) -> None:
        """``raw`` is the file that the socket was made into."""
        self._time, self._sock, self._raw = time, sock, raw

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what comes next. Raises TimeoutError."""
        self._sock.settimeout(self._time.to_go_on())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Close the socket's file, so that the socket can be closed."""
        self._raw.close()
        super().close()


class _Pool(urllib3.HTTPConnectionPool):
    """Connections to one host and port, each of which keeps to the time of the pool's request."""

    ConnectionCls: Any = _Connection

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._time = _RequestTime(Clock())
        self.ConnectionCls = partial(self.ConnectionCls, self._time)

    def urlopen(self, method: str, url: str, *args: Any, **more: Any) -> Any:
        """Make a request; its time begins now."""
        self._time.begin(more["timeout"])
        return super().urlopen(method, url, *args, **more)


class _TlsPool(_Pool, urllib3.HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = _TlsConnection


class _UnixConnection(_Connection):
    """A connection to a Unix socket, whose path stands for the host."""

    def __init__(self, time: _RequestTime, path: str, *args: Any, **more: Any) -> None:
        super().__init__(time, *args, **more)
        self._path = path

    def _new_conn(self) -> socket.socket:
        return connect_unix(self._path, self._time.to_connect())


class _UnixPool(_Pool):
    """Connections to one Unix socket."""

    ConnectionCls: Any = _UnixConnection

    def __init__(self, path: str) -> None:
        super().__init__("localhost", retries=urllib3.Retry(0))
        self.ConnectionCls = partial(self.ConnectionCls, path)


class UnixAdapter(HTTPAdapter):
    """An adapter of requests for one Unix socket, whose requests keep to their time limits."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._pool = _UnixPool(path)

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> urllib3.HTTPConnectionPool:
        """Return the connections to the socket."""
        return self._pool

    def request_url(self, request: Any, proxies: Any) -> str:
        """Return the path and query of a request: no proxy needs the whole URL."""
        return str(request.path_url)

    def close(self) -> None:
        """Close the connections."""
        super().close()
        self._pool.close()
