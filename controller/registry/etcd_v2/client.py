"""The client of etcd's v2 API, and the only module that imports python-etcd.

python-etcd is used for a single request to a single member. It could reconnect and retry by itself, but that is
switched off, because ``controller.registry.failover`` chooses the member and retries.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from http.client import BadStatusLine, HTTPException, RemoteDisconnected
from typing import Any
from urllib.parse import quote

import etcd
import urllib3
from attrs import frozen

from controller.effects.clock import Deadline
from controller.effects.connections import bounded_manager, for_urllib3
from controller.effects.names import MACHINE, Names
from controller.errors import one_line, plain
from controller.registry.credentials import Credentials, CurrentCredentials
from controller.registry.failover import EndpointFailover, NoUsableAnswer, OnRequest, not_counted, time_limits
from controller.registry.members import SrvEndpoints, members_of
from controller.registry.strange_answer import StrangeAnswer, not_in_http
from model.host_port import HostPort
from model.record import ROOT
from model.stored import StorePosition

#: Makes the pool through which one member is reached; called with the TLS context, None without TLS.
EtcdV2Transport = Callable[[ssl.SSLContext | None], urllib3.PoolManager]

#: Connections that are kept to one member at most.
_POOL_SIZE = 10


class EtcdV2ErrorCode(IntEnum):
    """The codes of etcd's v2 API that this program tells apart: https://etcd.io/docs/v2.3/errorcode/"""

    #: There is no such key.
    KEY_NOT_FOUND = 100
    #: The key's value or index is not the one that the request asks for.
    TEST_FAILED = 101
    #: The key is a directory, and the request is for a key with a value.
    NOT_A_FILE = 102
    #: A part of the key's path is a key with a value, where the request needs a directory.
    NOT_A_DIRECTORY = 104
    #: The key exists, and the request asks for it to be absent.
    KEY_EXISTS = 105
    #: The user may not do this, or is none. etcd says so with the HTTP status 401 alone.
    UNAUTHORIZED = 110
    #: Raft could not carry the request out. This code and those above it, up to 499, speak of the member that answered,
    #: not of the request: for instance, that there is no leader, or that an election goes on.
    RAFT_INTERNAL = 300


#: What is said of an endpoint without the v2 API that does not tell which etcd it is.
NOT_SERVED = (
    "it does not serve the v2 API; start etcd with --enable-v2, use etcd3:// if it is etcd 3.6 or later, and give the "
    "endpoints of etcd itself if it is etcd's grpc-proxy"
)

#: What to use where etcd does not serve the v2 API.
_BY_V3 = "use etcd3://, or skydns3:// for skydns2:// (newer registrators mean the v3 API by etcd://)"

#: The first version of etcd that has no v2 API.
_NO_V2_SINCE = (3, 6)

#: What etcd says to a user that it does not know, where it gives no error code.
NO_USER = "Insufficient credentials"

#: What is said of an answer of etcd that has lost etcd's headers.
NO_INDEX = (
    "its answer lacks the header X-Etcd-Index; have the proxy or load balancer before etcd let etcd's headers through, "
    "or give the endpoints of etcd itself"
)


@frozen
class EtcdV2Error(Exception):
    """etcd understood the request and refused it. Every member of the cluster would do the same."""

    #: etcd's error code, one of EtcdV2ErrorCode or another one below 300.
    code: int
    #: etcd's message and cause, for the operator.
    detail: str
    #: How far the store had come.
    store_position: StorePosition

    def __str__(self) -> str:
        return self.detail


@frozen
class EtcdV2Response:
    """What etcd answered to a request that it carried out."""

    #: The node that the request was about, as etcd's JSON has it.
    node: Mapping[str, Any]
    #: How far the store had come.
    store_position: StorePosition


def pool_manager(context: ssl.SSLContext | None, names: Names = MACHINE) -> urllib3.PoolManager:
    """Return a pool that opens sockets to the addresses that ``names`` remembers. It makes no retries, and with a TLS
    context it verifies by that context alone: python-etcd's own TLS settings leave some things unverified."""
    tls: dict[str, Any] = {"ssl_context": context} if context else {}
    return bounded_manager(names, maxsize=_POOL_SIZE, **tls)


