"""How the program authenticates itself to a registry, and how it verifies the registry's servers."""

from __future__ import annotations

import ssl

from attrs import field, frozen

from controller.errors import Stop, one_line


@frozen
class Credentials:
    """The TLS files and the etcd user of one registry."""

    #: Whether connections use TLS.
    tls: bool = False
    #: Path of a PEM file with the only certificate authorities to trust; empty: the system's.
    ca: str = ""
    #: Path of a PEM file with the client certificate; empty: none is shown.
    cert: str = ""
    #: Path of a PEM file with the private key of ``cert``.
    key: str = ""
    #: The name of the etcd user; empty: no authentication by user.
    user: str = ""
    #: The password of ``user``. It is left out of ``repr``.
    password: str = field(default="", repr=False)

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context, which always verifies the server's certificate and name; None without TLS. Raises
        Stop when a file cannot be read or does not hold what it should."""
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.cert:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(filter(None, (self.ca, self.cert, self.key)))
            raise Stop(f"the TLS files cannot be used ({files}): {one_line(error)}") from error
        return context
