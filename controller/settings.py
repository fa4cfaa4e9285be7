"""What the operator asked for: words in, one frozen value out, or all that is wrong with them at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import unquote

from attrs import frozen

from controller.errors import Stop
from controller.logs import FORMATS, LEVELS
from controller.server import Address
from model.address import UNSPECIFIED, AddressRules, address_problem
from model.desired import Deregister, Rules
from model.entry import key_part_problem
from model.metadata import split_tags
from model.plan import Lifetime

DEFAULT_PORT = 2379

#: Metrics are for scraping from another host, as those of other exporters.
EVERYWHERE = "0.0.0.0"  # noqa: S104

T = TypeVar("T")

Words = Mapping[str, str]


class WrongUsage(Stop):
    """What was asked for makes no sense; ``problems`` in plain words."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@frozen
class RegistryUri:
    """``etcd://HOST:PORT[,HOST:PORT…]/PREFIX``; ``prefix`` without a slash at its end, empty for all of etcd."""

    scheme: str
    endpoints: tuple[tuple[str, int], ...]
    prefix: str


@frozen
class Settings:
    """Everything a run needs. Times are in seconds."""

    registry: RegistryUri
    rules: Rules
    lifetime: Lifetime
    interval: float
    pass_timeout: float
    listen: Address | None
    docker_host: str
    log_format: str
    log_level: str
    needless: tuple[str, ...]


def parse(words: Words, uris: tuple[str, ...]) -> Settings:
    """The settings that the command line's words mean, by option name as in ``controller.cli``; an empty word is an
    option not given. Raises WrongUsage with every problem there is."""
    reader = _Reader(words)
    lifetime = Lifetime(reader.whole("ttl"), reader.whole("ttl-refresh"))
    reader.problems += _lifetime_problems(lifetime)
    resync = reader.whole("resync")
    reader.check("retry-attempts", _whole)
    reader.check("retry-interval", _whole)
    settings = Settings(
        registry=reader.registry(uris),
        rules=_rules(reader),
        lifetime=lifetime,
        interval=min(filter(None, (reader.seconds("interval", 1.0), resync, lifetime.refresh))),
        pass_timeout=reader.seconds("pass-timeout", 10.0),
        listen=reader.get("listen", _listen, None),
        docker_host=words["docker-host"],
        log_format=reader.get("log-format", _one_of(FORMATS), "text"),
        log_level=reader.get("log-level", _one_of(LEVELS), "info"),
        needless=tuple(name for name in ("cleanup", "resync", "retry-attempts", "retry-interval") if words[name]),
    )
    if reader.problems:
        raise WrongUsage(reader.problems)
    return settings


def _rules(reader: _Reader) -> Rules:
    words = reader.words
    address = AddressRules(
        ip=reader.get("ip", _address, ""), label=words["useIpFromLabel"], internal=bool(words["internal"])
    )
    return Rules(
        owner=reader.get("hostname", _owner, ""),
        address=address,
        explicit=bool(words["explicit"]),
        tags=reader.get("tags", _tags, ()),
        deregister=reader.get("deregister", _deregister, Deregister.ALWAYS),
    )


class _Reader:
    """Reads words, and keeps what is wrong with them."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self.problems: list[str] = []

    def get(self, name: str, convert: Callable[[str], T], default: T) -> T:
        """The option's value; the default where it was not given or is wrong."""
        word = self.words[name]
        if not word:
            return default
        try:
            return convert(word)
        except ValueError as error:
            self.problems.append(f"-{name} {word!r}: {error}" if len(name) < 4 else f"--{name} {word!r}: {error}")
            return default

    def check(self, name: str, convert: Callable[[str], object]) -> None:
        """Read an option that has no use here, for its mistakes."""
        self.get(name, convert, None)

    def whole(self, name: str) -> int:
        return self.get(name, _not_negative, 0)

    def seconds(self, name: str, default: float) -> float:
        return self.get(name, _positive, default)

    def registry(self, uris: tuple[str, ...]) -> RegistryUri:
        """The one registry. None, or more than one, is a problem."""
        nowhere = RegistryUri("etcd", (), "")
        if len(uris) != 1:
            given = f"{len(uris)} were given: {' '.join(uris)}" if uris else "none was given"
            self.problems.append(f"one registry URI is needed, as in etcd://127.0.0.1:2379/services; {given}")
            return nowhere
        try:
            return parse_uri(uris[0])
        except ValueError as error:
            self.problems.append(f"registry URI {uris[0]!r}: {error}")
            return nowhere


