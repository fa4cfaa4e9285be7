"""HTTP connections that keep to the time limits of a request, whatever the other end does.

urllib3 takes its read time-out for the time between two pieces of an answer, so that an answer which comes byte by byte
never ends. With the pools of this module, a request has a limit as a whole: for connecting, the TLS handshake, sending,
and every byte of headers and body. It is the ``total`` of its ``urllib3.Timeout``, or the read time-out where no total
is given. Below it, the read time-out stays the longest silence.

Connections are made to the addresses that ``Names`` remembers of a host. The name itself goes into the Host header, and
is what a certificate has to be valid for.
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
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from controller.effects.clock import Clock, Deadline
from controller.effects.names import MACHINE, Names
from controller.effects.network import connect

#: The time limits of one request, in seconds.
TimeLimits = urllib3.Timeout

#: Bytes that are sent between two looks at the clock.
_PIECE = 16 * 1024


def bounded_manager(names: Names, **options: Any) -> urllib3.PoolManager:
    """Return a pool manager of urllib3 whose requests keep to their time limits. It makes no retries."""
    manager = urllib3.PoolManager(retries=urllib3.Retry(0), **options)
    _bound(manager, names)
    return manager


class BoundedAdapter(HTTPAdapter):
    """An adapter of requests whose requests keep to their time limits. It makes no retries."""

    def __init__(self, names: Names) -> None:
        self._names = names
        super().__init__()

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """Give urllib3 the pools of this module."""
        super().init_poolmanager(*args, **more)
        _bound(self.poolmanager, self._names)


def _bound(manager: urllib3.PoolManager, names: Names) -> None:
    """Make a pool manager use the pools of this module."""
    pools: Any = {"http": partial(_Pool, names), "https": partial(_TlsPool, names)}
    manager.pool_classes_by_scheme = pools


class _RequestTime:
    """What is left of the time of the request that a pool makes. A pool makes one request at a time, as each belongs to
    one client, and a client to one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._silence = self._connecting = 0.0
        self._whole = Deadline.after(0, clock)

    def begin(self, timeout: urllib3.Timeout) -> None:
        """A request begins, with these limits."""
        silence, total, connecting = timeout.read_timeout, timeout.total, timeout.connect_timeout
        assert isinstance(silence, (int, float))
        self._silence = silence
        self._connecting = connecting if isinstance(connecting, (int, float)) else silence
        self._whole = Deadline.after(total if isinstance(total, (int, float)) else silence, self._clock)

    @property
    def left(self) -> float:
        """The seconds that are left of the request."""
        return self._whole.left

    def to_connect(self, addresses: int = 1) -> float:
        """Return the seconds that connecting to the next one of so many addresses may take, or a TLS handshake. Raises
        TimeoutError."""
        return _some(min(self._connecting, self._whole.left / addresses))

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

    def __init__(self, names: Names, time: _RequestTime, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._names, self._time = names, time
        self.response_class = partial(_Response, time)  # type: ignore[assignment] # called as the class is

    def _new_conn(self) -> socket.socket:
        """Connect, with the errors of urllib3. A TLS handshake that follows gets the socket's own time-out."""
        try:
            return self._connected()
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"Connection to {self.host} timed out.") from error
        except OSError as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error

    def _connected(self) -> socket.socket:
        """Connect to the first address that accepts a connection. Raises OSError."""
        addresses = self._names.addresses(self._dns_host, self.port, self._time.left)
        problem = OSError("it has no address")
        for number, (family, address) in enumerate(addresses):
            try:
                return connect(family, address, self._time.to_connect(len(addresses) - number))
            except OSError as error:
                problem = error
        self._names.doubt(self._dns_host, self.port)
        raise problem

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

    def __init__(self, names: Names, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._time = _RequestTime(Clock())
        self.ConnectionCls = partial(self.ConnectionCls, names, self._time)

    def urlopen(self, method: str, url: str, *args: Any, **more: Any) -> Any:
        """Make a request; its time begins now."""
        self._time.begin(more["timeout"])
        return super().urlopen(method, url, *args, **more)


class _TlsPool(_Pool, urllib3.HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = _TlsConnection


class _UnixConnection(_Connection):
    """A connection to a Unix socket."""

    def __init__(self, names: Names, time: _RequestTime, path: str, *args: Any, **more: Any) -> None:
        super().__init__(names, time, *args, **more)
        self._path = path

    def _connected(self) -> socket.socket:
        return connect(socket.AF_UNIX, self._path, self._time.to_connect())


class _UnixPool(_Pool):
    """Connections to one Unix socket."""

    ConnectionCls: Any = _UnixConnection

    def __init__(self, path: str) -> None:
        super().__init__(MACHINE, "localhost", retries=urllib3.Retry(0))
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
