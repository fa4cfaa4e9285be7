"""The settings of a run: the texts of all options are parsed into one frozen value, or into a list of all problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from attrs import evolve, field, frozen

from controller.config import converters
from controller.config.default_endpoints import ENDPOINTS_VARIABLE, DefaultEndpoints
from controller.config.engine_url import engine_url
from controller.config.registry_settings import RegistrySettings, labels, overlapping_registries
from controller.errors import WrongUsage, masked
from controller.logs import FORMATS, LEVELS
from controller.registry.credentials import Credentials
from controller.registry.schemes import Api, LayoutKind
from controller.registry.uri import RegistryUri, parse_uri
from model.backoff import SEQUENCE
from model.draining import DEFAULT_STOP_RULE, STOP_GRACE, StopRule
from model.family import Family
from model.guard import GuardRule
from model.heartbeat import NO_HEARTBEAT, Heartbeat
from model.host_port import HostPort
from model.layout import ValueFormat
from model.rules import AddressRules, Deregister, HealthRule, Rules
from model.stored import Lifetime
from model.sweep import PERIOD

if TYPE_CHECKING:
    from controller.effects.docker_context import DockerContext

T = TypeVar("T")
D = TypeVar("D")

#: The text of each option by the option's name, as ``controller.config.flags`` collects it, and that of
#: ENDPOINTS_VARIABLE. The text is empty if the option was not given, and ``true`` for a switch that is on.
RawOptions = Mapping[str, str]

#: registrator's flags that are not needed here, since every pass compares and repairs everything. They are accepted, so
#: that nobody has to change a unit file. Only -resync has an effect, by v3, and if it asks for passes more often than
#: the other flags do: see ``Settings.interval`` and ``Settings.sweep_period``.
UNNEEDED_FLAGS = ("cleanup", "resync", "retry-attempts", "retry-interval")


#: The options of the connection to etcd.
_CONNECTION = ("etcd-ca", "etcd-cert", "etcd-key", "etcd-user", "etcd-password-file")

#: No environment variables.
_NONE: Mapping[str, str] = MappingProxyType({})

#: The most seconds by which etcd rounds up what is left of a key's lifetime when it reports it.
_ROUNDING = 1.0


@frozen
class Settings:
    """What ``wharfinger run`` and ``wharfinger reconcile`` need to know."""

    #: The registries to keep in step, at least one, in the order of the command line.
    registries: tuple[RegistrySettings, ...]
    #: Which containers have entries, and with which owner, address and tags. By default every published port has one.
    rules: Rules
    #: How long keys live, and how often they are renewed (-ttl and -ttl-refresh). By default keys do not expire.
    lifetime: Lifetime
    #: When deletes are held back (--delete-guard). By default a delete is held back if its container still runs, or the
    #: engine does not say whether it does. Stopped containers aside, deletes are also held back if they are more than
    #: 50 percent of the host's keys and more than three, because an engine that restarts was seen to show an empty list
    #: for a second.
    guard: GuardRule
    #: Whether the owner name may be taken from another engine whose agent is silent (--take-over). Off by default, so
    #: that a host that was given another host's name by mistake writes nothing.
    take_over: bool
    #: Whether keys under custom ids that were there before may be taken over if they hold the right value (--adopt).
    #: Off by default, so that what others wrote is neither changed nor deleted.
    adopt: bool
    #: Seconds between two passes: the least of --interval (1 by default), -resync, -ttl-refresh and --heartbeat, since
    #: each of them asks for a pass at least that often.
    interval: float
    #: Seconds between two sweeps of a v3 registry in a cluster of few hosts: -resync, or 60 if it is 0 or not given.
    sweep_period: float
    #: Seconds that a pass may take (--pass-timeout), 10 by default. What there is no time for is left to the next pass.
    pass_timeout: float
    #: Where to serve metrics and health (--listen), by default port 9119 on every interface, so that Prometheus can
    #: scrape from another host. None for no server.
    listen: HostPort | None
    #: The URL of the Docker engine (--docker-host). Empty by default, which means DOCKER_HOST or the usual sockets.
    docker_host: str
    #: The context of the docker command that says where the engine is (DOCKER_CONTEXT), as it was at the start. None by
    #: default, and where --docker-host or DOCKER_HOST says so.
    docker_context: DockerContext | None = field(default=None, kw_only=True)
    #: How the log is written (--log-format): ``text`` by default, for people, or ``json``, for programs.
    log_format: str
    #: The least severe level that is logged (--log-level), ``info`` by default.
    log_level: str
    #: The flags of UNNEEDED_FLAGS that were given and have no effect. The log names them once at the start.
    unneeded_flags: tuple[str, ...]
    #: The endpoints in ETCD_ENDPOINTS that have no effect, as every registry URI names its own. The log names them once
    #: at the start, because registrator 9 uses them, too.
    unused_endpoints: tuple[HostPort, ...]
    #: Names and values of ``docker ps`` filters (--filter). Only containers that all filters let through have entries.
    filters: tuple[tuple[str, str], ...]
    #: The format of values of etcd:// and etcd3:// registries (--value-format): by default registrator's ``host:port``.
    value_format: ValueFormat = ValueFormat.HOSTPORT
    #: The TTL in seconds of DNS records whose containers set none (--record-ttl); 0 for none. None by default, which
    #: means 30 for skydns3:// and 0 for skydns2://.
    record_ttl: int | None = None
    #: Whether the agent follows the engine's events (--no-hints).
    hints: bool = True
    #: Which signals make a container drain, and for how long (--no-drain-on-stop and --stop-grace). By default those
    #: that stop it do, for 120 seconds at least. With -deregister on-success none does, as nobody knows yet how the
    #: container will end.
    stop_rule: StopRule = DEFAULT_STOP_RULE
    #: The file with the token that the HTTP server asks for (--web-token-file). Empty by default: it asks for none.
    web_token_file: str = ""
    #: How often a key is renewed by which the agent shows that it is alive (--heartbeat). Off by default: it costs one
    #: request each time by v2, and two by v3.
    heartbeat: Heartbeat = NO_HEARTBEAT

    @property
    def longest_wait(self) -> float:
        """The most seconds from a failed pass to the next one. Keys with a lifetime outlast it and the next pass, and
        so does the heartbeat."""
        spare = self.lifetime.kept - self.pass_timeout if self.lifetime.ttl else inf
        return min(spare, self.heartbeat.seconds or inf, SEQUENCE[-1])

    @property
    def flags_that_shape_keys(self) -> Mapping[str, str]:
        """The flags that decide which keys and values are written, as the agent note has them: by name, without those
        that have their default."""
        rules, address = self.rules, self.rules.address
        given = {
            "ip": address.ip,
            "useIpFromLabel": address.label,
            "internal": _switch_text(address.internal),
            "ip-from-container": _switch_text(address.from_container),
            "network": address.network,
            "ip-family": _unless_default(address.family, Family.ANY),
            "explicit": _switch_text(rules.explicit),
            "tags": ",".join(rules.tags),
            "deregister": _unless_default(rules.deregister, Deregister.ALWAYS),
            "health": _unless_default(rules.health, HealthRule.ANY),
            "all-bindings": _switch_text(rules.all_bindings),
            "strict-names": _switch_text(rules.strict_names),
            "one-offs": _switch_text(rules.one_offs),
            "no-drain-on-stop": _switch_text(not self.stop_rule.on and rules.deregister is Deregister.ALWAYS),
            "filter": " ".join(sorted(f"{name}={value}" for name, value in self.filters)),
            "ttl": str(self.lifetime.ttl or ""),
            "heartbeat": str(self.heartbeat.seconds or ""),
            "value-format": _unless_default(self.value_format, ValueFormat.HOSTPORT),
            "record-ttl": "" if self.record_ttl is None else str(self.record_ttl),
        }
        return {name: text for name, text in given.items() if text}


def _switch_text(on: bool) -> str:
    return "true" if on else ""


def _unless_default(value: Enum, default: Enum) -> str:
    return "" if value is default else str(value.value)


def parse_settings(
    raw: RawOptions,
    uris: tuple[str, ...],
    variables: Mapping[str, str] = _NONE,
    environment: Mapping[str, str] = _NONE,
) -> Settings:
    """Return the settings that these options and registry URIs mean. Raises WrongUsage with every problem there is.

    ``variables`` are the environment variables that gave options their texts, by the names of the options.
    ``environment`` holds the environment variables of other programs. Of these, DOCKER_HOST and DOCKER_CONTEXT are
    checked where they say where the engine is.
    """
    parser = _SettingsParser(raw, variables)
    lifetime = parser.lifetime()
    resync = parser.whole("resync")
    parser.check("retry-attempts", converters.whole)
    parser.check("retry-interval", converters.whole)
    registries = parser.registries(uris)
    rules = _rules(parser)
    pass_timeout = parser.seconds("pass-timeout", 10.0)
    heartbeat = parser.heartbeat(pass_timeout)
    without_resync = min(filter(None, (parser.seconds("interval", 1.0), lifetime.refresh, heartbeat.seconds)))
    interval = min(without_resync, resync or inf)
    resync_matters = interval < without_resync or any(each.uri.api is Api.ETCD_V3 for each in registries)
    settings = Settings(
        registries=registries,
        rules=rules,
        lifetime=evolve(lifetime, reserve=interval + pass_timeout + _ROUNDING) if lifetime.ttl else lifetime,
        guard=GuardRule(percent=parser.get("delete-guard", converters.percent, 50)),
        take_over=bool(raw["take-over"]),
        adopt=bool(raw["adopt"]),
        interval=interval,
        sweep_period=resync or PERIOD,
        pass_timeout=pass_timeout,
        heartbeat=heartbeat,
        listen=parser.get("listen", converters.listen, None),
        docker_host=parser.docker_host(environment.get("DOCKER_HOST", "")),
        docker_context=parser.docker_context(environment),
        log_format=parser.get("log-format", converters.one_of(FORMATS), "text"),
        log_level=parser.get("log-level", converters.one_of(LEVELS), "info"),
        unneeded_flags=tuple(
            name for name in UNNEEDED_FLAGS if raw[name] and not (name == "resync" and resync_matters)
        ),
        unused_endpoints=parser.default_endpoints.without(each.uri for each in registries),
        value_format=parser.value_format(registries),
        record_ttl=parser.record_ttl(registries),
        filters=parser.get_all("filter", converters.docker_filter),
        hints=not raw["no-hints"],
        stop_rule=StopRule(
            not raw["no-drain-on-stop"] and rules.deregister is Deregister.ALWAYS,
            parser.seconds("stop-grace", STOP_GRACE),
        ),
        web_token_file=parser.get("web-token-file", converters.token_file, ""),
    )
    if parser.problems:
        raise WrongUsage(parser.problems)
    return settings


@frozen
class OwnerSettings:
    """What ``wharfinger deregister`` needs to know."""

    #: The registries to remove the owner's entries from, at least one, in the order of the command line.
    registries: tuple[RegistrySettings, ...]
    #: The name of the host whose entries are removed (--hostname). It is never guessed.
    owner: str


def parse_owner_settings(raw: RawOptions, uris: tuple[str, ...], variables: Mapping[str, str] = _NONE) -> OwnerSettings:
    """Return the settings of ``wharfinger deregister``. ``raw`` needs to hold ``hostname`` and the options of the
    connection alone, and ``variables`` is as for ``parse_settings``. Raises WrongUsage with every problem there is."""
    parser = _SettingsParser(raw, variables)
    settings = OwnerSettings(parser.registries(uris), parser.get("hostname", converters.owner, ""))
    if not raw["hostname"]:
        parser.problems.append("--hostname is needed: give the name of the host whose entries are to be removed")
    if parser.problems:
        raise WrongUsage(parser.problems)
    return settings


def parse_connection(
    connection: RawOptions, uris: tuple[str, ...], password: str, variables: Mapping[str, str] = _NONE
) -> tuple[RegistrySettings, ...]:
    """Return the settings of the registries with these URIs. ``connection`` holds the options of the connection that
    were given, and ``password`` is the one in the environment, or an empty text. ``variables`` is as for
    ``parse_settings``. Raises WrongUsage with every problem there is."""
    nothing = dict.fromkeys((*_CONNECTION, ENDPOINTS_VARIABLE), "")
    parser = _SettingsParser({**nothing, **connection, "etcd-password": password}, variables)
    registries = parser.registries(uris)
    if parser.problems:
        raise WrongUsage(parser.problems)
    return registries


def _rules(parser: _SettingsParser) -> Rules:
    raw = parser.raw
    address = AddressRules(
        ip=parser.get("ip", converters.address, ""),
        label=raw["useIpFromLabel"],
        internal=bool(raw["internal"]),
        from_container=bool(raw["ip-from-container"]),
        network=raw["network"],
        family=parser.get("ip-family", converters.family, Family.ANY),
    )
    parser.problems += _address_problems(address)
    return Rules(
        owner=parser.get("hostname", converters.owner, ""),
        address=address,
        explicit=bool(raw["explicit"]),
        tags=parser.get("tags", converters.tags, ()),
        deregister=parser.get("deregister", converters.deregister, Deregister.ALWAYS),
        health=parser.get("health", converters.health, HealthRule.ANY),
        all_bindings=bool(raw["all-bindings"]),
        strict_names=bool(raw["strict-names"]),
        one_offs=bool(raw["one-offs"]),
    )


def _address_problems(address: AddressRules) -> list[str]:
    """Return a message for each two address options that contradict each other."""
    problems = []
    if address.network and not (address.internal or address.from_container):
        problems.append(
            f"--network {address.network!r} applies to addresses of -internal and -ip-from-container only: give one of "
            "them, too"
        )
    if address.ip and not address.family.has(address.ip):
        kind = address.family.name_for_people
        problems.append(f"-ip {address.ip!r} is not an {kind} address, but --ip-family allows no others")
    return problems


def _lifetime_problems(lifetime: Lifetime) -> list[str]:
    """Return what is wrong with the lifetime, by registrator's own two rules."""
    if bool(lifetime.ttl) != bool(lifetime.refresh):
        return ["-ttl and -ttl-refresh go together: give both, or neither"]
    if lifetime.ttl and lifetime.ttl <= lifetime.refresh:
        return [
            f"-ttl {lifetime.ttl} must be greater than -ttl-refresh {lifetime.refresh}, "
            "or keys expire before they are renewed"
        ]
    return []