class _EtcdClient(etcd.Client):  # type: ignore[misc] # python-etcd has no types
    """python-etcd's client of one member, which keeps the last answer: python-etcd's errors do not have all of it."""

    #: The last answer; None if the last request had none.
    answer: urllib3.BaseHTTPResponse | None = None

    def _handle_server_response(self, response: urllib3.BaseHTTPResponse) -> Any:
        self.answer = response
        return super()._handle_server_response(response)


class EtcdV2Client:
    """A client of the v2 API of one etcd cluster. ``requests`` counts the requests."""

    def __init__(
        self,
        endpoints: Sequence[tuple[str, int]] | SrvEndpoints,
        on_request: OnRequest = not_counted,
        credentials: Credentials = Credentials(),
        transport: EtcdV2Transport = pool_manager,
    ) -> None:
        """``endpoints`` are the hosts and ports of the cluster's members, or where they are looked up; ``on_request``
        is called after each request to a member. Raises Stop for credentials that cannot be used."""
        current = CurrentCredentials(credentials)
        members = members_of(endpoints, lambda endpoint: _Member(endpoint, current, transport))
        self._failover = EndpointFailover(members, on_request)
        self.requests = 0

    def request(self, method: str, key: str, params: Mapping[str, str], deadline: Deadline) -> EtcdV2Response:
        """Send a request about ``key`` and return the response. Raises EtcdV2Error when etcd refuses it, and
        RegistryUnavailable when no member gave a usable answer before the deadline."""
        self.requests += 1
        return self._failover.ask(
            lambda member, until: member.request(method, key, params, until), deadline, writes=method != "GET"
        )


def _for_header(text: str) -> str | None:
    """Return a user name or password as it goes into a header, None for an empty one: etcd reads it as UTF-8, and
    urllib3 writes headers in Latin-1."""
    return text.encode().decode("latin-1") or None


