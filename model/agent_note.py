"""The agent note: what a running agent writes down about itself, beside the owner record.

The note says how long the agent may take to answer a liveness query, which flags shape its keys, and what kind of
engine it asks. It has a key of its own because version 0.1.0 drops unknown fields when it writes the owner record. A
reader ignores fields that it does not know, and treats a note that it cannot read as if there were none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

from attrs import field, frozen

from model.engine_kind import UNKNOWN_KIND
from model.frozen import frozen_dict
from model.keys import quoted
from model.stored import Stored

#: Seconds that an agent without a note is given to answer. Version 0.1.0 writes no note, and with its default flags it
#: needs up to 41 seconds.
SECONDS_WITHOUT_NOTE = 45.0

#: A number of seconds above this was not written by an agent.
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
    #: The most seconds between two passes while passes fail.
    max_backoff: float
    #: The flags that decide which keys and values are written, by name, without those that have their default. Two
    #: agents of one host have to agree on them.
    flags: Mapping[str, str] = field(converter=frozen_dict)
    #: An id that is different for each run of an agent.
    run: str
    #: The kind of the engine; unknown in the notes of older versions.
    engine: str = UNKNOWN_KIND

    @property
    def seconds_to_answer(self) -> float:
        """The most seconds that the agent may take to answer a liveness query."""
        return self.interval + self.pass_timeout + self.max_backoff

    @property
    def has_heartbeat(self) -> bool:
        """Whether the agent shows with a key that it is alive (--heartbeat)."""
        return "heartbeat" in self.flags

    def encode(self) -> str:
        """Return the note as canonical JSON."""
        document = {
            "version": self.version,
            "interval": self.interval,
            "pass_timeout": self.pass_timeout,
            "max_backoff": self.max_backoff,
            "flags": dict(self.flags),
            "run": self.run,
        } | ({"engine": self.engine} if self.engine else {})
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Self | None:
        """Read a note. Return None if the text is not a note."""
        try:
            document = json.loads(text)
            return cls(
                version=str(document["version"]),
                interval=_seconds(document["interval"]),
                pass_timeout=_seconds(document["pass_timeout"]),
                max_backoff=_seconds(document["max_backoff"]),
                flags={str(name): str(value) for name, value in document["flags"].items()},
                run=str(document["run"]),
                engine=str(document.get("engine") or UNKNOWN_KIND),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None

    def may_stay(self, other: AgentNote) -> bool:
        """Return whether the note of another run, ``other``, may stay in the registry instead of this one. It may if
        its agent takes at least as long to answer: whoever waits for that agent waits long enough for this one, too."""
        return other.seconds_to_answer >= self.seconds_to_answer

    def differences(self, other: AgentNote) -> str:
        """Return, for people, the flags on which the two agents differ; an empty string if they agree."""
        names = sorted(self.flags.keys() | other.flags.keys())
        differing = [name for name in names if self.flags.get(name) != other.flags.get(name)]
        return "; ".join(
            f"{quoted(name)} is {_shown(self.flags.get(name))} here and {_shown(other.flags.get(name))} there"
            for name in differing
        )


def _seconds(value: Any) -> float:
    """Return a number of seconds that a note holds. Raises ValueError or TypeError if it is no such number."""
    seconds = float(value)
    if not 0 <= seconds <= _MAX_SECONDS:
        raise ValueError(value)
    return seconds


def _shown(value: str | None) -> str:
    return "not given" if value is None else quoted(value)


def note_in(stored: Stored | None) -> AgentNote | None:
    """Return the agent note in a stored value; None if there is no key, or its value is not a note."""
    return AgentNote.decode(stored.value) if stored else None


def noted_kind(stored: Stored | None) -> str:
    """Return the kind of the engine whose agent wrote this note, if it tells."""
    note = note_in(stored)
    return note.engine if note else UNKNOWN_KIND


def seconds_to_answer(stored: Stored | None) -> float:
    """Return how many seconds the agent whose note this is may take to answer a liveness query."""
    note = note_in(stored)
    return note.seconds_to_answer if note else SECONDS_WITHOUT_NOTE


def disagreement(note: AgentNote, stored: Stored | None, replaced: int | None) -> str:
    """Return, for people, how the flags of another agent of this host differ from those in ``note``, which is this
    run's note. Return an empty string while no other agent is known, or if the flags agree.

    ``stored`` is the note that was read. ``replaced`` is the version of the note that this run replaced by its own, or
    None while it has written none. The note of another run shows that another agent runs only if it is newer than that
    one; an older note was left by an earlier run. If the other note may not stay, this run writes its own note over it,
    and it is the other agent that reports the difference.
    """
    other = note_in(stored)
    if stored is None or other is None or replaced is None or stored.version <= replaced:
        return ""
    return note.differences(other) if other.run != note.run and note.may_stay(other) else ""