class _SettingsParser:
    """Converts the texts of options, and collects the problems that it finds."""

    def __init__(self, raw: RawOptions, variables: Mapping[str, str]) -> None:
        self.raw = raw
        self.variables = variables
        self.problems: list[str] = []
        self.default_endpoints = DefaultEndpoints()

    def get(self, name: str, convert: Callable[[str], T], default: T) -> T:
        """Return the option's value, or the default if the option was not given or makes no sense."""
        text = self.raw[name]
        return self._convert(name, text, convert, default) if text else default

    def get_all(self, name: str, convert: Callable[[str], T]) -> tuple[T, ...]:
        """Return the values of an option that may be given several times, without those that make no sense."""
        texts = filter(None, self.raw[name].split(converters.SEPARATOR))
        values = (self._convert(name, text, convert, None) for text in texts)
        return tuple(value for value in values if value is not None)

    def _convert(self, name: str, text: str, convert: Callable[[str], T], default: D) -> T | D:
        try:
            return convert(text)
        except ValueError as error:
            self.problems.append(f"{self._given_as(name)} {masked(text)!r}: {error}")
            return default

    def _given_as(self, name: str) -> str:
        """Return what gave an option its text, for messages: the option, or an environment variable."""
        flag = f"-{name}" if len(name) < 4 else f"--{name}"
        return self.variables.get(name) or (name if name == ENDPOINTS_VARIABLE else flag)

    def check(self, name: str, convert: Callable[[str], object]) -> None:
        """Find the problem of an option whose value is not needed."""
        self.get(name, convert, None)

    def whole(self, name: str) -> int:
        """Return a whole number from 0 up; 0 if the option was not given or makes no sense."""
        return self.get(name, converters.not_negative, 0)

    def seconds(self, name: str, default: float) -> float:
        """Return a number of seconds, or the default if the option was not given or makes no sense."""
        return self.get(name, converters.seconds, default)

    def lifetime(self) -> Lifetime:
        """Return the lifetime of keys. How its two numbers go together is a problem only if both make sense."""
        before = len(self.problems)
        lifetime = Lifetime(self.whole("ttl"), self.whole("ttl-refresh"))
        if len(self.problems) == before:
            self.problems += _lifetime_problems(lifetime)
        return lifetime

    def heartbeat(self, pass_timeout: float) -> Heartbeat:
        """Return the heartbeat. It is a problem to renew it more often than each pass is sure to end."""
        seconds = self.whole("heartbeat")
        if 0 < seconds < pass_timeout:
            self.problems.append(
                f"--heartbeat {seconds} must not be less than --pass-timeout {pass_timeout:g}, or an agent would look "
                "dead during a slow pass"
            )
        return Heartbeat(seconds)

    def docker_host(self, variable: str) -> str:
        """Return the engine's URL of --docker-host, an empty text if the option was not given. ``variable`` is the
        value of DOCKER_HOST, which then says where the engine is, and is checked instead."""
        given = self.raw["docker-host"]
        name, url = (self._given_as("docker-host"), given) if given else ("DOCKER_HOST", variable)
        try:
            if url:
                engine_url(url)
        except ValueError as error:
            self.problems.append(f"{name} {masked(url)!r}: {error}")
        return given

    def docker_context(self, environment: Mapping[str, str]) -> DockerContext | None:
        """Return the context that says where the engine is; None if there is none, or --docker-host says so."""
        if self.raw["docker-host"] or not environment.get("DOCKER_CONTEXT"):
            return None
        from controller.effects.docker_context import chosen_context  # noqa: PLC0415 - few hosts need it

        host = ""
        try:
            if context := chosen_context(environment):
                host = f", which has the engine at {masked(context.host)!r}"
                engine_url(context.host)
        except ValueError as error:
            self.problems.append(f"DOCKER_CONTEXT {environment['DOCKER_CONTEXT']!r}{host}: {error}")
            return None
        return context

    def credentials(self) -> Credentials:
        """Return the credentials that the options give for every registry.

        TLS is on here if any of its files was given. The password is that of --etcd-password-file, or else of the
        environment variable, or else the one in etcdctl's form ``name:password`` of the user.
        """
        files = {name: self.get(f"etcd-{name}", converters.readable_file, "") for name in ("ca", "cert", "key")}
        if bool(self.raw["etcd-cert"]) != bool(self.raw["etcd-key"]):
            self.problems.append("--etcd-cert and --etcd-key go together: give both, or neither")
        user, _, password = self.raw["etcd-user"].partition(":")
        from_file = self.get("etcd-password-file", converters.password, "")
        unreadable = bool(self.raw["etcd-password-file"]) and not from_file
        password = from_file or self.raw["etcd-password"] or password
        if not unreadable and bool(user) != bool(password):
            self.problems.append("a user name and a password go together: give both, or neither")
        tls, file = any(files.values()), self.raw["etcd-password-file"]
        return Credentials(tls, files["ca"], files["cert"], files["key"], user, password, file)

    def registries(self, uris: tuple[str, ...]) -> tuple[RegistrySettings, ...]:
        """Return the registries that were given. It is a problem if there is none, or if two of them overlap."""
        if not uris:
            example = "etcd://127.0.0.1:2379/services"
            self.problems.append(
                f"at least one registry URI is needed, as in {example}; none was given as an argument or in "
                "WHARFINGER_REGISTRY"
            )
        self.default_endpoints = self.get(ENDPOINTS_VARIABLE, DefaultEndpoints.parse, DefaultEndpoints())
        parsed = []
        for text in uris:
            try:
                parsed.append((text, parse_uri(self.default_endpoints.filled_in(text))))
            except ValueError as error:
                self.problems.append(f"registry URI {masked(text)!r}: {error}")
        credentials = self.credentials()
        registries = tuple(
            self._registry(label, text, uri, evolve(credentials, tls=credentials.tls or uri.tls))
            for label, (text, uri) in zip(labels([uri for _, uri in parsed]), parsed, strict=True)
        )
        self.problems += overlapping_registries(registries)
        return registries

    def _registry(self, label: str, text: str, uri: RegistryUri, credentials: Credentials) -> RegistrySettings:
        """Return the settings of a registry whose URI was given as ``text``. It is a problem if TLS is used and the
        endpoints of ETCD_ENDPOINTS, in place of its own, ask for none, or the other way round."""
        given = self.default_endpoints.filled_in(text)
        if given != text and (problem := self.default_endpoints.tls_problem(text, tls=credentials.tls)):
            self.problems.append(problem)
        return RegistrySettings(label, given, uri, credentials)

    def value_format(self, registries: tuple[RegistrySettings, ...]) -> ValueFormat:
        """Return the value format. It is a problem to give one if every registry has the SkyDNS layout."""
        value_format = self.get("value-format", converters.value_format, ValueFormat.HOSTPORT)
        every_skydns = registries and all(each.uri.layout is LayoutKind.SKYDNS for each in registries)
        if every_skydns and value_format is not ValueFormat.HOSTPORT:
            scheme = registries[0].uri.scheme
            self.problems.append(
                f"--value-format {value_format.value} applies to etcd:// and etcd3:// only; "
                f"the values of {scheme}:// are always records for CoreDNS"
            )
        return value_format

    def record_ttl(self, registries: tuple[RegistrySettings, ...]) -> int | None:
        """Return the TTL of DNS records; None if none was given. It is a problem to give one if no registry has the
        SkyDNS layout."""
        record_ttl = self.get("record-ttl", converters.record_ttl, None)
        any_skydns = any(each.uri.layout is LayoutKind.SKYDNS for each in registries)
        if registries and record_ttl is not None and not any_skydns:
            self.problems.append(
                f"--record-ttl {record_ttl} applies to skydns2:// and skydns3:// only; "
                f"the values of {registries[0].uri.scheme}:// have no TTL"
            )
        return record_ttl
