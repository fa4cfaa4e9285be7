"""Remove the entries of one host from each registry: ``wharfinger deregister``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import click
from attrs import frozen

from controller.commands.build import Effects
from controller.commands.confirm import confirm
from controller.commands.exit_codes import ExitCode
from controller.commands.parallel import run_in_parallel
from controller.commands.plan_text import removal_line
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import OwnerSettings
from controller.errors import RegistryUnavailable, Stop
from controller.reconcile.deregister import (
    MAX_WAIT,
    QUERY_LIFETIME,
    Owner,
    is_alive,
    leaves_traces,
    other_owners,
    removal_plan,
    remove,
    wait_for_answer,
)
from controller.registry.factory import layout_for, open_registry
from model.keys import quoted
from model.plan import Plan
from model.report import Outcome, Result, summary

#: The least and the most seconds that ``--wait`` accepts.
WAITS = 0.0, MAX_WAIT

#: The most owners that are listed for a registry in which nobody has the given name.
MAX_NAMED = 20


@frozen
class DeregisterOptions:
    """The command line options of ``wharfinger deregister`` alone."""

    #: Whether to print the plan and change nothing.
    dry_run: bool
    #: Whether to remove the entries without asking for confirmation.
    yes: bool
    #: Whether to remove the entries without checking that the owner's agent has stopped.
    force: bool
    #: Seconds to wait for a sign that the owner's agent is alive; None: as long as the agent may take.
    wait: float | None
    #: Whether the exit code is 0 although nobody has the owner's name.
    missing_ok: bool = False


class _RegistryRemoval:
    """The removal of one owner's entries from one registry.

    ``line_start`` names the registry at the start of each line of output; it is empty if there is only one registry.
    """

    def __init__(
        self, settings: RegistrySettings, owner: str, options: DeregisterOptions, effects: Effects, line_start: str
    ) -> None:
        self.line_start = line_start
        #: Why the removal cannot go on; empty while it can.
        self.problem = ""
        self.plan = Plan()
        #: Whether the registry holds entries of the owner, or anything that is kept about it.
        self.has_something_to_remove = False
        #: The names of the other owners, if there is nothing to remove.
        self.other_owners: tuple[str, ...] = ()
        self.outcomes: tuple[Outcome, ...] = ()
        self._wait = options.wait
        self._owner = Owner(owner, layout_for(settings.uri), effects.clock)
        self._registry = open_registry(
            settings.uri, settings.credentials, QUERY_LIFETIME, transports=effects.transports
        )

    def read_plan(self) -> None:
        """Find out what there is to remove. Raises RegistryUnavailable."""
        self.plan = removal_plan(self._owner, self._registry)
        self.has_something_to_remove = bool(self.plan.changes) or leaves_traces(self._owner, self._registry)
        if not self.has_something_to_remove:
            self.other_owners = other_owners(self._owner, self._registry)

    def check_agent_has_stopped(self) -> None:
        """Raise Stop if the owner's agent is alive, or may take too long to answer. Raises RegistryUnavailable."""
        name, wait = self._owner.name, wait_for_answer(self._owner, self._registry, self._wait)
        if self._wait is None:
            line = f"wharfinger: {self.line_start}waiting up to {wait:.0f} seconds for the agent of {name!r} to answer"
            click.echo(line, err=True)
        if is_alive(self._owner, self._registry, self._wait):
            raise Stop(
                f"the agent of {name!r} is alive and would register them again; stop it first, or use --force. To take "
                "the host out of service while its agent runs, use 'wharfinger drain --all' there"
            )

    def remove_entries(self) -> None:
        """Make the plan anew, and carry it out. Since the first plan, etcd may have carried out a write of the agent
        late. Raises RegistryUnavailable."""
        self.plan = removal_plan(self._owner, self._registry)
        self.outcomes = tuple(remove(self._owner, self._registry, self.plan))

    @property
    def complete(self) -> bool:
        """Whether none of the owner's entries is left."""
        return not self.problem and all(outcome.result is Result.APPLIED for outcome in self.outcomes)


