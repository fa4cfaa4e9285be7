"""HTTP connections that keep to the time limits of a request, whatever the other end does.

urllib3 applies its read time-out to the time between two pieces of an answer, so an answer that comes byte by byte may
never end. With the connection pools of this module, a request has one time limit as a whole: for connecting, the TLS
handshake, sending, and every byte of headers and body. The limit is the ``total`` of the request's ``urllib3.Timeout``,
or its read time-out where no total is given. Within that limit, the read time-out is the longest silence.

Connections are made to the addresses that ``Names`` remembers of a host. The Host header has the name itself, and a
certificate has to be valid for the name.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

import requests
import urllib3
from requests.adapters import DEFAULT_POOLSIZE, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from controller.effects.bounded_response import BoundedResponse
from controller.effects.clock import Clock
from controller.effects.names import Names
from controller.effects.network import connect
from controller.effects.request_time import RequestTime, TimeLimits

#: The most bytes that are sent before the time that is left is looked at again.
_PIECE = 16 * 1024


def for_urllib3(limits: TimeLimits) -> urllib3.Timeout:
    """Return the time limits of a request as urllib3 takes them."""
    return urllib3.Timeout(total=limits.total, connect=limits.connect, read=limits.read)


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


class TlsAdapter(BoundedAdapter):
    """An adapter for TLS that verifies servers by one TLS context alone. requests would add its own bundle of CAs."""

    def __init__(self, context: Callable[[], ssl.SSLContext], names: Names) -> None:
        """``context`` is called for each request. When it returns another context, the connections under the old one
        are closed."""
        self._current, self._context = context, context()
        super().__init__(names)

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """Give the context to urllib3."""
        super().init_poolmanager(*args, **more, ssl_context=self._context)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Add nothing: the context verifies the certificate and the name."""

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Return where the request goes, and nothing about TLS: the context has it all."""
        where, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return where, {}

    def send(self, *args: Any, **more: Any) -> requests.Response:
        """Send a request under the present context."""
        context = self._current()
        if context is not self._context:
            self.close()
            self._context = context
            self.init_poolmanager(DEFAULT_POOLSIZE, DEFAULT_POOLSIZE)
        return super().send(*args, **more)


def _bound(manager: urllib3.PoolManager, names: Names) -> None:
    """Make a pool manager use the pools of this module."""
    pools: Any = {"http": partial(_Pool, names), "https": partial(_TlsPool, names)}
    manager.pool_classes_by_scheme = pools


class _Connection(HTTPConnection):
    """A connection that keeps to the time of its pool's request."""

    def __init__(self, names: Names, time: RequestTime, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._names, self._time = names, time
        self.response_class = partial(BoundedResponse, time)  # type: ignore[assignment] # called as the class is

    def _new_conn(self) -> socket.socket:
        """Connect, and raise the errors of urllib3. A TLS handshake that follows keeps to the socket's time-out."""
        try:
            return self._connected()
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"Connection to {self.host} timed out.") from error
        except OSError as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error

    def _connected(self) -> socket.socket:
        """Connect to the first address that accepts a connection. Raises OSError if none does."""
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
    """A connection over TLS that keeps to the time of its pool's request."""


class _Pool(urllib3.HTTPConnectionPool):
    """Connections to one host and port, each of which keeps to the time of the pool's request."""

    ConnectionCls: Any = _Connection

    def __init__(self, names: Names, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._time = RequestTime(Clock())
        self.ConnectionCls = partial(self.ConnectionCls, names, self._time)

    def urlopen(self, method: str, url: str, *args: Any, **more: Any) -> Any:
        """Make a request, and start its time."""
        self._time.begin(_limits(more["timeout"]))
        return super().urlopen(method, url, *args, **more)


def _limits(timeout: urllib3.Timeout) -> TimeLimits:
    """Return the time limits of a request to which urllib3 was given this time-out."""
    silence, total, connecting = timeout.read_timeout, timeout.total, timeout.connect_timeout
    assert isinstance(silence, (int, float))
    return TimeLimits(
        total=total if isinstance(total, (int, float)) else silence,
        connect=connecting if isinstance(connecting, (int, float)) else silence,
        read=silence,
    )


class _TlsPool(_Pool, urllib3.HTTPSConnectionPool):
    """Connections over TLS to one host and port, each of which keeps to the time of the pool's request."""

    ConnectionCls = _TlsConnection
