"""A host and a port, written ``HOST:PORT``."""

from __future__ import annotations

from typing import NamedTuple, Self


class HostPort(NamedTuple):
    """A place to listen at or to connect to. ``host`` is a name or an IP address, an IPv6 one without brackets."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, default_port: str = "") -> Self:
        """Read ``HOST:PORT``, an IPv6 address in brackets. ``default_port`` counts where the text has no port. The host
        may be empty. Raises ValueError with a message for the operator."""
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
        """The host as it stands in a URL: an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return f"{self.url_host}:{self.port}"
