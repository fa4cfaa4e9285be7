"""Signs that only one end of a connection uses TLS, in the messages of the client libraries."""

from __future__ import annotations

#: What is said if a request without TLS reaches a server with TLS: by servers in Go, by nginx, and where the server
#: answers with an alert of TLS.
_SERVER_HAS_TLS = (
    "http request to an https server",
    "plain http request was sent to https port",
    r"\x15\x03",
)

#: What OpenSSL says if a server answers in plain HTTP.
_SERVER_HAS_NO_TLS = (
    "wrong version number",
    "wrong_version_number",
    "record layer failure",
    "record_layer_failure",
    "packet length too long",
    "packet_length_too_long",
    "unknown protocol",
    "http request]",
)

#: What is said if the server closes the connection, as etcd does in both cases.
_CLOSED = (
    "closed connection without response",
    "connection reset by peer",
    "broken pipe",
    "unexpected_eof_while_reading",
    "eof occurred in violation of protocol",
)


def shows_tls(problem: str) -> bool:
    """Return whether a request without TLS failed because the server uses TLS."""
    return any(sign in problem.lower() for sign in _SERVER_HAS_TLS)


def shows_no_tls(problem: str) -> bool:
    """Return whether a request over TLS failed because the server does not use TLS."""
    return any(sign in problem.lower() for sign in _SERVER_HAS_NO_TLS)


def was_closed(problem: str) -> bool:
    """Return whether a request failed because the server closed the connection. It may do so because only one end uses
    TLS, or for any other reason."""
    return any(sign in problem.lower() for sign in _CLOSED)
