"""A host and a port, written ``HOST:PORT``."""

from __future__ import annotations

from typing import NamedTuple, Self


class HostPort(NamedTuple):
    """An address to listen at or to connect to."""

    #: A name or an IP address. An IPv6 address has no brackets.
    host: str
    #: From 1 to 65535.
    port: int

    @classmethod
    def parse(cls, text: str, default_port: str = "") -> Self:
        """Parse ``HOST:PORT``. An IPv6 address must be in brackets, and the host may be empty.

        ``default_port`` is used if the text has no port. Raises ValueError with a message for the operator.
        """
        host, colon, port = text.rpartition(":")
        if not colon or text.endswith("]"):
            host, port = text, default_port
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"the IPv6 address in {text!r} needs brackets, as in [::1]:2379")
        if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
            raise ValueError(f"{port!r} is not a port number")
        return cls(host, int(port))

    @property
    def url_host(self) -> str:
        """The host in the form for URLs, with brackets around an IPv6 address."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return f"{self.url_host}:{self.port}"
