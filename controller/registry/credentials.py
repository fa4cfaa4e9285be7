"""How the program authenticates itself to a registry, and how it verifies the registry's servers."""

from __future__ import annotations

import os
import ssl

from attrs import field, frozen

from controller import logs
from controller.effects.files import Renewed, TlsFiles, UnusableFiles, password_in
from controller.errors import Stop


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
    #: The password of ``user`` at the program's start. It is left out of ``repr``.
    password: str = field(default="", repr=False)
    #: Path of the file whose first line is the password; empty: the password is from elsewhere and stays the same.
    password_file: str = ""


class CurrentCredentials:
    """The credentials of one registry as their files hold them now."""

    def __init__(self, credentials: Credentials) -> None:
        """Raises Stop for credentials that cannot be used."""
        self._credentials = credentials
        tls_files = TlsFiles(credentials.ca, credentials.cert, credentials.key)
        self._context = tls_files.renewed(logs.report_renewal)
        self._password = Renewed(self._read_password, [credentials.password_file], logs.report_renewal)
        try:
            self.context()
            self.password()
        except UnusableFiles as error:
            raise Stop(str(error)) from error

    @property
    def user(self) -> str:
        """The name of the etcd user; empty: no authentication by user."""
        return self._credentials.user

    def password(self) -> str:
        """Return the password of the user."""
        return self._password.value()

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context, which always verifies the server's certificate and name; None without TLS. It is
        another one after the files have changed."""
        return self._context.value() if self._credentials.tls else None

    def _read_password(self) -> str:
        """Return the password in the file. A pipe cannot be read twice, so what was read of it at the start counts."""
        path = self._credentials.password_file
        return password_in(path) if os.path.isfile(path) else self._credentials.password
