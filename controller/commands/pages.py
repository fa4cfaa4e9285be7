"""The pages under /api/v1/ of a running agent, put together from its parts."""

from __future__ import annotations

from controller import __version__
from controller.commands.build import Agent
from controller.effects.clock import Clock
from controller.observe.api.pages import ApiPages
from controller.observe.api.status import AgentStatus


def api_pages(agent: Agent, clock: Clock) -> ApiPages:
    """Return the pages of this agent."""

    def status() -> AgentStatus:
        known, events = agent.page.description, agent.events
        hints = events.origin.value if events else "off"
        return AgentStatus(__version__, agent.started, known.owner, known.engine_id, hints)

    uris = dict(zip(agent.last_reports, agent.page.description.registries, strict=True))
    return ApiPages(status, uris, agent.last_reports, clock)