class _Member:
    """One member of the cluster. It is connected to when it is first asked."""

    def __init__(self, endpoint: HostPort, credentials: CurrentCredentials, transport: EtcdV2Transport) -> None:
        self._credentials, self._transport = credentials, transport
        self._context = credentials.context()
        self._client = _EtcdClient(
            host=endpoint.url_host,
            port=endpoint.port,
            protocol="https" if self._context else "http",
            allow_reconnect=False,
            allow_redirect=False,
        )
        self._client.http = transport(self._context)

    @property
    def url(self) -> str:
        """See Member."""
        return str(self._client.base_uri)

    @property
    def cluster(self) -> str:
        """See Member."""
        return self._client.expected_cluster_id or ""

    def identify(self, deadline: Deadline) -> None:
        """See Member. Every answer carries the cluster id, also a refusal."""
        with suppress(EtcdV2Error):
            self.request("GET", ROOT, {}, deadline)

    def close(self) -> None:
        """See Member."""
        self._client.http.clear()

    def _use_current_credentials(self) -> None:
        """Send the user and the current password from now on. If the TLS context has changed, close the connections
        under the old one."""
        self._client.username = _for_header(self._credentials.user)
        self._client.password = _for_header(self._credentials.password())
        context = self._credentials.context()
        if context is not self._context:
            self._client.http.clear()
            self._context, self._client.http = context, self._transport(context)

    def request(self, method: str, key: str, params: Mapping[str, str], deadline: Deadline) -> EtcdV2Response:
        """See EtcdV2Client; raises NoUsableAnswer instead of RegistryUnavailable."""
        self._use_current_credentials()
        # EndpointFailover decides whether the cluster id may change. python-etcd would raise an error at the first
        # change only.
        self._client.expected_cluster_id = self._client.answer = None
        try:
            # python-etcd does not encode keys: etcd would cut one with a question mark at that place.
            path = f"/v2/keys{quote(key, safe='/:')}"
            limits = for_urllib3(time_limits(deadline))
            response = self._client.api_execute(path, method, dict(params), timeout=limits)
            node = json.loads(response.data)["node"]
            if "X-Etcd-Index" not in response.headers:
                raise NoUsableAnswer(NO_INDEX)
            return EtcdV2Response(node, StorePosition(self.cluster, int(response.headers["X-Etcd-Index"])))
        except etcd.EtcdConnectionFailed as error:
            raise NoUsableAnswer(_connection_problem(error)) from error
        except etcd.EtcdException as error:
            raise self._translated(error, deadline) from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise NoUsableAnswer(self._strange_answer() or one_line(error)) from error
        except (urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
            raise NoUsableAnswer(one_line(error)) from error

    def _translated(self, error: etcd.EtcdException, deadline: Deadline) -> Exception:
        """Return EtcdV2Error where etcd refused the request, as every member would: its code is below 300. Return
        NoUsableAnswer for a member in trouble (300 to 499: Raft, no leader) and for what does not come from etcd."""
        payload = getattr(error, "payload", None) or {}
        code = self._code_in(payload)
        if code is None:
            served = "404 page not found" not in str(error)
            return NoUsableAnswer(self._strange_answer() if served else _not_served(self._version(deadline)))
        if code >= EtcdV2ErrorCode.RAFT_INTERNAL:
            return NoUsableAnswer(one_line(error))
        said = plain(": ".join(str(payload[part]) for part in ("message", "cause") if part in payload))
        position = StorePosition(self.cluster, _whole(payload.get("index")))
        return EtcdV2Error(code, f"{said} (etcd error {int(code)})", position)

    @staticmethod
    def _code_in(payload: Mapping[str, Any]) -> int | None:
        """Return etcd's error code in the document of an answer; None if it does not come from etcd. The documents of
        other services may have codes, too, but etcd's have a cause and an index besides. Some refusals of a user have
        none of these."""
        code = payload.get("errorCode")
        if isinstance(code, int) and {"cause", "index"} & set(payload):
            return code
        return EtcdV2ErrorCode.UNAUTHORIZED if payload.get("message") == NO_USER else None

    def _version(self, deadline: Deadline) -> str:
        """Return the version that the member says it is; empty if it does not say so by the deadline."""
        limits = for_urllib3(time_limits(deadline))
        try:
            answer = self._client.http.request("GET", f"{self.url}/version", timeout=limits, redirect=False)
            return str(json.loads(answer.data)["etcdserver"])
        except (ValueError, KeyError, TypeError, RecursionError, urllib3.exceptions.HTTPError, HTTPException, OSError):
            return ""

    def _strange_answer(self) -> str:
        """Return what is said of the last answer, which is none of etcd's; empty if the last request had none."""
        answer = self._client.answer
        if answer is None:
            return ""
        return str(StrangeAnswer(answer.status, answer.headers, answer.data.decode(errors="replace")))


def _not_served(version: str) -> str:
    """Return what is said of an etcd of this version that does not serve the v2 API. ``version`` may be any text."""
    numbers = re.fullmatch(r"(\d{1,4})\.(\d{1,4})\.[\w.+-]{1,40}", version, re.ASCII)
    if numbers is None:
        return NOT_SERVED
    if (int(numbers[1]), int(numbers[2])) >= _NO_V2_SINCE:
        return f"it is {version}, and etcd has no v2 API since 3.6; {_BY_V3}"
    return f"it is etcd {version}, and its v2 API is off; start it with --enable-v2, or {_BY_V3}"


def _whole(number: object) -> int:
    """Return a number of an answer; 0 for what is none."""
    return number if isinstance(number, int) else 0


def _connection_problem(error: etcd.EtcdConnectionFailed) -> str:
    """Return in a few words why there was no answer."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, urllib3.exceptions.MaxRetryError):
        cause = cause.reason
    # urllib3's error of a refused connection is also a TimeoutError, so it has to be looked for first.
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        return f"cannot connect: {one_line(cause).rpartition(': ')[2]}"
    if isinstance(cause, urllib3.exceptions.TimeoutError):
        return "no answer in time"
    match cause:
        case urllib3.exceptions.ProtocolError(args=(_, BadStatusLine() as line)) if not isinstance(
            line, RemoteDisconnected
        ):
            return not_in_http(line)
    return one_line(cause or error)