def parse_uri(text: str) -> RegistryUri:
    """Read a registry URI; raises ValueError in plain words."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ValueError("it has no scheme; it should look like etcd://HOST:PORT/PREFIX")
    if scheme != "etcd":
        raise ValueError(f"the scheme {scheme!r} is not supported; etcd is")
    hosts, _, path = rest.partition("/")
    if {"?", "#"} & set(rest) or "@" in hosts:
        raise ValueError("a user, a query or a fragment has no place in it")
    prefix = unquote(path).strip("/")
    if prefix and (problem := key_part_problem(prefix)):
        raise ValueError(f"the prefix {problem}")
    endpoints = tuple(_endpoint(each) for each in hosts.split(",")) if hosts else (("127.0.0.1", DEFAULT_PORT),)
    return RegistryUri(scheme, endpoints, f"/{prefix}" if prefix else "")


def _endpoint(text: str) -> tuple[str, int]:
    host, port = _split_port(text, str(DEFAULT_PORT))
    if not host:
        raise ValueError(f"the endpoint {text!r} has no host")
    if problem := address_problem(host):
        raise ValueError(f"the host of endpoint {text!r} {problem}")
    return host, port


def _split_port(text: str, default: str) -> tuple[str, int]:
    """Host and port of ``host:port``, an IPv6 host in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, default
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"the IPv6 address in {text!r} needs brackets, as in [::1]:2379")
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise ValueError(f"{port!r} is not a port number")
    return host, int(port)


def _listen(text: str) -> Address:
    if ":" not in text:
        raise ValueError("it should be HOST:PORT or :PORT")
    host, port = _split_port(text, "")
    if host not in UNSPECIFIED and (problem := address_problem(host)):
        raise ValueError(f"its host {problem}")
    return Address(host or EVERYWHERE, port)


def _lifetime_problems(lifetime: Lifetime) -> list[str]:
    """registrator's own two rules."""
    if bool(lifetime.ttl) != bool(lifetime.refresh):
        return ["-ttl and -ttl-refresh go together: give both, or neither"]
    if lifetime.ttl and lifetime.ttl <= lifetime.refresh:
        return [f"-ttl {lifetime.ttl} must be greater than -ttl-refresh {lifetime.refresh}, or keys expire before that"]
    return []


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("it is not a whole number") from None


def _not_negative(text: str) -> int:
    if (number := _whole(text)) < 0:
        raise ValueError("it must not be negative")
    return number


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("it is not a number of seconds") from None
    if not 0.05 <= number <= 86400:
        raise ValueError("it must be from 0.05 to 86400 seconds")
    return number


def _address(text: str) -> str:
    if problem := address_problem(text):
        raise ValueError(f"it {problem}")
    return text


def _owner(text: str) -> str:
    problem = (
        "has a ':' or '/', which separate the parts of a key" if {":", "/"} & set(text) else key_part_problem(text)
    )
    if problem:
        raise ValueError(f"it {problem}")
    return text


def _tags(text: str) -> tuple[str, ...]:
    if "{{" in text:
        raise ValueError("templates are not supported; give plain tags, separated by commas")
    return split_tags(text)


def _deregister(text: str) -> Deregister:
    return Deregister(_one_of([each.value for each in Deregister])(text))


def _one_of(choices: list[str] | tuple[str, ...]) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in choices:
            raise ValueError(f"it must be one of {', '.join(choices)}")
        return text

    return convert
