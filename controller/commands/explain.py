"""Say what was decided about a container, and by what: ``wharfinger explain``.

The running agent is asked, as it alone knows the flags by which it decides. Without an agent, one pass over each
registry is made that writes nothing, by the flags of this command.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from urllib.parse import quote

import click
from attrs import frozen

from controller.commands.build import Effects, engine_settings_for
from controller.commands.exit_codes import ExitCode
from controller.commands.explain_text import as_text
from controller.commands.pages import filter_texts
from controller.commands.parallel import run_in_parallel
from controller.commands.reconcile import dry_pass
from controller.commands.running_agent import ask_page, url_of_agent
from controller.config.settings import Settings
from controller.errors import Stop, WrongUsage, masked, plain
from controller.observe.api.explain import EXPLAIN, ShownPass, explanations_document
from controller.observe.api.values import VERSION, Document, encoded
from controller.observe.last_reports import EndedPass
from controller.source.named_containers import NamedContainers, is_id_or_name

#: Bytes of the agent's answer that are read. It has the names of all candidates, if those are many.
MAX_ANSWER = 1_000_000


@frozen
class ExplainOptions:
    """The command line options of ``wharfinger explain`` alone."""

    #: The container: its name, its id or the beginning of its id.
    container: str
    #: The URL of the agent's HTTP server; empty: where WHARFINGER_LISTEN says.
    agent: str = ""
    #: Whether not to ask an agent.
    no_agent: bool = False
    #: How to print the explanation: ``text`` or ``json``.
    output: str = "text"


def explain(options: ExplainOptions, parse: Callable[[], Settings], effects: Effects) -> ExitCode:
    """Explain a container, and return the exit code. ``parse`` returns the settings of this command's flags, and raises
    WrongUsage if they are no settings of a pass.

    Raises Stop if there is no agent to ask and the flags do not say over which registries to make a pass.
    """
    if not is_id_or_name(options.container):
        raise WrongUsage([f"{masked(options.container)!r} is no name and no id of a container"])
    document, text = _explained(options, parse, effects)
    click.echo(encoded(document) if options.output == "json" else text)
    return ExitCode.IN_SYNC if document["explained"] else ExitCode.FAILED


def _explained(options: ExplainOptions, parse: Callable[[], Settings], effects: Effects) -> tuple[Document, str]:
    """Return the explanation as a document and as text. The last sentence of the text says whose decision it is: the
    agent's, or that of a pass by the flags of this command."""
    problem = ""
    if not options.no_agent:
        try:
            return _asked_of_agent(options)
        except Stop as error:
            if options.agent:
                raise
            problem = str(error)
    try:
        settings = parse()
    except WrongUsage as error:
        if not problem:
            raise
        reasons = "; ".join(error.problems)
        raise Stop(f"{problem}. Nor is there a pass to make without an agent: {reasons}") from error
    document = _decided_here(options.container, settings, effects)
    why = f" No agent was asked: {problem}." if problem else ""
    return document, f"{as_text(document)}\nDecided by the flags of this command, in a pass that changed nothing.{why}"


def _asked_of_agent(options: ExplainOptions) -> tuple[Document, str]:
    """Return what the running agent answers. Raises Stop if there is none, or it does not answer this question."""
    url = url_of_agent(options.agent)
    status, body = ask_page(url, f"{EXPLAIN}{quote(options.container, safe='')}", MAX_ANSWER)
    document = _read(body)
    if status == HTTPStatus.OK and document.get("version") == VERSION:
        with suppress(KeyError, TypeError, AttributeError):  # Something else may listen at the agent's port.
            moments = " and ".join(dict.fromkeys(plain(each["planned_at"]) for each in document["registries"]))
            return document, f"{as_text(document)}\nDecided by the agent at {masked(url)}, in its pass of {moments}."
    problems = document.get("problems")
    told = "; ".join(plain(str(each)) for each in problems) if isinstance(problems, list) else ""
    reason = told or "it is none, or one of another version"
    raise Stop(f"the agent at {masked(url)} does not explain containers: {reason}")


def _read(body: bytes) -> Document:
    """Return the JSON object in an answer; an empty one if there is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _decided_here(container: str, settings: Settings, effects: Effects) -> Document:
    """Return what passes that change nothing decide about a container."""
    passes = [dry_pass(each, settings, effects) for each in settings.registries]
    ended = [EndedPass(each, effects.clock.wall()) for each in run_in_parallel(passes, effects.background)]
    shown = [
        ShownPass(each.label, masked(each.given), made, made)
        for each, made in zip(settings.registries, ended, strict=True)
    ]
    containers = NamedContainers(partial(effects.connect_engine, engine_settings_for(settings, effects)))
    return explanations_document(container, "dry-run", shown, containers.look_up, filter_texts(settings))
