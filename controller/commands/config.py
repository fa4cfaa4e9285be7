"""The settings of the agent, and where each of them is from: ``wharfinger config``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import inf

import click
from attrs import frozen

from controller.commands.build import Effects, engine_settings_for
from controller.commands.tables import table_lines
from controller.config.converters import SEPARATOR
from controller.config.default_endpoints import ENDPOINTS_VARIABLE
from controller.config.flags import FLAGS, Flag, Origin, Switch, password_variable
from controller.config.grouped_help import FLAG_GROUPS
from controller.config.near_misses import URIS
from controller.config.settings import RawOptions, Settings
from controller.errors import masked
from controller.observe.api.values import VERSION, encoded

#: What is shown in the place of a secret.
_SECRET = "***"  # noqa: S105 - it hides one

#: The group of the registry URIs, which are no flags.
_REGISTRIES = "Registries"

#: By what the operator knows the password, which is no flag.
_PASSWORD = "password of --etcd-user"  # noqa: S105 - it is a name

#: By what the operator knows the endpoints in ETCD_ENDPOINTS.
_ENDPOINTS = "endpoints of URIs that name none"

#: By what the operator knows the interval that is shorter than --interval.
_COUNTING = "interval that counts"

#: The flags that ask for passes at least that often, besides --interval.
_SHORTENING = [each for each in FLAGS if each.name in {"resync", "ttl-refresh", "heartbeat"}]


@frozen
class Given:
    """The options that the command line and the environment gave."""

    raw: RawOptions
    #: What gave each of the options its value, as ``controller.config.flags.origins`` returns it.
    origins: Mapping[str, Origin]


@frozen
class _Setting:
    """A setting as it is shown."""

    #: The flag, the environment variable, or what else the operator knows the setting by.
    name: str
    #: The text of the value, with secrets masked; empty if there is none.
    value: str
    origin: Origin

    @property
    def row(self) -> tuple[str, str, str]:
        """The setting for people. An empty value is only written out if somebody gave it."""
        value = self.value or ("not set" if self.origin.kind == "default" else "''")
        return f"  {self.name}", self.origin.name or self.origin.kind, value

    @property
    def document(self) -> dict[str, str | None]:
        """The setting in JSON. ``from`` names the variable, the file or another flag that gave it, and may be null."""
        return {
            "name": self.name,
            "value": self.value,
            "origin": self.origin.kind,
            "from": self.origin.name or None,
        }


def print_config(settings: Settings, given: Given, effects: Effects, output: str) -> None:
    """Print the settings by their groups, as ``text`` or as ``json``. ``settings`` are what was made of ``given``."""
    groups = {_REGISTRIES: [*_registries(settings, given)]}
    for group in FLAG_GROUPS:
        groups[group.title] = [each for flag in group.flags for each in _settings_of(flag, settings, given, effects)]
    click.echo(_as_json(groups) if output == "json" else _as_text(groups))


def _registries(settings: Settings, given: Given) -> Iterator[_Setting]:
    """Yield the registries, each by its label, and what gives endpoints to those whose URI names none."""
    for each in settings.registries:
        yield _Setting(each.label, masked(each.given), given.origins[URIS])
    if endpoints := given.raw[ENDPOINTS_VARIABLE]:
        yield _Setting(_ENDPOINTS, endpoints, Origin("variable", ENDPOINTS_VARIABLE))


def _settings_of(flag: Flag | Switch, settings: Settings, given: Given, effects: Effects) -> Iterator[_Setting]:
    """Yield the setting of a flag, and the settings without a flag that are shown below it."""
    origin, text = given.origins[flag.name], given.raw[flag.name]
    match flag.name:
        case "interval":
            yield _Setting(flag.spelling, text, origin)
            yield from _counting_interval(settings, given)
        case "docker-host":
            yield _engine(flag, settings, origin, effects)
            yield from _connection_to_engine(settings, effects)
        case "etcd-user":
            name, colon, _ = text.partition(":")
            yield _Setting(flag.spelling, f"{name}:{_SECRET}" if colon else name, origin)
        case "etcd-password-file":
            yield _Setting(flag.spelling, text, origin)
            yield _password(settings, given)
        case _ if isinstance(flag, Switch):
            yield _Setting(flag.spelling, text or "false", origin)
        case _:
            yield _Setting(flag.spelling, text.replace(SEPARATOR, " "), origin)


def _counting_interval(settings: Settings, given: Given) -> Iterator[_Setting]:
    """Yield the interval between passes with the flag that gives it, if that is not --interval."""
    for flag in _SHORTENING:
        text = given.raw[flag.name]
        if text and settings.interval == float(text) != float(given.raw["interval"] or inf):
            yield _Setting(_COUNTING, text, Origin("flag", flag.spelling))
            return


def _engine(flag: Flag | Switch, settings: Settings, origin: Origin, effects: Effects) -> _Setting:
    """Return where the engine is. Without the flag, DOCKER_HOST or DOCKER_CONTEXT says so."""
    engine = engine_settings_for(settings, effects)
    if engine.named_by and not settings.docker_host:
        origin = Origin("variable", engine.named_by)
    return _Setting(flag.spelling, masked(engine.url), origin)


def _connection_to_engine(settings: Settings, effects: Effects) -> Iterator[_Setting]:
    """Yield the variables of Docker that are set and say how to connect to the engine."""
    for name in engine_settings_for(settings, effects).connection_variables:
        if value := effects.environment.get(name):
            yield _Setting(name, value, Origin("variable", name))


def _password(settings: Settings, given: Given) -> _Setting:
    """Return the password for etcd, masked. It is from the file, or else from a variable, or else a part of the user
    as etcdctl writes it."""
    file, variable = given.raw["etcd-password-file"], password_variable()
    if not settings.registries[0].credentials.password:
        return _Setting(_PASSWORD, "", Origin("default"))
    if file:
        return _Setting(_PASSWORD, _SECRET, Origin("file", file))
    return _Setting(_PASSWORD, _SECRET, Origin("variable", variable) if variable else given.origins["etcd-user"])


def _as_text(groups: Mapping[str, Sequence[_Setting]]) -> str:
    """Return a line for each group and each setting. The columns of all groups begin at the same places."""
    lines = iter(table_lines([each.row for settings in groups.values() for each in settings]))
    parts = (f"{title}:\n" + "\n".join(islice(lines, len(settings))) for title, settings in groups.items())
    return "\n\n".join(parts)


def _as_json(groups: Mapping[str, Sequence[_Setting]]) -> str:
    """Return one JSON document, with the groups in the order of the help."""
    shown = [{"title": title, "settings": [each.document for each in settings]} for title, settings in groups.items()]
    return encoded({"version": VERSION, "groups": shown})
