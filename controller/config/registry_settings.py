"""Which registries are meant: a value for each, with a label of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from attrs import frozen

from controller.registry.credentials import Credentials
from controller.registry.uri import RegistryUri


@frozen
class RegistrySettings:
    """One registry. ``label`` is its name in metrics, log and documents; ``given`` what the operator called it."""

    label: str
    given: str
    uri: RegistryUri
    credentials: Credentials


def labels(uris: Sequence[RegistryUri]) -> Iterator[str]:
    """A name for each, in order: the scheme, and for a second one of the same scheme ``etcd-2``, and so on."""
    seen: Counter[str] = Counter()
    for uri in uris:
        seen[uri.scheme] += 1
        yield uri.scheme if seen[uri.scheme] == 1 else f"{uri.scheme}-{seen[uri.scheme]}"


def clashes(registries: Sequence[RegistrySettings]) -> list[str]:
    """Which of them cannot be kept beside each other, in plain words: the same keys would belong to both."""
    return [problem for one, other in combinations(registries, 2) if (problem := _clash(one, other))]


def _clash(one: RegistrySettings, other: RegistrySettings) -> str:
    """Who shares API and endpoint shares the store, however many more endpoints there are. Of two prefixes that lie one
    in the other, the outer one's passes would take the inner one's keys for orphans of theirs."""
    if one.uri.api != other.uri.api or not {*one.uri.endpoints} & {*other.uri.endpoints}:
        return ""
    if one.uri.prefix == other.uri.prefix:
        return f"registry URIs {one.given!r} and {other.given!r} are the same place: give it once"
    inner, outer = (one, other) if len(one.uri.prefix) > len(other.uri.prefix) else (other, one)
    if inner.uri.prefix.startswith(f"{outer.uri.prefix}/"):
        return f"registry URI {inner.given!r} lies within {outer.given!r}: give prefixes beside each other"
    return ""
