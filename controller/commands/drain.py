"""Drain containers, or all of this host's, and end that: ``wharfinger drain`` and ``wharfinger undrain``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import ceil, inf

import click
from attrs import evolve, frozen

from controller.commands.build import Effects
from controller.commands.confirm import confirm
from controller.commands.exit_codes import ExitCode
from controller.commands.parallel import run_in_parallel
from controller.commands.running_agent import RunningAgent, find_agent
from controller.config.registry_settings import RegistrySettings
from controller.errors import EngineUnavailable, Stop, WharfingerError, WrongUsage, plain
from controller.reconcile.drain import DrainedOwner
from controller.registry.base import Sweeping
from controller.registry.factory import Use, layout_for, open_registry
from controller.source.named_containers import NamedContainers
from model.container import Container
from model.drain_order import NO_DRAIN, DrainedContainer, DrainOrder, until_text
from model.stored import FOREVER
from model.sweep import SweepRule

#: Makes another drain order of one.
Edit = Callable[[DrainOrder], DrainOrder]

#: The most keys that are named as still there.
MAX_NAMED = 5


@frozen
class DrainOptions:
    """The command line options of ``wharfinger drain``."""

    #: The containers that are to drain, each by its name, its id or the beginning of its id.
    containers: tuple[str, ...]
    #: Whether all containers are to drain instead.
    everything: bool
    #: For how many seconds; None: until ``wharfinger undrain``.
    seconds: float | None = None
    #: Seconds from when the keys are gone to the end of the command; None: do not wait for the keys.
    wait: float | None = None
    #: Whether not to ask for confirmation of ``--all``.
    yes: bool = False
    #: The URL of the agent's HTTP server; empty: where WHARFINGER_LISTEN says.
    agent: str = ""


@frozen
class UndrainOptions:
    """The command line options of ``wharfinger undrain``."""

    #: The containers that are to drain no longer.
    containers: tuple[str, ...]
    #: Whether none is to drain any longer.
    everything: bool
    #: The URL of the agent's HTTP server; empty: where WHARFINGER_LISTEN says.
    agent: str = ""


class _RegistryDrain:
    """The change of the drain order in one registry.

    ``line_start`` names the registry at the start of each line of output; it is empty if there is only one registry.
    """

    def __init__(self, settings: RegistrySettings, agent: RunningAgent, effects: Effects, line_start: str) -> None:
        self.line_start = line_start
        #: Why the change cannot go on; empty while it can.
        self.problem = ""
        #: The order before and after the change.
        self.before = self.order = NO_DRAIN
        use = Use(sweeping=Sweeping(SweepRule(at_once=True)))
        registry = open_registry(settings.uri, settings.credentials, FOREVER, use=use, transports=effects.transports)
        engine_id = agent.description.engine_id
        self._owner = DrainedOwner(agent.owner, engine_id, layout_for(settings.uri), registry, effects.clock)

    def change(self, edit: Edit) -> None:
        """Replace the order by what ``edit`` makes of it. Raises OwnerConflict and RegistryUnavailable."""

        def noted(before: DrainOrder) -> DrainOrder:
            self.before = before
            return edit(before)

        self.order = self._owner.change_order(noted)

    def wait_for_keys(self, containers: frozenset[str] | None) -> None:
        """Wait until the keys of these containers, given by id and name, or of all containers, are gone. Raises
        RegistryUnavailable, and Stop if they stay."""
        if left := self._owner.keys_that_stay(containers):
            more = f" and {len(left) - MAX_NAMED} more" if len(left) > MAX_NAMED else ""
            keys = ", ".join(left[:MAX_NAMED])
            raise Stop(f"the agent has not removed {keys}{more} in time; its log and its /readyz may say why")

    def say(self, text: str) -> None:
        """Print what has become of the order. A name in it may come from etcd, where others write."""
        click.echo(plain(f"{self.line_start}{text}"))

    def complain(self, text: str) -> None:
        """Print what has gone wrong."""
        click.echo(plain(f"wharfinger: {self.line_start}{text}"), err=True)


@frozen
class _Drain:
    """What is to drain."""

    #: Adds it to an order.
    edit: Edit
    #: The ids and names of the containers; None for all containers.
    containers: frozenset[str] | None
    #: What drains, a line for each of them.
    lines: tuple[str, ...]
    #: Whether it is all that the operator asked for.
    complete: bool = True


def drain(options: DrainOptions, effects: Effects) -> ExitCode:
    """Let containers drain, and return the exit code.

    A container that is not found, or a registry that does not answer, does not keep the others from being drained.
    Raises Stop if there is no agent to ask, or no terminal to confirm on, and click's Abort when the operator does not
    confirm.
    """
    _check_arguments(options.containers, everything=options.everything)
    agent = find_agent(options.agent)
    until = inf if options.seconds is None else float(ceil(effects.clock.wall() + options.seconds))
    if options.everything:
        wanted = _of_all(agent.owner, until, yes=options.yes)
    else:
        wanted = _of_named(options.containers, agent, until, effects)
        if not wanted.lines:
            return ExitCode.FAILED
    registries = _registries(agent, effects)
    for each in _step(registries, lambda each: each.change(wanted.edit), effects):
        for line in wanted.lines:
            each.say(line)
    if options.wait is not None and _step(registries, lambda each: each.wait_for_keys(wanted.containers), effects):
        effects.clock.sleep(options.wait)
    return _exit_code(registries, complete=wanted.complete)


def undrain(options: UndrainOptions, effects: Effects) -> ExitCode:
    """End the drain of containers, and return the exit code. Raises Stop if there is no agent to ask."""
    _check_arguments(options.containers, everything=options.everything)
    agent = find_agent(options.agent)
    registries = _registries(agent, effects)
    if options.everything:
        for each in _step(registries, lambda each: each.change(lambda _: NO_DRAIN), effects):
            each.say(f"The operator drains no container of {agent.owner!r} any more.")
        return _exit_code(registries)
    changed = _step(registries, lambda each: each.change(partial(_without, options.containers)), effects)
    for each in changed:
        ended = each.before.containers.keys() - each.order.containers.keys()
        for container in sorted(ended):
            each.say(f"{each.before.containers[container].name} drains no longer.")
    return _exit_code(registries, complete=_tell_what_drains_on(changed, options.containers, agent.owner))


def _check_arguments(containers: Sequence[str], *, everything: bool) -> None:
    """Raise WrongUsage unless the operator means either some containers or all of them."""
    if bool(containers) == everything:
        raise WrongUsage(["name containers, or give --all" + (", and not both" if everything else "")])


def _registries(agent: RunningAgent, effects: Effects) -> list[_RegistryDrain]:
    """Return what is to be done in each registry of the agent. Raises Stop if they cannot be used from here."""
    settings = agent.registries()
    several = len(settings) > 1
    return [_RegistryDrain(each, agent, effects, f"{each.given}: " if several else "") for each in settings]


def _step(
    registries: Sequence[_RegistryDrain], step: Callable[[_RegistryDrain], None], effects: Effects
) -> list[_RegistryDrain]:
    """Take a step in all registries that have no problem, at the same time. Print the problem of each that could not
    take it, and return the others."""

    def attempt(registry: _RegistryDrain) -> None:
        try:
            step(registry)
        except WharfingerError as error:
            registry.problem = str(error)

    going = [each for each in registries if not each.problem]
    run_in_parallel([partial(attempt, each) for each in going], effects.background)
    for each in going:
        if each.problem:
            each.complain(each.problem)
    return [each for each in going if not each.problem]


def _exit_code(registries: Iterable[_RegistryDrain], *, complete: bool = True) -> ExitCode:
    return ExitCode.FAILED if not complete or any(each.problem for each in registries) else ExitCode.IN_SYNC


# What is to drain.


def _of_all(owner: str, until: float, *, yes: bool) -> _Drain:
    """Return the drain of all containers, after asking the operator to confirm it."""
    if not yes:
        question = f"Drain all containers of {owner!r}, and those that start later{until_text(until)}?"
        confirm(question, "all containers of this host are to drain")
    line = f"All containers of {owner!r} drain{until_text(until)}."
    return _Drain(lambda order: evolve(order, all_until=until), None, (line,))


def _of_named(texts: Sequence[str], agent: RunningAgent, until: float, effects: Effects) -> _Drain:
    """Return the drain of the containers that these texts mean to the engine. Print why the others do not drain.

    The order is freed of containers that no longer run, as each replacement of a container would leave one there.
    """
    engine = NamedContainers(partial(effects.connect_engine, agent.engine))
    questions: list[Callable[[], _Answer]] = [partial(_found, engine, text) for text in texts]
    questions.append(partial(_running, engine))
    *answers, running = run_in_parallel(questions, effects.background)
    containers = [each for each in answers if isinstance(each, Container)]
    for problem in answers:
        if isinstance(problem, WharfingerError):
            click.echo(f"wharfinger: {problem}", err=True)
    named = [DrainedContainer(each.id, each.started, each.name, until) for each in containers]

    def edit(order: DrainOrder) -> DrainOrder:
        ended = order.containers.keys() - running if isinstance(running, frozenset) else ()
        return order.without_containers(ended).with_containers(named)

    return _Drain(
        edit,
        frozenset(text for each in named for text in (each.id, each.name)),
        tuple(f"{each.name} drains{until_text(until)}." for each in named),
        complete=len(named) == len(texts),
    )


#: What the engine answers about a container that was named, or which containers run; None if it does not tell.
_Answer = Container | WharfingerError | frozenset[str] | None


def _found(engine: NamedContainers, text: str) -> Container | WharfingerError:
    """Return the running container that a text means, or why there is none."""
    try:
        return engine.find(text)
    except (Stop, EngineUnavailable) as error:
        return error


def _running(engine: NamedContainers) -> frozenset[str] | None:
    """Return the ids of all containers that run; None if the engine does not tell."""
    try:
        return engine.running()
    except EngineUnavailable:
        return None


# What drains no longer.


def _without(texts: Iterable[str], order: DrainOrder) -> DrainOrder:
    """Return the order without the containers that these texts mean. Raises Stop if one may mean several."""
    return order.without_containers([each.id for text in texts for each in _meant(text, order)])


def _meant(text: str, order: DrainOrder) -> Sequence[DrainedContainer]:
    """Return the containers in an order that a text means. Raises Stop if the ids of several begin with it."""
    meant = order.named(text)
    if len(meant) > 1 and text not in {meant[0].id, meant[0].name}:
        raise Stop(f"the ids of {len(meant)} drained containers begin with {text!r}; give more of the id")
    return meant


def _tell_what_drains_on(registries: Sequence[_RegistryDrain], texts: Iterable[str], owner: str) -> bool:
    """Print which of these containers drain all the same, and which did not drain. Return whether there is none."""
    unknown = [text for text in texts if registries and not any(each.before.named(text) for each in registries)]
    for text in unknown:
        click.echo(f"wharfinger: the operator does not drain {text!r} by name", err=True)
    draining = [each for each in registries if each.order.all_until is not None]
    for each in draining:
        each.complain(
            f"all containers of {owner!r} drain{until_text(each.order.all_until or inf)}; end that with "
            "'wharfinger undrain --all', and then drain by name those that are to drain on"
        )
    return not unknown and not draining
