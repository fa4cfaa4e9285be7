"""The agent note: what a running agent writes down about itself, beside the owner record.

It says how long the agent may take to answer a liveness query, and which flags shape its keys. It has a key of its own
because 0.1.0 writes the owner record back without the fields that it does not know. A reader ignores fields that it
does not know, and takes a note that it cannot read for none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

from attrs import field, frozen

from model.frozen import frozen_dict
from model.keys import quoted
from model.stored import Stored

#: Seconds in which an agent without a note answers: 0.1.0 writes none. With its default flags it needs 41.
SECONDS_WITHOUT_NOTE = 45.0

#: More seconds than any agent waits. A number above this was not written by an agent.
_MAX_SECONDS = 1e9


@frozen
class AgentNote:
    """What an agent writes down about itself when it starts."""

    #: The version of the program.
    version: str
    #: Seconds between two passes.
    interval: float
    #: Seconds that a pass may take.
    pass_timeout: float
    #: Seconds between two passes at most, while passes fail.
    max_backoff: float
    #: The flags that decide which keys and values are written, by name, without those that were not given. Two agents
    #: of one host have to agree on them.
    flags: Mapping[str, str] = field(converter=frozen_dict)
    #: Tells the runs of one host's agents apart.
    run: str

    @property
    def seconds_to_answer(self) -> float:
        """Seconds that the agent may take to answer a liveness query, at most."""
        return self.interval + self.pass_timeout + self.max_backoff

    def encode(self) -> str:
        """Return the note as canonical JSON."""
        document = {
            "version": self.version,
            "interval": self.interval,
            "pass_timeout": self.pass_timeout,
            "max_backoff": self.max_backoff,
            "flags": dict(self.flags),
            "run": self.run,
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Self | None:
        """Read a note; None for a text that is none."""
        try:
            document = json.loads(text)
            return cls(
                version=str(document["version"]),
                interval=_seconds(document["interval"]),
                pass_timeout=_seconds(document["pass_timeout"]),
                max_backoff=_seconds(document["max_backoff"]),
                flags={str(name): str(value) for name, value in document["flags"].items()},
                run=str(document["run"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None

    def may_stay(self, other: AgentNote) -> bool:
        """Return whether the note of another run may stand in this one's place: whoever waits as long as it says waits
        long enough for this agent, too."""
        return other.seconds_to_answer >= self.seconds_to_answer

    def differences(self, other: AgentNote) -> str:
        """Return for people on which flags the two agents disagree; empty where they agree."""
        names = sorted(self.flags.keys() | other.flags.keys())
        differing = [name for name in names if self.flags.get(name) != other.flags.get(name)]
        return "; ".join(
            f"{quoted(name)} is {_shown(self.flags.get(name))} here and {_shown(other.flags.get(name))} there"
            for name in differing
        )


def _seconds(value: Any) -> float:
    """Return a number of seconds of a note. Raises ValueError and TypeError for what is none."""
    seconds = float(value)
    if not 0 <= seconds <= _MAX_SECONDS:
        raise ValueError(value)
    return seconds


def _shown(value: str | None) -> str:
    return "not given" if value is None else quoted(value)


def note_in(stored: Stored | None) -> AgentNote | None:
    """Return the agent note in a stored value; None where there is no key or its value is no note."""
    return AgentNote.decode(stored.value) if stored else None


def seconds_to_answer(stored: Stored | None) -> float:
    """Return how many seconds the agent that wrote this note may take to answer a liveness query."""
    note = note_in(stored)
    return note.seconds_to_answer if note else SECONDS_WITHOUT_NOTE


def disagreement(note: AgentNote, stored: Stored | None, replaced: int | None) -> str:
    """Return for people how the flags of another agent of this host differ from those of this run's ``note``; empty
    while no other one is known.

    ``stored`` is the note that was read, and ``replaced`` the version of the one that this run's note replaced, None
    while it has not. A note of another run shows another agent only if it was written later. This run writes its note
    again over one that may not stay, and then it is for the other agent to tell.
    """
    other = note_in(stored)
    if stored is None or other is None or replaced is None or stored.version <= replaced:
        return ""
    return note.differences(other) if other.run != note.run and note.may_stay(other) else ""
