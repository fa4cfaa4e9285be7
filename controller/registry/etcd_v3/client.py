"""The client of etcd's v3 API. It makes one call of etcd's JSON gateway at a time.

It has what a pass needs: several endpoints, time limits that end with the pass, users, and errors in words that an
operator can act on. docs/architecture.md says why no library is used.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from http import HTTPStatus
from http.client import BadStatusLine, RemoteDisconnected
from types import MappingProxyType
from typing import Any, TypeVar

from attrs import frozen

from controller.effects.clock import Clock, Deadline
from controller.effects.http_client import HTTP_ERRORS, HttpAnswer, HttpClient, KeptConnection, TcpRoute
from controller.effects.names import MACHINE, Names
from controller.errors import one_line, plain
from controller.registry.credentials import Credentials, CurrentCredentials
from controller.registry.etcd_v3.documents import Document, cluster_in, store_position_in
from controller.registry.failover import (
    EndpointFailover,
    MemberInTrouble,
    NoUsableAnswer,
    OnRequest,
    not_counted,
    time_limits,
)
from controller.registry.members import SrvEndpoints, members_of
from controller.registry.strange_answer import StrangeAnswer, not_in_http
from model.host_port import HostPort

#: Makes the client through which one member is reached; called with its endpoint, and with what returns the present TLS
#: context, None without TLS.
EtcdV3Transport = Callable[[HostPort, Callable[[], ssl.SSLContext | None]], HttpClient]

#: Where etcd serves the API, since 3.4.
_API_PATH = "/v3/"

#: The headers of each request.
_HEADERS: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json"})


class GrpcStatus(IntEnum):
    """The gRPC status codes that this program tells apart. With each of them but UNAVAILABLE, etcd may refuse a request
    that it has understood, as every member would.

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
    #: The etcd behind the gateway cannot be reached, or is in trouble.
    UNAVAILABLE = 14
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
_HINTS: Mapping[str, str] = MappingProxyType(
    {
        "database space exceeded": "etcd is full; compact and defragment it, then disarm the alarm: "
        "etcdctl alarm disarm",
        "user name is empty": "etcd asks for a user; give --etcd-user and its password",
        "invalid user ID or password": "see --etcd-user and its password",
    }
)

#: What the operator can do about a missing permission.
_GRANT = "grant the user's role readwrite on the prefix and on /_wharfinger"

#: What the operator can do if the gateway, which is a client of the etcd that it belongs to, does not reach it over
#: TLS. Its words for that change from version to version, and from request to request.
#: Source: https://github.com/etcd-io/etcd/issues/9785
_GATEWAY_NEEDS = (
    "its gateway does not reach etcd itself; with --client-cert-auth, etcd's own certificate has to be good for "
    "clients, too; or, since 3.5, give etcd a --client-cert-file and --client-key-file"
)

#: How etcd's own messages begin, unlike those of its gateway.
_ETCDS_OWN = "etcdserver: "

