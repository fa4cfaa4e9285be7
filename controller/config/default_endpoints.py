"""The endpoints of registry URIs that name none: those of ETCD_ENDPOINTS, as registrator 9 and etcd's clients have it.

A URI's own endpoints count alone. They are not added to those of the variable, as registrator 9 does, because the
variable is for all registries of the command line, and one may be another cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from attrs import frozen

from controller.errors import masked
from controller.registry.schemes import BY_SRV
from controller.registry.uri import RegistryUri, parse_endpoint
from model.host_port import HostPort

#: The environment variable with the endpoints, separated by commas.
ENDPOINTS_VARIABLE = "ETCD_ENDPOINTS"

#: What an endpoint may begin with, and whether it then asks for TLS.
_SCHEMES = {"http://": False, "https://": True}


@frozen
class DefaultEndpoints:
    """The endpoints in the variable."""

    endpoints: tuple[HostPort, ...] = ()
    #: An endpoint that asks for TLS, and one that asks for none, as they were given; empty if none does.
    encrypted: str = ""
    unencrypted: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``HOST:PORT,http://HOST:PORT``. Parts without text count for nothing. Raises ValueError with a message
        for the operator, as a converter does."""
        parts = [part.strip() for part in text.split(",") if part.strip()]
        endpoints, asking = [], {True: "", False: ""}
        for part in parts:
            scheme = next((each for each in _SCHEMES if part.lower().startswith(each)), "")
            if scheme:
                asking[_SCHEMES[scheme]] = part
            endpoints.append(_endpoint(part, part[len(scheme) :].removesuffix("/")))
        if asking[True] and asking[False]:
            raise ValueError(f"{asking[True]} asks for TLS, and {asking[False]} for none")
        return cls(tuple(dict.fromkeys(endpoints)), encrypted=asking[True], unencrypted=asking[False])

    def filled_in(self, uri: str) -> str:
        """Return a registry URI with these endpoints, if it names none itself and has none looked up."""
        scheme, separator, rest = uri.partition("://")
        names_none = separator and rest[:1] in {"", "/", "?"} and not scheme.endswith(BY_SRV)
        if not (self.endpoints and names_none):
            return uri
        return f"{scheme}://{','.join(map(str, self.endpoints))}{rest}"

    def tls_problem(self, uri: str, *, tls: bool) -> str:
        """Return why these endpoints do not fit a registry URI that names none, whose connections use TLS or not; an
        empty string if they do."""
        if self.encrypted and not tls:
            return (
                f"{ENDPOINTS_VARIABLE} has {self.encrypted}, which asks for TLS, and registry URI {uri!r} does not: "
                "give its scheme an s at the end, or give --etcd-ca"
            )
        if self.unencrypted and tls:
            return (
                f"{ENDPOINTS_VARIABLE} has {self.unencrypted}, which asks for no TLS, and registry URI {uri!r} is to "
                "be reached with TLS, as its scheme or a file for TLS says: begin the endpoint with https://"
            )
        return ""

    def without(self, registries: Iterable[RegistryUri]) -> tuple[HostPort, ...]:
        """Return the endpoints that none of these registries has."""
        used = {each for uri in registries for each in uri.endpoints}
        return tuple(each for each in self.endpoints if each not in used)


def _endpoint(given: str, text: str) -> HostPort:
    """Return the endpoint in a part of the variable without its scheme. Raises ValueError."""
    if {"/", "?", "#", "@"} & set(text):
        raise ValueError(f"{masked(given)} should be HOST:PORT, http://HOST:PORT or https://HOST:PORT, and no more")
    return parse_endpoint(text)
