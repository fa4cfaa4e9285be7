"""Draw lines through measured points as SVG, with axes on which each step is ten times as much."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape

from attrs import frozen

Point = tuple[float, float]

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 40, 50

#: The colours of the lines. They differ in brightness, too.
COLOURS = ("#1b4f9c", "#d1662b", "#3a8f4d", "#8a5fb0")


@frozen
class Axis:
    """One axis, from one power of ten to another."""

    title: str
    lowest: int
    highest: int
    #: Where the lowest and the highest value are drawn.
    start: float
    end: float

    @classmethod
    def over(cls, title: str, values: Sequence[float], start: float, end: float) -> Axis:
        """Return an axis on which all the values fit. Raises ValueError for a value that is not above zero."""
        if min(values) <= 0:
            raise ValueError(f"{min(values):g} has no place on a logarithmic axis")
        lowest = math.floor(math.log10(min(values)))
        return cls(title, lowest, max(lowest + 1, math.ceil(math.log10(max(values)))), start, end)

    def place(self, value: float) -> float:
        """Return where a value is drawn."""
        share = (math.log10(value) - self.lowest) / (self.highest - self.lowest)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Yield the place and the text of each power of ten."""
        for power in range(self.lowest, self.highest + 1):
            yield self.place(10**power), f"{10**power:,}" if power >= 0 else f"{10.0**power:.{-power}f}"


def plot(title: str, across: str, up: str, lines: Mapping[str, Sequence[Point]]) -> str:
    """Return an SVG picture of lines, by their names. ``across`` and ``up`` are the titles of the axes."""
    points = [point for line in lines.values() for point in line]
    x = Axis.over(across, [each for each, _ in points], LEFT, WIDTH - RIGHT)
    y = Axis.over(up, [each for _, each in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(title, LEFT, TOP - 18, size=14),
        *_grid(x, y),
    ]
    for number, (name, line) in enumerate(lines.items()):
        parts += _line(name, [(x.place(each), y.place(value)) for each, value in line], COLOURS[number % len(COLOURS)])
    return "\n".join([*parts, "</svg>", ""])


def _grid(x: Axis, y: Axis) -> Iterator[str]:
    for place, text in x.ticks():
        yield f'<path d="M{place:.1f} {y.start}V{y.end}" stroke="#ddd"/>'
        yield _text(text, place, y.start + 16, anchor="middle")
    for place, text in y.ticks():
        yield f'<path d="M{x.start} {place:.1f}H{x.end}" stroke="#ddd"/>'
        yield _text(text, x.start - 6, place + 4, anchor="end")
    yield _text(x.title, (x.start + x.end) / 2, y.start + 36, anchor="middle")
    yield _text(y.title, x.start - 64, y.end - 8)


def _line(name: str, places: Sequence[Point], colour: str) -> Iterator[str]:
    path = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for across, up in places:
        yield f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3" fill="{colour}"/>'
    across, up = places[-1]
    yield _text(name, across + 8, up + 4, colour=colour)


def _text(text: str, across: float, up: float, *, anchor: str = "start", size: int = 12, colour: str = "#222") -> str:
    place = f'x="{across:.1f}" y="{up:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"
