"""Files with certificates, keys, passwords and tokens. Whoever renews them replaces the files; the program reads them
again.

Looking whether a file has changed asks the file system alone, and takes microseconds. A file system that hangs, as NFS
may, holds up whoever looks, so these files belong on a local one.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from attrs import frozen

from controller.effects.tls import verifying_context
from controller.errors import reading_problem

T = TypeVar("T")

#: What tells one state of a file from another: device, inode, size in bytes, and in nanoseconds when the content and
#: when the file was changed. None for what is no regular file, and for what cannot be looked at.
_State = tuple[int, int, int, int, int] | None


#: Called when files have changed: with their paths, and with what is wrong with them; empty if they were read again.
Report = Callable[[Sequence[str], str], None]


class UnusableFiles(ValueError):
    """Files cannot be read, or do not hold what they should. The message is written for the operator."""


class UnusableFile(UnusableFiles):
    """One file cannot be read, or does not hold what it should."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path} {problem}")
        #: What is wrong, as the end of a sentence that begins with the file.
        self.problem = problem


class Renewed(Generic[T]):
    """A value that is made of files, and made again when one of them has changed. While the files cannot be used, the
    value that was made before stays: in the midst of a renewal, a key may be missing or belong to another certificate.

    Several threads may ask for the value. At worst, two of them make it at the same time.
    """

    def __init__(self, make: Callable[[], T], files: Sequence[str], report: Report) -> None:
        """``make`` makes the value, and raises UnusableFiles. ``report`` is called once when changed files cannot be
        used, however long that lasts, and each time that they were read again. Nothing is read yet."""
        self._make, self._report = make, report
        self._files = tuple(filter(None, files))
        #: The files as they were before the value was last made, or could not be made; None before that.
        self._states: tuple[_State, ...] | None = None
        self._outdated = False
        self._value: T

    def value(self) -> T:
        """Return the value. Raises UnusableFiles if it was never made, and cannot be."""
        states = tuple(map(_state, self._files))
        if self._states is None:
            self._value, self._states = self._make(), states
        elif states != self._states:
            self._states = states
            self._renew(readable=None not in states)
        return self._value

    def _renew(self, *, readable: bool) -> None:
        """Make the value again. If that fails, keep the one that was made before."""
        try:
            if not readable:
                # Opening what is no regular file might wait for ever, so it is not even tried.
                raise UnusableFiles("one of them is missing, or is no regular file")
            self._value = self._make()
        except UnusableFiles as error:
            if not self._outdated:
                self._report(self._files, str(error))
            self._outdated = True
        else:
            self._report(self._files, "")
            self._outdated = False


def _state(path: str) -> _State:
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@frozen
class TlsFiles:
    """The files by which two ends of a connection over TLS know each other."""

    #: Path of a PEM file with the only certificate authorities to trust; empty: the system's.
    ca: str = ""
    #: Path of a PEM file with the client certificate; empty: none is shown.
    cert: str = ""
    #: Path of a PEM file with the private key of ``cert``.
    key: str = ""
    #: Whether the server's certificate and name are verified.
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """Return the TLS context. Raises UnusableFiles when a file cannot be read or does not hold what it should."""
        for path in filter(_is_there, filter(None, (self.ca, self.cert, self.key))):
            check_readable(path)
        try:
            context = verifying_context(self.ca)
            if self.cert:
                # Without a password here, OpenSSL would ask the terminal for that of an encrypted key, and wait.
                context.load_cert_chain(self.cert, self.key, password="")
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(filter(None, (self.ca, self.cert, self.key)))
            raise UnusableFiles(f"the TLS files cannot be used ({files}): {error}") from error
        if not self.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def renewed(self, report: Report) -> Renewed[ssl.SSLContext]:
        """Return the TLS context, made again when a file has changed. See Renewed."""
        ca = self.ca or ssl.get_default_verify_paths().cafile or ""
        return Renewed(self.context, (ca, self.cert, self.key), report)


def _is_there(path: str) -> bool:
    """Return whether there is a file, as far as this process may see."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def check_readable(path: str) -> None:
    """Raise UnusableFile if this process may not read a file, or not enter its folders. OpenSSL would not say which of
    several files that is."""
    try:
        # Opening a FIFO might wait for ever.
        if not stat.S_ISFIFO(os.stat(path).st_mode):
            with open(path, "rb"):
                pass
    except OSError as error:
        raise UnusableFile(path, reading_problem(error)) from error


def password_in(path: str) -> str:
    """Return the password in the first line of a file, without the end of the line. Raises UnusableFile, also if there
    is none."""
    return _first_line(path, "password")


def token_in(path: str) -> str:
    """Return the token in the first line of a file, without the space around it. Raises UnusableFile, also if there is
    none, and for what is no regular file, because the file is read again and again."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise UnusableFile(path, "is no regular file")
    return _first_line(path, "token").strip()


def _first_line(path: str, what: str) -> str:
    """Return the first line of a file, which has to be ``what``, without the end of the line. Raises UnusableFile."""
    try:
        with open(path, encoding="utf-8") as file:
            line = file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableFile(path, reading_problem(error)) from error
    if not line.strip():
        raise UnusableFile(path, f"has nothing in its first line, which has to be the {what}")
    return line
