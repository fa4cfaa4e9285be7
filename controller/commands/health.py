"""Ask a running agent whether it is alive: ``wharfinger health``."""

from __future__ import annotations

import os
import re

from controller.commands.agent_http import TIMEOUT, agent_url, fetch
from controller.errors import masked, one_line, plain
from controller.observe.answer import Answer

#: What an agent says if it is alive: a line for each registry.
_ALIVE = re.compile(r"(\S+: )?ok(\n\S+: ok)*")


def ask(url: str = "") -> Answer:
    """Return what is answered at this URL, or if it is empty, what the agent at WHARFINGER_LISTEN answers."""
    return fetch_health(url) if url else ask_agent(os.environ.get("WHARFINGER_LISTEN"))


def ask_agent(listen: str | None) -> Answer:
    """Return what the agent on this host answers. ``listen`` is WHARFINGER_LISTEN, or None if that is not set.

    An empty WHARFINGER_LISTEN turns the HTTP server off. The answer is then good, because there is nobody to ask.
    """
    if listen == "":
        return Answer(True, "There is nothing to ask: WHARFINGER_LISTEN is empty, so the agent has no HTTP server.")
    try:
        answer = fetch_health(f"{agent_url(listen)}/healthz")
    except ValueError as error:
        return Answer(False, str(error))
    if listen is None and not answer.good:
        hint = "If the agent was started with --listen, set WHARFINGER_LISTEN instead, or give its URL to this command."
        return Answer(False, f"{answer.text}\n{hint}")
    return answer


def fetch_health(url: str, seconds: float = TIMEOUT) -> Answer:
    """Return what is answered at this URL, after these seconds at most. It is good if an agent says that it is alive.
    Raises nothing: an agent that cannot be reached is a bad answer, too."""
    try:
        status, body = fetch(url, seconds)
    except (OSError, ValueError) as error:
        return Answer(False, f"cannot ask {masked(url)}: {one_line(error)}")
    text = _printable(body)
    if status == 200 and not _ALIVE.fullmatch(text):
        return Answer(False, f"what answers at {masked(url)} is no agent, or not its /healthz: {text[:300]}")
    return Answer(status == 200, text or f"{masked(url)} answered with status {status}")


def _printable(body: bytes) -> str:
    """Return the body as text. Line breaks stay, as an agent with several registries has a line for each."""
    return "\n".join(map(plain, body.decode(errors="replace").strip().split("\n")))
