"""The words by which the program says why: each enumeration whose members explain themselves, and where they show."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from controller.observe.api.entries import State
from controller.observe.key_delays import Phase
from model.candidates import LeftOutReason
from model.described import DescribedEnum
from model.desired import ExclusionReason, HoldReason
from model.drain_order import DrainScope
from model.explanation import KeyState, PortState, Verdict
from model.hint import HintOutcome
from model.plan import Action, Reason
from model.refusal import RefusalReason
from model.report import PassResult, Result, Stage
from model.snapshot import Presence
from model.survey import Alive, EntryState


@frozen
class Words:
    """An enumeration on the page."""

    enumeration: type[DescribedEnum]
    #: The heading above its table.
    heading: str
    #: Where its words show, as a sentence in Markdown.
    where: str

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield each word with its explanation."""
        yield from ((f"`{member.value}`", member.about) for member in self.enumeration)


#: In the order of the page. A test holds this against the code.
WORDS = (
    Words(RefusalReason, "Why a port is refused", "In the log, in `reconcile`, in `explain` and in the metrics."),
    Words(LeftOutReason, "Why a port is left out", "In `explain`."),
    Words(ExclusionReason, "Why a container is excluded", "In `explain` and in the metrics."),
    Words(HoldReason, "Why the entries of a container are held", "In `explain`."),
    Words(Reason, "Why a change is made", "In the log as `reason`, and in `reconcile`."),
    Words(Action, "What a change does", "In the log as `action`, and in the metrics."),
    Words(Result, "How a change ended", "In the log as `result`, in `reconcile -o json` and in the metrics."),
    Words(PassResult, "How a pass ended", "In the log as `result`, in `reconcile` and in the metrics."),
    Words(Presence, "What the engine says of the container of a delete", "In the log as `containers`."),
    Words(Verdict, "What explain says of a container", "In `explain -o json` as `verdict`."),
    Words(PortState, "What explain says of a port", "In `explain -o json` as `state` of a port."),
    Words(KeyState, "What explain says of a key", "In `explain` and `explain -o json` as `state` of a key."),
    Words(State, "How it stands with an entry", "In `/api/v1/entries` as `state`."),
    Words(EntryState, "What list says of a key", "In `list` as `state`."),
    Words(Alive, "What hosts says of an agent", "In `hosts` as `alive`."),
    Words(DrainScope, "What the operator drains", "In the metrics as `scope`."),
    Words(HintOutcome, "What came of the engine's events", "In the metrics as `outcome`."),
    Words(Phase, "What a key follows", "In the metrics as `phase`."),
    Words(Stage, "The stages of a pass", "In the log as `seconds`, and in the metrics as `stage`."),
)
