"""The client of etcd's v3 API, and the only module of this room that imports etcd3gw and requests. It makes one call of
etcd's JSON gateway at a time.

etcd3gw makes the request and reads the answer. What it lacks is added here: several endpoints, time limits that end
with the pass, users, verification by the given CA alone, and errors in words that an operator can act on.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from http.client import BadStatusLine, RemoteDisconnected
from types import MappingProxyType
from typing import Any, TypeVar

import requests
from attrs import frozen
from etcd3gw import Etcd3Client
from etcd3gw.exceptions import ConnectionTimeoutError, Etcd3Exception
from requests.adapters import HTTPAdapter

from controller.effects.clock import Deadline
from controller.effects.connections import BoundedAdapter, TlsAdapter, for_urllib3
from controller.effects.names import MACHINE, Names
from controller.errors import one_line, plain
from controller.registry.credentials import Credentials, CurrentCredentials
from controller.registry.etcd_v3.documents import Document, cluster_in, store_position_in
from controller.registry.failover import EndpointFailover, NoUsableAnswer, time_limits
from controller.registry.strange_answer import StrangeAnswer, not_in_http
from model.host_port import HostPort

#: Makes the adapter through which one member is reached; called with the TLS context, None without TLS.
EtcdV3Transport = Callable[[ssl.SSLContext | None], HTTPAdapter]

#: Where etcd serves the API, since 3.4.
_API_PATH = "/v3/"


class GrpcStatus(IntEnum):
    """The gRPC status codes with which etcd may refuse a request that it has understood, as every member would.

    Source: https://grpc.io/docs/guides/status-codes/
    """

    #: The request is malformed or too large, or the name or the password of a user is wrong.
    INVALID_ARGUMENT = 3
    #: What the request is about does not exist, such as a lease.
    NOT_FOUND = 5
    #: The user's role does not permit it.
    PERMISSION_DENIED = 7
    #: etcd's space is used up, or the request is too large.
    RESOURCE_EXHAUSTED = 8
    #: etcd's state does not permit it: a lease to be granted exists, or somebody signs in where no user is asked for.
    FAILED_PRECONDITION = 9
    #: The revision that the request asks for was compacted, or is still to come.
    OUT_OF_RANGE = 11
    #: The token is not, or no longer, valid.
    UNAUTHENTICATED = 16


#: What is said of an endpoint without the v3 API.
NOT_SERVED = (
    "it does not serve the v3 API, as etcd does since 3.4 unless --enable-grpc-gateway=false; give the endpoints of "
    "etcd itself if it is etcd's grpc-proxy"
)

#: The answers of an etcd without the v3 API, and of its grpc-proxy.
_NOT_SERVED_TEXTS = ("404 page not found", "Not Found")

#: All status codes of gRPC. Other services have codes of their own in the same place, such as those of HTTP.
_GRPC_CODES = range(17)

#: The calls that read alone.
_READS = frozenset({"kv/range", "lease/timetolive"})

#: For each code, what etcd's message contains if it is about the store or the request, so that every member would
#: answer the same. Any other message is about the member that answered: for instance, it is a learner, has no leader,
#: or is being downgraded. Such a message may have one of these codes, too: a learner answers 14 before etcd 3.6, and 9
#: since.
#: Source: https://github.com/etcd-io/etcd/blob/main/api/v3rpc/rpctypes/error.go
SAYS_OF_THE_STORE: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        GrpcStatus.INVALID_ARGUMENT: ("",),
        GrpcStatus.NOT_FOUND: ("lease not found",),
        GrpcStatus.PERMISSION_DENIED: ("",),
        GrpcStatus.RESOURCE_EXHAUSTED: ("space exceeded", "larger than max"),
        GrpcStatus.FAILED_PRECONDITION: ("lease already exists", "authentication is not enabled"),
        GrpcStatus.OUT_OF_RANGE: ("",),
        GrpcStatus.UNAUTHENTICATED: ("",),
    }
)

#: What etcd's message contains, and what the operator can do about it.
HINTS = {
    "database space exceeded": "etcd is full; compact and defragment it, then disarm the alarm: etcdctl alarm disarm",
    "permission denied": "grant the user's role readwrite on the prefix and on /_wharfinger",
    "user name is empty": "etcd asks for a user; give --etcd-user and its password",
    "invalid user ID or password": "see --etcd-user and its password",
    # The gateway is a client of the etcd that it belongs to: https://github.com/etcd-io/etcd/issues/9785
    "authentication handshake failed": "with --client-cert-auth, etcd's own certificate has to be good for clients, "
    "too; or give etcd a --client-cert-file and --client-key-file",
}

#: What etcd's message contains where signing in again may help: the request had no token, one that has expired, or one
#: from before a change of the users, for which etcd 3.4 and the first releases of 3.5 have the last wording.
_STALE_TOKEN = (
    "invalid auth token",
    "user name is empty",
    "revision of auth store is old",
    "revision in header is old",
)

#: What etcd's message contains where the request had more operations, or more bytes, than etcd takes at once.
_TOO_MUCH = ("too many operations", "too large", "larger than max")

T = TypeVar("T")


@frozen
class EtcdV3Error(Exception):
    """etcd understood the request and refused it. Every member of the cluster would do the same."""

    #: The gRPC status code, usually one of GrpcStatus.
    code: int
    #: etcd's message, with a hint for the operator where there is one.
    detail: str

    def __str__(self) -> str:
        return self.detail

    @property
    def full(self) -> bool:
        """Whether etcd's space is used up, so that it takes no writes."""
        return "database space exceeded" in self.detail

    @property
    def divisible(self) -> bool:
        """Whether parts of the request may succeed: it was too much at once, or only some of it is not permitted."""
        return self.code == GrpcStatus.PERMISSION_DENIED or any(text in self.detail for text in _TOO_MUCH)

    @property
    def stale_token(self) -> bool:
        """Whether the request may succeed after signing in again."""
        return any(text in self.detail for text in _STALE_TOKEN)


