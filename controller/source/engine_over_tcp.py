"""An engine over TCP, and the only module that imports the docker SDK.

The SDK knows the forms of DOCKER_HOST. It finds out the version of the API, and asks for lists, networks and who the
engine is. Inspects, of which there are many, and events, which need a time limit of their own, go over this program's
own HTTP client, under the same TLS context. Loading the SDK takes 45 ms of CPU, so only those who connect to an engine
over TCP import this module.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import docker
import docker.errors
import docker.utils
import docker.utils.config
import requests

from controller.effects.clock import Clock
from controller.effects.connections import BoundedAdapter, TlsAdapter
from controller.effects.http_client import KeptConnection, TcpRoute
from controller.effects.names import Names
from controller.effects.one_sided_tls import shows_tls
from controller.source.engine_client import NO_VERSION, SOME_VERSION, EngineVersion, Filters, HttpEngineClient
from controller.source.engine_errors import NO_ANSWER, REDIRECTED, UNEXPECTED_ANSWER, EngineError, error_answer
from model.engine_kind import UNKNOWN_KIND, kind_in_headers


def _no_config_file(config_path: object = None) -> None:
    """Stands for the SDK's search for Docker's config.json, and finds none.

    The SDK reads that file whenever it makes a client, fails if an entry in it is malformed, and sends the HttpHeaders
    that are in it. The agent needs nothing of it, and the SDK has no other way to leave it out.
    """


docker.utils.config.find_config_file = _no_config_file


class TcpEngineClient(HttpEngineClient):
    """An EngineClient for an engine over TCP."""

    def __init__(self, sdk: docker.APIClient, http: KeptConnection, base: str, kind: str = UNKNOWN_KIND) -> None:
        """``sdk`` and ``http`` are clients of the same engine. ``base`` is what all paths for ``http`` begin with."""
        super().__init__(http, sdk.timeout, base, kind)
        self._sdk = sdk

    def info(self) -> Any:
        """See EngineClient."""
        with self._asking() as sdk:
            return sdk.info()

    def containers(self, *, all: bool, filters: Filters | None = None) -> Any:
        """See EngineClient."""
        with self._asking() as sdk:
            return sdk.containers(all=all, filters=filters)

    def inspect_network(self, net_id: str) -> Any:
        """See EngineClient."""
        with self._asking() as sdk:
            return sdk.inspect_network(net_id)

    def close(self) -> None:
        """See EngineClient."""
        super().close()
        self._sdk.close()

    @contextmanager
    def _asking(self) -> Iterator[docker.APIClient]:
        self._sdk.timeout = self.timeout
        with _translated():
            yield self._sdk


def connect_over_tcp(
    given: str, tls: bool, context: Callable[[], ssl.SSLContext], timeout: int, names: Names, clock: Clock
) -> TcpEngineClient:
    """Return a client of the engine at the URL ``given``, in the form of DOCKER_HOST. ``tls`` says whether a URL that
    does not tell means TLS. ``context`` is called before each request over TLS, and may raise UnusableFiles. Raises
    EngineError."""
    with _translated():
        url = str(docker.utils.parse_host(given, tls=tls))
        sdk = _client(url, context, timeout, names, SOME_VERSION)
        try:
            version = _version_of(sdk)
        finally:
            sdk.close()
        parts = urlsplit(url)
        route = TcpRoute(parts.hostname or "", parts.port or 0, names, context if parts.scheme == "https" else _no_tls)
        sdk = _client(url, context, timeout, names, version.api)
        return TcpEngineClient(sdk, KeptConnection(route, clock), f"{parts.path}/v{version.api}", version.kind)


def _no_tls() -> None:
    """Return no TLS context."""


def _client(
    url: str, context: Callable[[], ssl.SSLContext], timeout: int, names: Names, version: str
) -> docker.APIClient:
    """Return a client of the SDK that speaks this version of the API, and connects at its first request.

    The SDK makes no request before it gets here, because the version is given. So no request goes through a proxy that
    the environment names, or uses a CA or a password from there.
    """
    client = docker.APIClient(base_url=url, version=version, timeout=timeout)
    client.trust_env = False
    client.max_redirects = 0
    if url.startswith("https://"):
        client.mount(url, TlsAdapter(context, names))
    elif url.startswith("http://"):
        client.mount(url, BoundedAdapter(names))
    return client


def _version_of(client: docker.APIClient) -> EngineVersion:
    """Return the version of the API that the engine speaks. It is found out as for an engine at a Unix socket."""
    try:
        return EngineVersion.in_document(client.version(api_version=False))
    except (docker.errors.APIError, ValueError, *UNEXPECTED_ANSWER) as error:
        if shows_tls(str(error)):
            raise  # No other request would get through either.
        refusal = error
    for version in ("", f"/v{client.api_version}"):
        url = f"{client.base_url}{version}/containers/json"
        answer = client.get(url, params={"limit": "1"}, timeout=client.timeout)
        if told := answer.headers.get("Api-Version"):
            return EngineVersion(
                str(told), kind_in_headers({name.lower(): text for name, text in answer.headers.items()})
            )
    raise EngineError(NO_VERSION) from refusal


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the errors of the libraries into those of the engine's clients."""
    try:
        yield
    except docker.errors.APIError as error:
        raise error_answer(error.status_code or 0, str(error.explanation or error)) from error
    except requests.exceptions.TooManyRedirects as error:
        raise EngineError(REDIRECTED) from error
    except requests.exceptions.Timeout as error:
        raise EngineError(NO_ANSWER) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise EngineError(str(error)) from error
