"""How the program and a registry are sure of each other."""

from __future__ import annotations

import ssl

from attrs import field, frozen

from controller.errors import Stop, one_line


@frozen
class Credentials:
    """``ca``, ``cert`` and ``key`` are paths of files in PEM; ``ca`` empty: the system's. ``user`` and ``password`` may
    be empty."""

    tls: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""
    user: str = ""
    password: str = field(default="", repr=False)

    def context(self) -> ssl.SSLContext | None:
        """The TLS context: the server's certificate and name are always verified. None without TLS. Raises Stop for
        files that are no certificates."""
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
