"""The door to etcd's v3 API, and to etcd3gw: one call of its JSON gateway at a time.

etcd3gw makes the request and reads the answer. What it leaves out is added here: several endpoints, time limits that
end with the pass, users, verification by the given CA alone, and errors in the operator's words.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import requests
from attrs import frozen
from etcd3gw import Etcd3Client
from etcd3gw.exceptions import ConnectionFailedError, ConnectionTimeoutError, Etcd3Exception
from requests.adapters import HTTPAdapter

from controller.clock import Deadline
from controller.errors import one_line
from controller.registry.credentials import Credentials
from controller.registry.failover import EndpointFailover, Unusable, timeouts

#: Where etcd serves the API, since 3.4.
API = "/v3/"

#: The gRPC status codes that say: etcd understood, and would say the same at every member.
#: https://grpc.io/docs/guides/status-codes/
INVALID, NOT_FOUND, DENIED, EXHAUSTED, PRECONDITION, OUT_OF_RANGE, UNAUTHENTICATED = 3, 5, 7, 8, 9, 11, 16
REFUSALS = frozenset({INVALID, NOT_FOUND, DENIED, EXHAUSTED, PRECONDITION, OUT_OF_RANGE, UNAUTHENTICATED})

#: What etcd says, and what that means for who runs it.
HINTS = {
    "database space exceeded": "etcd is full; compact and defragment it, then disarm the alarm: etcdctl alarm disarm",
    "permission denied": "grant the user's role readwrite on the prefix and on /_wharfinger",
    "user name is empty": "etcd asks for a user; give --etcd-user and its password",
    "invalid user ID or password": "see --etcd-user and its password",
    # The gateway is a client of the etcd that it belongs to: https://github.com/etcd-io/etcd/issues/9785
    "authentication handshake failed": "with --client-cert-auth, etcd's own certificate has to be good for clients, "
    "too; or give etcd a --client-cert-file and --client-key-file",
}

#: The answers to a request without a token, with one that has expired, and with one from before a change of the users,
#: which etcd 3.4 and the first of 3.5 word in the last way.
STALE_TOKEN = (
    "invalid auth token",
    "user name is empty",
    "revision of auth store is old",
    "revision in header is old",
)

#: The answers to more operations, or bytes, than etcd takes at once.
TOO_MUCH = ("too many operations", "too large", "larger than max")

Document = Mapping[str, Any]

T = TypeVar("T")


@frozen
class Refused(Exception):
    """etcd understood the request and said no."""

    code: int
    detail: str

    @property
    def full(self) -> bool:
        """Whether etcd takes no writes at all, its space being used up."""
        return "database space exceeded" in self.detail

    @property
    def divisible(self) -> bool:
        """Whether parts of what was asked for may be had: it was too much at once, or not all of it is permitted."""
        return self.code == DENIED or any(text in self.detail for text in TOO_MUCH)

    @property
    def stale_token(self) -> bool:
        """Whether signing in anew may help."""
        return any(text in self.detail for text in STALE_TOKEN)


class EtcdV3Client:
    """The members of one etcd cluster, asked in rotation. ``failures`` counts the requests without a usable answer."""

    def __init__(
        self,
        endpoints: Sequence[tuple[str, int]],
        on_error: Callable[[], None] = lambda: None,
        credentials: Credentials = Credentials(),
    ) -> None:
        """``endpoints`` are hosts and ports; ``on_error`` is called for each request that got no usable answer. Raises
        Stop for credentials that cannot be used."""
        context = credentials.context()
        members = [_Member(host, port, credentials, context) for host, port in endpoints]
        self._on_error = on_error
        self._rotation = EndpointFailover(members, self._failed)
        self.failures = 0

    def _failed(self) -> None:
        self.failures += 1
        self._on_error()

    def call(self, path: str, document: Document, read: Callable[[Any], T], deadline: Deadline) -> T:
        """The answer to one call: ``path`` is that of the gateway, as in ``kv/range``; ``read`` makes something of the
        JSON that came, and need not care whether it has the right shape. Raises Refused, or RegistryUnavailable when no
        endpoint gave a usable answer before the deadline."""
        return self._rotation.ask(lambda member: _understood(read, member.call(path, document, deadline)), deadline)


def _understood(read: Callable[[Any], T], answer: Any) -> T:
    try:
        return read(answer)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise Unusable(f"it does not answer as etcd does: {error!r}") from error


class _Member:
    """One member, with a session of its own: no proxy, no CA bundle and no password comes from the environment."""

    def __init__(self, host: str, port: int, credentials: Credentials, context: ssl.SSLContext | None) -> None:
        self._credentials = credentials
        self._signed_in = not credentials.user
        self._session = requests.Session()
        self._session.trust_env = False
        protocol = "http"
        if context:
            protocol = "https"
            self._session.mount("https://", _Verifying(context))
        self._client = Etcd3Client(host, port, protocol, api_path=API, session=self._session)

    @property
    def url(self) -> str:
        return self._client.base_url

    def call(self, path: str, document: Document, deadline: Deadline) -> Any:
        """Raises Refused or Unusable. A token that etcd does not know any more is asked for again, once: it forgets one
        that was not used for five minutes, and all of them when it restarts."""
        if not self._signed_in:
            self._sign_in(deadline)
        try:
            return self._post(path, document, deadline)
        except Refused as refused:
            if not (self._credentials.user and refused.stale_token):
                raise
        self._sign_in(deadline)
        return self._post(path, document, deadline)

    def _sign_in(self, deadline: Deadline) -> None:
        self._session.headers.pop("Authorization", None)
        user = {"name": self._credentials.user, "password": self._credentials.password}
        try:
            answer = self._post("auth/authenticate", user, deadline)
            self._session.headers["Authorization"] = _understood(lambda answer: str(answer["token"]), answer)
        except Refused as refused:
            # A user is no hindrance where etcd asks for none; it may begin to at any time.
            if refused.code != PRECONDITION:
                raise
        self._signed_in = True

    def _post(self, path: str, document: Document, deadline: Deadline) -> Any:
        self._client.timeout = timeouts(deadline)  # type: ignore[assignment] # requests gets it, and takes a pair, too
        try:
            return self._client.post(self._client.get_url(path), json=document, allow_redirects=False)
        except ConnectionTimeoutError as error:
            raise Unusable("no answer in time") from error
        except ConnectionFailedError as error:
            raise Unusable(_cause(error)) from error
        except Etcd3Exception as error:
            raise _translated(error.detail_text or str(error)) from error
        except (ValueError, RecursionError) as error:
            raise Unusable(f"it does not answer as etcd does: {one_line(error)}") from error
        except (requests.RequestException, OSError) as error:
            raise Unusable(one_line(error)) from error


class _Verifying(HTTPAdapter):
    """Verifies servers by one TLS context alone. requests would add its own bundle to the CAs of that context."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more, ssl_context=self._context)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing to add: the context verifies certificate and name."""


def _cause(error: BaseException) -> str:
    """Why there was no answer. The libraries wrap the socket's own error several times over; the innermost says it
    best. An answer with the status 503 comes this way, too."""
    text = getattr(error, "detail_text", None) or ""
    if text.startswith("{"):
        return str(_translated(text))
    while inner := error.__cause__ or error.__context__:
        error = inner
    return one_line(error)


def _translated(text: str) -> Exception:
    """What etcd's own error document says; anything else is no answer of etcd's."""
    try:
        document = json.loads(text)
        code, message = int(document["code"]), str(document.get("message") or document["error"])
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        if "not found" in text.lower():
            return Unusable("it does not serve the v3 API, as etcd does since 3.4 unless --enable-grpc-gateway=false")
        return Unusable(one_line(ValueError(text)))
    hint = next((hint for says, hint in HINTS.items() if says in message), "")
    refused = Refused(code, f"{message} ({hint})" if hint else message)
    overloaded = "too many requests" in message
    if overloaded or (code not in REFUSALS and not refused.stale_token):
        return Unusable(one_line(ValueError(refused.detail)))
    return refused