def http_adapter(context: ssl.SSLContext | None, names: Names = MACHINE) -> HTTPAdapter:
    """Return an adapter of requests that opens sockets to the addresses that ``names`` remembers. With a TLS context it
    verifies by that context alone."""
    return TlsAdapter(lambda: context, names) if context else BoundedAdapter(names)


class EtcdV3Client:
    """A client of the v3 API of one etcd cluster. ``failures`` counts the requests to a member that got no usable
    answer."""

    def __init__(
        self,
        endpoints: Sequence[tuple[str, int]],
        on_error: Callable[[], None] = lambda: None,
        credentials: Credentials = Credentials(),
        transport: EtcdV3Transport = http_adapter,
    ) -> None:
        """``endpoints`` are the hosts and ports of the cluster's members; ``on_error`` is called for each request to a
        member that got no usable answer. Raises Stop for credentials that cannot be used."""
        current = CurrentCredentials(credentials)
        members = [_Member(HostPort(*each), current, transport) for each in endpoints]
        self._on_error = on_error
        self._failover = EndpointFailover(members, self._count_failure)
        self.failures = 0

    def call(self, path: str, document: Document, read: Callable[[Any], T], deadline: Deadline) -> T:
        """Call the gateway and return what ``read`` makes of the answer.

        ``path`` is that of the gateway's call, such as ``kv/range``, and ``document`` its request. ``read`` is given
        the JSON of the answer. It need not check its shape: an answer that it stumbles over counts as no usable answer.
        Raises EtcdV3Error when etcd refuses the request, and RegistryUnavailable when no member gave a usable answer
        before the deadline.
        """
        return self._failover.ask(
            lambda member, until: member.usable(read, member.call(path, document, until)),
            deadline,
            writes=path not in _READS,
        )

    def _count_failure(self) -> None:
        self.failures += 1
        self._on_error()