def deregister(settings: OwnerSettings, options: DeregisterOptions, effects: Effects) -> ExitCode:
    """Print the owner's entries, remove them where that is safe and confirmed, and return the exit code.

    An owner that no registry knows is a failure: the name may be misspelt, and the host that was meant keeps its
    entries. Each registry is handled on its own: one that does not answer does not keep the others from being emptied.
    Raises Stop when there is no terminal to ask on, and click's Abort when the operator does not confirm.
    """
    several = len(settings.registries) > 1
    removals = [
        _RegistryRemoval(each, settings.owner, options, effects, f"{each.given}: " if several else "")
        for each in settings.registries
    ]
    run_step = partial(_run_step, effects=effects)
    run_step(removals, _RegistryRemoval.read_plan)
    readable = [each for each in removals if not each.problem]
    for each in readable:
        _print_plan(each, options)
    if readable == removals and not any(each.has_something_to_remove for each in removals):
        _print_missing(settings.owner, removals)
        return ExitCode.IN_SYNC if options.missing_ok else ExitCode.FAILED
    remaining = [each for each in readable if each.has_something_to_remove and not options.dry_run]
    if not options.force:
        run_step(remaining, _RegistryRemoval.check_agent_has_stopped)
    if remaining := [each for each in remaining if not each.problem]:
        _confirm(settings.owner, sum(len(each.plan.changes) for each in remaining), options)
        run_step(remaining, _RegistryRemoval.remove_entries)
    for each in remaining:
        _print_result(settings.owner, each)
    return ExitCode.IN_SYNC if all(each.complete for each in removals) else ExitCode.FAILED


def _run_step(removals: Sequence[_RegistryRemoval], step: Callable[[_RegistryRemoval], None], effects: Effects) -> None:
    """Take this step of all removals at the same time, and print the problem of each that could not take it."""

    def attempt(removal: _RegistryRemoval) -> None:
        try:
            step(removal)
        except (Stop, RegistryUnavailable) as error:
            removal.problem = str(error)

    run_in_parallel([partial(attempt, each) for each in removals], effects.background)
    for each in removals:
        if each.problem:
            click.echo(f"wharfinger: {each.line_start}{each.problem}", err=True)


def _print_missing(owner: str, removals: Sequence[_RegistryRemoval]) -> None:
    """Print that no registry has anything of the owner, and which other owners each of them has."""
    for each in removals:
        names = [*map(quoted, each.other_owners[:MAX_NAMED])]
        more = f" and {len(each.other_owners) - MAX_NAMED} more" if len(each.other_owners) > MAX_NAMED else ""
        there = f"the owners there are {', '.join(names)}{more}" if names else "there are no owners"
        click.echo(f"wharfinger: {each.line_start}nobody has the name {owner!r}; {there}", err=True)


def _print_plan(planned: _RegistryRemoval, options: DeregisterOptions) -> None:
    if planned.line_start:
        click.echo(planned.line_start.rstrip())
    for change in planned.plan.changes:
        click.echo(removal_line(change))
    if options.dry_run or not planned.has_something_to_remove:
        click.echo(summary(planned.plan))


def _confirm(owner: str, entries: int, options: DeregisterOptions) -> None:
    """Ask once for all registries. Raises Stop when there is no terminal, and click's Abort when the answer is no."""
    if not options.yes:
        confirm(f"Remove these {entries} entries of {owner!r}?", "these entries are to go")


def _print_result(owner: str, done: _RegistryRemoval) -> None:
    if done.problem:
        return
    for outcome in done.outcomes:
        if outcome.result is not Result.APPLIED:
            click.echo(f"wharfinger: {done.line_start}{outcome.change.key} stays: {outcome.detail}", err=True)
    removed = sum(outcome.result is Result.APPLIED for outcome in done.outcomes)
    click.echo(f"{done.line_start}Removed {removed} of {len(done.outcomes)} entries of {owner!r}.")
