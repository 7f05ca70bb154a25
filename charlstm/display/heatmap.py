"""A text on a terminal, each character tinted by its surprise. It can be rendered to any Rich console.

A tint sets background and foreground together, of colours that are neither light nor dark, so that it can be read on
any terminal; what surprises nobody is not tinted at all. The colours are of the 256 that terminals agree on; where
there are 16 only, a terminal's user has chosen them. Where colours are not wanted (`NO_COLOR`), there are other marks.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import accumulate, islice
from typing import NamedTuple, Protocol

from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from rich.text import Text
from wcwidth import iter_graphemes, wcswidth

from charlstm.display.console import on_terminal
from charlstm.display.visible import visible


class Surprise(Protocol):
    """What is tinted: a character, with NaN where nothing is known of its surprise."""

    @property
    def text(self) -> str: ...
    @property
    def bits(self) -> float: ...


class Level(NamedTuple):
    """How a surprise of so many `bits` or more is shown: in 256 colours, in 16, or without any."""

    bits: float
    tint: Style
    basic: Style
    mark: Style


def _level(bits: float, tint: str, basic: str, mark: str) -> Level:
    return Level(bits, *map(Style.parse, (tint, basic, mark)))


LEVELS = (
    _level(0, "none", "none", "none"),
    _level(0.5, "#000000 on #5f87af", "white on blue", "none"),
    _level(1, "#000000 on #5fafaf", "black on cyan", "none"),
    _level(2, "#000000 on #87af5f", "black on green", "underline"),
    _level(3, "#000000 on #d7af5f", "black on yellow", "underline"),
    _level(4, "#000000 on #ff875f", "black on bright_red", "bold underline"),
    _level(6, "#000000 on #ff5f5f", "white on red", "bold underline"),
    _level(8, "#ffffff on #af005f", "white on magenta", "bold reverse"),
)
_TAB = 8
_LONGEST = 64  # code points that are waited for as one cluster
_AT_ONCE = 64  # characters: none waits for long, and Rich has not too much to do


def can_tint(console: Console) -> bool:
    """Whether the stream of a console shows colours or, if they are not wanted, other marks."""
    return console.color_system is not None


class HeatMap:
    """Writes characters to a console as they come; what is seen as one, such as a letter and its accent, has one tint.

    That is by the sum of their surprise. Control characters are shown, not obeyed. On a terminal lines are broken here,
    as a terminal would fill the rest of a line that it breaks itself with the last tint.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = console.width if on_terminal(console) or console.record else None
        self._column, self._rows = 0, 0
        self._held: list[tuple[str, float]] = []  # code points of a cluster that may go on, and their bits

    def legend(self) -> Text:
        """What the tints mean."""
        text = Text("bits of surprise: ")
        for level in LEVELS:
            text.append(f" {level.bits:g}{'+' if level is LEVELS[-1] else ''} ", self._style(level))
        return text

    def show(self, characters: Iterable[Surprise]) -> None:
        """Write a whole text, between two legends if the first one is out of sight when it ends."""
        self._console.print(self.legend(), soft_wrap=True)
        try:
            self.write(characters)
        finally:  # after Ctrl-C, too
            self.end()
            if self._column:
                self._console.print(soft_wrap=True)
        if on_terminal(self._console) and self._rows + 2 > self._console.height:
            self._console.print(self.legend(), soft_wrap=True)

    def write(self, characters: Iterable[Surprise]) -> None:
        """Write characters that come one after the other."""
        text = iter(characters)
        while some := list(islice(text, _AT_ONCE)):
            self.add(some)

    def add(self, characters: Iterable[Surprise]) -> None:
        """Write what comes next; its last cluster waits, for it may go on."""
        for each in characters:  # a boundary between documents may be written as several
            costs = [0.0 if math.isnan(each.bits) else each.bits, *[0.0] * (len(each.text) - 1)]
            self._held += zip(each.text, costs, strict=False)
        clusters = list(_clusters("".join(point for point, _ in self._held)))
        if clusters and len(clusters[-1]) < _LONGEST:
            clusters.pop()
        self._write(clusters)

    def end(self) -> None:
        """Write what waits."""
        self._write(list(_clusters("".join(point for point, _ in self._held))))

    def _write(self, clusters: list[str]) -> None:
        segments, start = list[Segment](), 0
        for end in accumulate(map(len, clusters)):
            cluster = visible("".join(point for point, _ in self._held[start:end]))
            bits = sum(cost for _, cost in self._held[start:end])
            segments += self._segments(cluster, self._style(level_of(bits)))
            start = end
        del self._held[:start]
        if segments:
            self._console.print(Segments(Segment.simplify(segments)), end="", soft_wrap=True)
            self._console.file.flush()

    def _segments(self, cluster: str, style: Style) -> Iterator[Segment]:
        """A cluster, or several characters that stand for one that is not shown; a line end is tinted, too."""
        if cluster == "\n":
            if self._column != self._width:
                yield Segment(" ", style) if style else Segment("")
            yield self._line_end()
            return
        if cluster == "\t":
            cluster = " " * (_TAB - self._column % _TAB)
            if self._width:
                cluster = cluster[: self._width - self._column] or " "
        for part in cluster if cluster.isascii() else [cluster]:  # an escape such as \\x9b may be broken
            cells = max(0, wcswidth(part))
            if self._width and self._column and self._column + cells > self._width:
                yield self._line_end()
            self._column += cells
            yield Segment(part, style)

    def _line_end(self) -> Segment:
        self._column, self._rows = 0, self._rows + 1
        return Segment("\n")

    def _style(self, level: Level) -> Style:
        if self._console.no_color:
            return level.mark
        return level.tint if self._console.color_system in ("truecolor", "256") else level.basic


def level_of(bits: float) -> Level:
    """The level of a surprise."""
    return next(level for level in reversed(LEVELS) if bits >= level.bits or level is LEVELS[0])


def _clusters(text: str) -> Iterator[str]:
    return iter(text) if text.isascii() and "\r" not in text else iter_graphemes(text)
