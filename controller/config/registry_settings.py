"""The settings of each registry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from attrs import frozen

from controller.registry.credentials import Credentials
from controller.registry.uri import RegistryUri


@frozen
class RegistrySettings:
    """One registry that is kept in step."""

    #: The registry's name in metrics, log and JSON output, as ``labels`` gives it.
    label: str
    #: The URI as the operator wrote it, for messages. If it names no endpoint, it has those of ETCD_ENDPOINTS.
    given: str
    #: The same URI, parsed.
    uri: RegistryUri
    #: How the program and the registry authenticate each other. Certificates and user are those of all registries;
    #: whether TLS is used depends on the URI, too.
    credentials: Credentials


def labels(uris: Sequence[RegistryUri]) -> Iterator[str]:
    """Yield a label for each URI, in order: its scheme, with a number if the scheme came before, as in ``etcd-2``."""
    seen: Counter[str] = Counter()
    for uri in uris:
        seen[uri.scheme] += 1
        yield uri.scheme if seen[uri.scheme] == 1 else f"{uri.scheme}-{seen[uri.scheme]}"


def overlapping_registries(registries: Sequence[RegistrySettings]) -> list[str]:
    """Return a message for each two registries that have keys in common. Two loops must not own the same keys."""
    return [problem for one, other in combinations(registries, 2) if (problem := _overlap(one, other))]


def _overlap(one: RegistrySettings, other: RegistrySettings) -> str:
    """Return how two registries overlap, or an empty string if they do not.

    Two URIs with the same API and an endpoint or a domain in common mean the same store, whatever other endpoints they
    have. If one prefix lies within the other, passes over the outer prefix would take the keys of the inner one for
    orphans.
    """
    if not (one.uri.shares_keys_with(other.uri) and one.uri.names_same_cluster_as(other.uri)):
        return ""
    if one.uri.prefix == other.uri.prefix:
        return f"registry URIs {one.given!r} and {other.given!r} are the same place: give it once"
    inner, outer = (one, other) if len(one.uri.prefix) > len(other.uri.prefix) else (other, one)
    return f"registry URI {inner.given!r} lies within {outer.given!r}: give prefixes that do not contain each other"