#: What etcd's message contains where signing in again may help: the request had no token, one that has expired, or one
#: from before a change of the users, for which etcd 3.4 and the first releases of 3.5 have the last wording.
_STALE_TOKEN = (
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
        return self.code == GrpcStatus.UNAUTHENTICATED or any(text in self.detail for text in _STALE_TOKEN)


def kept_connection(
    endpoint: HostPort, context: Callable[[], ssl.SSLContext | None], names: Names = MACHINE
) -> HttpClient:
    """Return a client that opens sockets to the addresses that ``names`` remembers. With a TLS context it verifies by
    that context alone."""
    return KeptConnection(TcpRoute(endpoint.host, endpoint.port, names, context), Clock())


class EtcdV3Client:
    """A client of the v3 API of one etcd cluster. ``requests`` counts the calls, and ``failures`` the requests to a
    member that got no usable answer."""

    def __init__(
        self,
        endpoints: Sequence[tuple[str, int]] | SrvEndpoints,
        on_request: OnRequest = not_counted,
        credentials: Credentials = Credentials(),
        transport: EtcdV3Transport = kept_connection,
    ) -> None:
        """``endpoints`` are the hosts and ports of the cluster's members, or where they are looked up; ``on_request``
        is called after each request to a member. Raises Stop for credentials that cannot be used."""
        current = CurrentCredentials(credentials)
        members = members_of(endpoints, lambda endpoint: _Member(endpoint, current, transport))
        self._on_request = on_request
        self._failover = EndpointFailover(members, self._count)
        self.requests = self.failures = 0

    def call(self, path: str, document: Document, read: Callable[[Any], T], deadline: Deadline) -> T:
        """Call the gateway and return what ``read`` makes of the answer.

        ``path`` is that of the gateway's call, such as ``kv/range``, and ``document`` its request. ``read`` is given
        the JSON of the answer. It need not check its shape: an answer that it stumbles over counts as no usable answer.
        Raises EtcdV3Error when etcd refuses the request, and RegistryUnavailable when no member gave a usable answer
        before the deadline.
        """
        self.requests += 1
        return self._failover.ask(
            lambda member, until: member.usable(read, member.call(path, document, until)),
            deadline,
            writes=path not in _READS,
        )

    def _count(self, url: str, usable: bool) -> None:
        self.failures += not usable
        self._on_request(url, usable)


class _Member:
    """One member of the cluster, which gives out tokens of its own where it asks for a user."""

    def __init__(self, endpoint: HostPort, credentials: CurrentCredentials, transport: EtcdV3Transport) -> None:
        """It is connected to when it is first asked.

        If the TLS context changes, the connection under the old one is closed. The token stays: it belongs to the user.
        If the user's password changes, etcd no longer knows the token, and the member signs in anew.
        """
        self._credentials = credentials
        self._http = transport(endpoint, credentials.context)
        self._headers = _HEADERS
        self._signed_in = not credentials.user
        #: The last answer; None if the last request had none.
        self._answer: HttpAnswer | None = None
        #: See Member.
        self.url = f"{'https' if credentials.context() else 'http'}://{endpoint}"
        self.cluster = ""

    def identify(self, deadline: Deadline) -> None:
        """See Member. etcd answers this call whoever makes it."""
        with suppress(EtcdV3Error):
            self.usable(store_position_in, self._post("maintenance/status", {}, deadline))

    def close(self) -> None:
        """See Member."""
        self._http.close()

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
        self._headers = _HEADERS
        user = {"name": self._credentials.user, "password": self._credentials.password()}
        try:
            answer = self._post("auth/authenticate", user, deadline)
            self._headers = {**_HEADERS, "Authorization": self.usable(lambda answer: str(answer["token"]), answer)}
        except EtcdV3Error as error:
            # etcd does not ask for users. Requests work without a token then; if it begins to ask, they fail as with a
            # stale token.
            if error.code != GrpcStatus.FAILED_PRECONDITION:
                raise
        self._signed_in = True

    def _post(self, path: str, document: Document, deadline: Deadline) -> Any:
        self.cluster, self._answer = "", None
        body = json.dumps(document).encode()
        try:
            answer = self._http.request("POST", f"{_API_PATH}{path}", time_limits(deadline), body, self._headers)
        except (*HTTP_ERRORS, ValueError) as error:  # What cannot be a header or a host name is a ValueError.
            raise NoUsableAnswer(_connection_problem(error)) from error
        self._answer = answer
        if answer.status != HTTPStatus.OK:
            raise self._translated(answer.body.decode(errors="replace"))
        try:
            content = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise NoUsableAnswer(self._strange_answer()) from error
        self.cluster = cluster_in(content)
        if not self.cluster:
            raise NoUsableAnswer(self._strange_answer())
        return content

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
        hint = self._hint(code, message)
        error = EtcdV3Error(code, f"{message} ({hint})" if hint else message)
        of_the_store = any(text in message for text in SAYS_OF_THE_STORE.get(code, ()))
        return error if of_the_store or error.stale_token else MemberInTrouble(one_line(ValueError(error.detail)))

    def _hint(self, code: int, message: str) -> str:
        """Return what the operator can do about a refusal; empty if there is nothing to say."""
        if code == GrpcStatus.PERMISSION_DENIED:
            return _GRANT
        if code == GrpcStatus.UNAVAILABLE and self.url.startswith("https:") and not message.startswith(_ETCDS_OWN):
            return _GATEWAY_NEEDS
        return next((hint for says, hint in _HINTS.items() if says in message), "")

    def _strange_answer(self) -> str:
        """Return what is said of the last answer, which is none of etcd's; empty if the last request had none."""
        answer = self._answer
        return str(StrangeAnswer(answer.status, answer.headers, answer.body.decode(errors="replace"))) if answer else ""


def _connection_problem(error: Exception) -> str:
    """Return in a few words why there was no answer."""
    if isinstance(error, BadStatusLine) and not isinstance(error, RemoteDisconnected):
        return not_in_http(error)
    return "no answer in time" if isinstance(error, TimeoutError) else one_line(error)
