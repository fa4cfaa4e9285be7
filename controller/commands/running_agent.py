"""The running agent of this host, as other commands see it: what it tells of itself, and how to reach what it
reaches."""

from __future__ import annotations

import os

from attrs import frozen

from controller.commands.agent_http import MAX_ANSWER, agent_url, fetch
from controller.config.flags import environment_variable, password_in_environment
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import parse_connection
from controller.effects.docker_context import UnusableContext, chosen_context
from controller.effects.files import UnusableFile, token_in
from controller.errors import Stop, WrongUsage, masked, one_line
from controller.observe.agent_page import PATH, AgentDescription
from controller.source.engine_connection import EngineSettings

#: What to do if the agent is not found.
_CURE = "give its URL with --agent, as in --agent http://127.0.0.1:9119, or set WHARFINGER_LISTEN as for the agent"

#: The environment variable that names the file with the agent's token, for the agent and for those who ask it.
TOKEN_VARIABLE = environment_variable("web-token-file")

#: The status of an answer that asks for a token.
_UNAUTHORIZED = 401


@frozen
class RunningAgent:
    """What a running agent told of itself."""

    #: The URL of its HTTP server.
    url: str
    description: AgentDescription

    @property
    def owner(self) -> str:
        """The owner of its entries."""
        return self.description.owner

    @property
    def engine(self) -> EngineSettings:
        """Where the agent's engine is. Raises Stop if the agent uses a Docker context that cannot be read here."""
        variables = self.description.docker_environment
        try:
            return EngineSettings(self.description.docker_host, variables, context=chosen_context(variables))
        except UnusableContext as error:
            raise Stop(f"cannot reach the engine of the agent at {masked(self.url)}: {error}") from error

    def registries(self) -> tuple[RegistrySettings, ...]:
        """Return the settings of its registries, with the password in this program's environment, or in the agent's
        password file. Raises Stop if the registries cannot be reached with what there is."""
        connection, password = self.description.connection, password_in_environment()
        if "etcd-user" in connection and not (password or "etcd-password-file" in connection):
            user = connection["etcd-user"]
            raise Stop(
                f"the agent logs in to etcd as {user!r}, and does not tell the password: "
                "set WHARFINGER_ETCD_PASSWORD as for the agent"
            )
        try:
            return parse_connection(connection, self.description.registries, password)
        except WrongUsage as error:
            problems = "; ".join(error.problems)
            raise Stop(f"cannot reach the registries of the agent at {masked(self.url)}: {problems}") from error


def find_agent(url: str) -> RunningAgent:
    """Return the agent whose HTTP server is at this URL, or if it is empty, at WHARFINGER_LISTEN. It takes no longer
    than ``agent_http.TIMEOUT``. Raises Stop, with what to do, if there is none."""
    url = url_of_agent(url)
    status, body = ask_page(url, PATH)
    description = AgentDescription.decode(body) if status == 200 else None
    if description is None:
        raise Stop(f"what answers at {masked(url)} is no agent, or one of another version; {_CURE}")
    if not description.owner:
        raise Stop(f"the agent at {masked(url)} does not know its owner name yet: its engine has not answered so far")
    return RunningAgent(url, description)


def url_of_agent(given: str) -> str:
    """Return the URL of the agent's HTTP server, without a slash at its end. It is ``given``, or if that is empty, the
    one that WHARFINGER_LISTEN stands for. Raises Stop, with advice, if WHARFINGER_LISTEN stands for no URL."""
    listen = os.environ.get("WHARFINGER_LISTEN")
    if not given and listen == "":
        raise Stop(
            "WHARFINGER_LISTEN is empty, so the agent has no HTTP server and cannot be asked; start it with --listen, "
            "or give the URL of its HTTP server with --agent"
        )
    try:
        return given.rstrip("/") or agent_url(listen)
    except ValueError as error:
        raise Stop(f"{error}; {_CURE}") from error


def ask_page(url: str, path: str, most: int = MAX_ANSWER) -> tuple[int, bytes]:
    """Return the status and the body of a page of the agent at this URL, of which at most so many bytes are read. The
    agent is sent the token in the file that WHARFINGER_WEB_TOKEN_FILE names. Raises Stop, with what to do, if nobody
    answers, or if the agent wants another token."""
    file = os.environ.get(TOKEN_VARIABLE, "")
    try:
        token = token_in(file) if file else ""
    except UnusableFile as error:
        raise Stop(f"the token for the agent cannot be used: {error}") from error
    try:
        status, body = fetch(f"{url}{path}", token=token, most=most)
    except (OSError, ValueError) as error:
        raise Stop(f"cannot ask the agent at {masked(url)}: {one_line(error)}; {_CURE}") from error
    if status == _UNAUTHORIZED:
        problem = f"asks for another token than that in {file}" if token else "asks for a token"
        raise Stop(f"the agent at {masked(url)} {problem}: set {TOKEN_VARIABLE} as for the agent")
    return status, body
