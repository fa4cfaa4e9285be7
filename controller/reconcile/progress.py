"""How far a pass has come, for those who wait for its end."""

from __future__ import annotations

from attrs import frozen

from model.report import Stage


@frozen
class Progress:
    """What a pass does at this moment."""

    stage: Stage
    #: How many changes have been tried, of how many that were planned. Both are 0 before the stage ``APPLY``.
    tried: int = 0
    planned: int = 0
