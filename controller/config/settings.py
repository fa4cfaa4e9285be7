"""What the operator asked for: words in, one frozen value out, or all that is wrong with them at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from attrs import evolve, frozen

from controller.config import converters as read
from controller.config.registry_settings import RegistrySettings, clashes, labels
from controller.errors import Stop
from controller.host_port import HostPort
from controller.logs import FORMATS, LEVELS
from controller.registry.credentials import Credentials
from controller.registry.uri import masked, parse_uri
from model.family import Family
from model.guard import GuardRule
from model.layout import ValueFormat
from model.rules import AddressRules, Deregister, HealthRule, Rules
from model.stored import Lifetime

T = TypeVar("T")
D = TypeVar("D")

Words = Mapping[str, str]


class WrongUsage(Stop):
    """What was asked for makes no sense; ``problems`` in plain words."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@frozen
class Settings:
    """Everything a run needs, with at least one registry. Times are in seconds."""

    registries: tuple[RegistrySettings, ...]
    rules: Rules
    lifetime: Lifetime
    guard: GuardRule
    take_over: bool
    interval: float
    pass_timeout: float
    listen: HostPort | None
    docker_host: str
    log_format: str
    log_level: str
    needless: tuple[str, ...]
    filters: tuple[tuple[str, str], ...]
    value_format: ValueFormat = ValueFormat.HOSTPORT


def parse(words: Words, uris: tuple[str, ...]) -> Settings:
    """The settings that the command line's words mean, by option name as in ``controller.cli``; an empty word is an
    option not given. Raises WrongUsage with every problem there is."""
    reader = _Reader(words)
    lifetime = Lifetime(reader.whole("ttl"), reader.whole("ttl-refresh"))
    reader.problems += _lifetime_problems(lifetime)
    resync = reader.whole("resync")
    reader.check("retry-attempts", read.whole)
    reader.check("retry-interval", read.whole)
    registries = reader.registries(uris)
    settings = Settings(
        registries=registries,
        rules=_rules(reader),
        lifetime=lifetime,
        guard=GuardRule(percent=reader.get("delete-guard", read.percent, 50)),
        take_over=bool(words["take-over"]),
        interval=min(filter(None, (reader.seconds("interval", 1.0), resync, lifetime.refresh))),
        pass_timeout=reader.seconds("pass-timeout", 10.0),
        listen=reader.get("listen", read.listen, None),
        docker_host=words["docker-host"],
        log_format=reader.get("log-format", read.one_of(FORMATS), "text"),
        log_level=reader.get("log-level", read.one_of(LEVELS), "info"),
        needless=tuple(name for name in ("cleanup", "resync", "retry-attempts", "retry-interval") if words[name]),
        value_format=reader.value_format(registries),
        filters=reader.each("filter", read.docker_filter),
    )
    if reader.problems:
        raise WrongUsage(reader.problems)
    return settings


@frozen
class OwnerSettings:
    """What it takes to speak about one owner's entries."""

    registries: tuple[RegistrySettings, ...]
    owner: str


def parse_owner(words: Words, uris: tuple[str, ...]) -> OwnerSettings:
    """The settings of ``wharfinger deregister``; ``words`` has ``hostname`` and the connection's options. Raises
    WrongUsage with every problem there is."""
    reader = _Reader(words)
    settings = OwnerSettings(reader.registries(uris), reader.get("hostname", read.owner, ""))
    if not words["hostname"]:
        reader.problems.append("--hostname is needed: whose entries are to go")
    if reader.problems:
        raise WrongUsage(reader.problems)
    return settings


def _rules(reader: _Reader) -> Rules:
    words = reader.words
    address = AddressRules(
        ip=reader.get("ip", read.address, ""),
        label=words["useIpFromLabel"],
        internal=bool(words["internal"]),
        network=words["network"],
        family=reader.get("ip-family", read.family, Family.ANY),
    )
    reader.problems += _address_problems(address)
    return Rules(
        owner=reader.get("hostname", read.owner, ""),
        address=address,
        explicit=bool(words["explicit"]),
        tags=reader.get("tags", read.tags, ()),
        deregister=reader.get("deregister", read.deregister, Deregister.ALWAYS),
        health=reader.get("health", read.health, HealthRule.ANY),
        all_bindings=bool(words["all-bindings"]),
    )