class _Member:
    """One member of the cluster, which gives out tokens of its own where it asks for a user."""

    def __init__(self, endpoint: HostPort, credentials: CurrentCredentials, transport: EtcdV3Transport) -> None:
        """It is connected to when it is first asked. Neither a proxy nor CAs nor a password are taken from the
        environment."""
        self._credentials, self._transport = credentials, transport
        self._context = credentials.context()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.hooks["response"] = [self._keep]
        self._connect()
        protocol = "https" if self._context else "http"
        self._client = Etcd3Client(*endpoint, protocol, api_path=_API_PATH, session=self._session)
        self._signed_in = not credentials.user
        #: The last answer; None if the last request had none.
        self._answer: requests.Response | None = None
        self.cluster = ""

    def _connect(self) -> None:
        adapter = self._transport(self._context)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def _use_current_credentials(self) -> None:
        """If the TLS context has changed, close the connections under the old one. The token stays: it belongs to the
        user. If the user's password changes, etcd no longer knows the token, and the member signs in anew."""
        context = self._credentials.context()
        if context is not self._context:
            self._session.close()
            self._context = context
            self._connect()

    @property
    def url(self) -> str:
        """See Member."""
        return self._client.base_url

    def identify(self, deadline: Deadline) -> None:
        """See Member. etcd answers this call whoever makes it."""
        with suppress(EtcdV3Error):
            self.usable(store_position_in, self._post("maintenance/status", {}, deadline))

    def call(self, path: str, document: Document, deadline: Deadline) -> Any:
        """Return the JSON of the answer to a call. Raises EtcdV3Error and NoUsableAnswer.

        Where etcd no longer knows the token, a new one is asked for, once. etcd forgets a token that was not used for
        five minutes, and all of them when it restarts. A member that does not know a token which it has just given out
        may lag behind the others, so the next one is asked.
        """
        if not self._signed_in:
            self._sign_in(deadline)
        try:
            return self._post(path, document, deadline)
        except EtcdV3Error as error:
            if not (self._credentials.user and error.stale_token):
                raise
        self._sign_in(deadline)
        try:
            return self._post(path, document, deadline)
        except EtcdV3Error as error:
            raise NoUsableAnswer(error.detail) if error.stale_token else error from error

    def usable(self, read: Callable[[Any], T], answer: Any) -> T:
        """Return what ``read`` makes of the last answer. Raises NoUsableAnswer if it does not have the shape for it."""
        try:
            return read(answer)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise NoUsableAnswer(self._strange_answer()) from error

    def _sign_in(self, deadline: Deadline) -> None:
        headers = self._session.headers
        headers.pop("Authorization", None)
        user = {"name": self._credentials.user, "password": self._credentials.password()}
        try:
            answer = self._post("auth/authenticate", user, deadline)
            headers["Authorization"] = self.usable(lambda answer: str(answer["token"]), answer)
        except EtcdV3Error as error:
            # etcd does not ask for users. Requests work without a token then; if it begins to ask, they fail as with a
            # stale token.
            if error.code != GrpcStatus.FAILED_PRECONDITION:
                raise
        self._signed_in = True

    def _post(self, path: str, document: Document, deadline: Deadline) -> Any:
        self._use_current_credentials()
        self.cluster, self._answer = "", None
        self._client.timeout = for_urllib3(time_limits(deadline))  # type: ignore[assignment] # requests gets it, and takes this, too
        try:
            answer = self._client.post(self._client.get_url(path), json=document, allow_redirects=False)
        except Etcd3Exception as error:
            # etcd3gw gives such an error arguments if there was an answer, with a status that says that it failed.
            problem = self._translated(error.detail_text or "") if error.args else None
            raise problem or NoUsableAnswer(_connection_problem(error)) from error
        except (ValueError, RecursionError) as error:
            raise NoUsableAnswer(self._strange_answer() or one_line(error)) from error
        except (requests.RequestException, OSError) as error:
            raise NoUsableAnswer(one_line(error)) from error
        self.cluster = cluster_in(answer)
        if not self.cluster:
            raise NoUsableAnswer(self._strange_answer())
        return answer

    def _keep(self, answer: requests.Response, **options: Any) -> None:
        """Keep an answer, because etcd3gw passes on its content alone. Set its encoding, because requests may take long
        to find out that of a page."""
        answer.encoding = "utf-8"
        self._answer = answer

    def _translated(self, text: str) -> Exception:
        """Return EtcdV3Error where etcd refused the request, as every member would. Return NoUsableAnswer for a member
        in trouble and for what does not come from etcd. ``text`` is the content of the last answer: a JSON document, if
        it comes from etcd."""
        try:
            document = json.loads(text)
            code, message = int(document["code"]), plain(str(document.get("message") or document["error"]))
            if code not in _GRPC_CODES:
                raise ValueError("it is no status of gRPC")
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
            return NoUsableAnswer(NOT_SERVED if text.strip() in _NOT_SERVED_TEXTS else self._strange_answer())
        hint = next((hint for says, hint in HINTS.items() if says in message), "")
        error = EtcdV3Error(code, f"{message} ({hint})" if hint else message)
        of_the_store = any(text in message for text in SAYS_OF_THE_STORE.get(code, ()))
        return error if of_the_store or error.stale_token else NoUsableAnswer(one_line(ValueError(error.detail)))

    def _strange_answer(self) -> str:
        """Return what is said of the last answer, which is none of etcd's; empty if the last request had none."""
        if self._answer is None:
            return ""
        return str(StrangeAnswer(self._answer.status_code, self._answer.headers, self._answer.text))


def _connection_problem(error: BaseException) -> str:
    """Return in a few words why there was no answer. The libraries wrap the socket's error several times over, and the
    innermost error says it best."""
    if isinstance(error, ConnectionTimeoutError):
        return "no answer in time"
    while inner := error.__cause__ or error.__context__:
        error = inner
    if isinstance(error, BadStatusLine) and not isinstance(error, RemoteDisconnected):
        return not_in_http(error)
    return "no answer in time" if isinstance(error, TimeoutError) else one_line(error)
