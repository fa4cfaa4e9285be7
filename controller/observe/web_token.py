"""The token that the HTTP server asks for (--web-token-file)."""

from __future__ import annotations

from hmac import compare_digest

from controller import logs
from controller.effects.files import Renewed, UnusableFiles, token_in

#: The pages that are shown without the token: those that watch the agent, and show nothing of containers' metadata.
OPEN_PAGES = frozenset({"/healthz", "/readyz", "/metrics"})

#: What stands before the token in the header ``Authorization``. HTTP does not distinguish capital letters in it.
_SCHEME = "bearer"


class WebToken:
    """The token as its file holds it now."""

    def __init__(self, path: str) -> None:
        """``path`` is that of the file; empty: no token is asked for."""
        self._asked_for = bool(path)
        self._token = Renewed(lambda: token_in(path), [path], logs.report_renewal)

    def admits(self, path: str, authorization: str) -> bool:
        """Return whether the page at this path may be shown to whoever sent this header ``Authorization``, which is
        empty if none was sent. Nobody is admitted while no token can be read and none was read before."""
        if not self._asked_for or path in OPEN_PAGES:
            return True
        scheme, _, given = authorization.partition(" ")
        try:
            token = self._token.value()
        except UnusableFiles:
            return False
        # A server of WSGI hands over each byte of a header as one character.
        same = compare_digest(given.strip().encode("latin-1", "replace"), token.encode())
        return same and scheme.lower() == _SCHEME


#: The token of a server that asks for none.
NO_TOKEN = WebToken("")