def _address_problems(address: AddressRules) -> list[str]:
    """What does not go together."""
    problems = []
    if address.network and not address.internal:
        problems.append(f"--network {address.network!r} says which address -internal takes: give -internal, too")
    if address.ip and not address.family.has(address.ip):
        kind = address.family.name_for_people
        problems.append(f"-ip {address.ip!r} is not an {kind} address, and --ip-family asks for those")
    return problems


class _Reader:
    """Reads words, and keeps what is wrong with them."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self.problems: list[str] = []

    def get(self, name: str, convert: Callable[[str], T], default: T) -> T:
        """The option's value; the default where it was not given or is wrong."""
        word = self.words[name]
        return self._convert(name, word, convert, default) if word else default

    def each(self, name: str, convert: Callable[[str], T]) -> tuple[T, ...]:
        """The values of an option that may be given several times, without those that are wrong."""
        given = filter(None, self.words[name].split(read.BETWEEN))
        values = (self._convert(name, word, convert, None) for word in given)
        return tuple(value for value in values if value is not None)

    def _convert(self, name: str, word: str, convert: Callable[[str], T], default: D) -> T | D:
        try:
            return convert(word)
        except ValueError as error:
            self.problems.append(f"-{name} {word!r}: {error}" if len(name) < 4 else f"--{name} {word!r}: {error}")
            return default

    def check(self, name: str, convert: Callable[[str], object]) -> None:
        """Read an option that has no use here, for its mistakes."""
        self.get(name, convert, None)

    def whole(self, name: str) -> int:
        return self.get(name, read.not_negative, 0)

    def seconds(self, name: str, default: float) -> float:
        return self.get(name, read.positive, default)

    def credentials(self) -> Credentials:
        """How to be sure of etcd, and etcd of us, by the flags alone. etcdctl's ``name:password`` is understood."""
        words = self.words
        files = {name: self.get(f"etcd-{name}", read.readable, "") for name in ("ca", "cert", "key")}
        if bool(files["cert"]) != bool(files["key"]):
            self.problems.append("--etcd-cert and --etcd-key go together: give both, or neither")
        user, _, password = words["etcd-user"].partition(":")
        password = self.get("etcd-password-file", read.first_line, "") or words["etcd-password"] or password
        if bool(user) != bool(password):
            self.problems.append("a user name and a password go together: give both, or neither")
        return Credentials(any(files.values()), files["ca"], files["cert"], files["key"], user, password)

    def registries(self, uris: tuple[str, ...]) -> tuple[RegistrySettings, ...]:
        """All that are given. None is a problem, and so are two that would have the same keys."""
        if not uris:
            example = "etcd://127.0.0.1:2379/services"
            self.problems.append(f"at least one registry URI is needed, as in {example}; none was given")
        found = []
        for word in uris:
            try:
                found.append((word, parse_uri(word)))
            except ValueError as error:
                self.problems.append(f"registry URI {masked(word)!r}: {error}")
        credentials = self.credentials()
        registries = tuple(
            RegistrySettings(label, word, uri, evolve(credentials, tls=credentials.tls or uri.tls))
            for label, (word, uri) in zip(labels([uri for _, uri in found]), found, strict=True)
        )
        self.problems += clashes(registries)
        return registries

    def value_format(self, registries: tuple[RegistrySettings, ...]) -> ValueFormat:
        """The form of plain values. Asked for where there are none it is a problem."""
        form = self.get("value-format", read.value_format, ValueFormat.HOSTPORT)
        if registries and all(each.uri.skydns for each in registries) and form is not ValueFormat.HOSTPORT:
            scheme = registries[0].uri.scheme
            self.problems.append(
                f"--value-format {form.value} is for etcd:// and etcd3://; what {scheme}:// writes is for CoreDNS"
            )
        return form


def _lifetime_problems(lifetime: Lifetime) -> list[str]:
    """registrator's own two rules."""
    if bool(lifetime.ttl) != bool(lifetime.refresh):
        return ["-ttl and -ttl-refresh go together: give both, or neither"]
    if lifetime.ttl and lifetime.ttl <= lifetime.refresh:
        return [f"-ttl {lifetime.ttl} must be greater than -ttl-refresh {lifetime.refresh}, or keys expire before that"]
    return []
