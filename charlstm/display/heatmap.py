"""A text on a terminal, each character tinted by its surprise, or another number. Any Rich console can render it.

A tint sets background and foreground together, of colours that are neither light nor dark, so that it can be read on
any terminal; what is near 0 is not tinted at all. The colours are of the 256 that terminals agree on; where
there are 16 only, a terminal's user has chosen them. Where colours are not wanted (`NO_COLOR`), there are other marks.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, islice
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from rich.text import Text
from wcwidth import iter_graphemes, wcswidth

from charlstm.display.console import on_terminal
from charlstm.display.visible import visible


class Character(Protocol):
    """What is tinted, beside its number."""

    @property
    def text(self) -> str: ...


class Level(NamedTuple):
    """How a number of `least` or more is shown: in 256 colours, in 16, without any, or below the text."""

    least: float
    tint: Style
    basic: Style
    mark: Style
    sign: str
    label: str


class Scale(NamedTuple):
    """What tints stand for: `title` says it, and `number` takes it from a character, NaN where nothing is known."""

    title: str
    levels: tuple[Level, ...]
    number: Callable[[Any], float]


def make_level(least: float, tint: str, basic: str, mark: str, sign: str = " ", label: str = "") -> Level:
    """A level of styles that are given as Rich writes them."""
    return Level(least, Style.parse(tint), Style.parse(basic), Style.parse(mark), sign, label or f"{least:g}")


LEVELS = (
    make_level(0, "none", "none", "none"),
    make_level(0.5, "#000000 on #5f87af", "white on blue", "none"),
    make_level(1, "#000000 on #5fafaf", "black on cyan", "none"),
    make_level(2, "#000000 on #87af5f", "black on green", "underline"),
    make_level(3, "#000000 on #d7af5f", "black on yellow", "underline"),
    make_level(4, "#000000 on #ff875f", "black on bright_red", "bold underline"),
    make_level(6, "#000000 on #ff5f5f", "white on red", "bold underline"),
    make_level(8, "#ffffff on #af005f", "white on magenta", "bold reverse", label="8+"),
)
SURPRISE = Scale("bits of surprise", LEVELS, attrgetter("bits"))
_TAB = 8
_LONGEST = 64  # code points that are waited for as one cluster
_AT_ONCE = 64  # characters: none waits for long, and Rich has not too much to do


def can_tint(console: Console) -> bool:
    """Whether the stream of a console shows colours or, if they are not wanted, other marks."""
    return console.color_system is not None


class HeatMap:
    """Writes characters to a console as they come; what is seen as one, such as a letter and its accent, has one tint.

    That is by the sum of their numbers. Control characters are shown, not obeyed. On a terminal lines are broken here,
    as a terminal would fill the rest of a line that it breaks itself with the last tint.
    """

    def __init__(self, console: Console, scale: Scale = SURPRISE) -> None:
        self._console, self._scale = console, scale
        self._width = console.width if on_terminal(console) or console.record else None
        self._column, self._rows = 0, 0
        self._held: list[tuple[str, float]] = []  # code points of a cluster that may go on, and their numbers

    def legend(self) -> Text:
        """What the tints mean."""
        text = Text(f"{self._scale.title}: ")
        for level in self._scale.levels:
            text.append(f" {level.label} ", self._style(level))
        return text

    def show(self, characters: Iterable[Character], legend: bool = True) -> None:
        """Write a whole text, between two legends if the first one is out of sight when it ends, or without any."""
        if legend:
            self._console.print(self.legend(), soft_wrap=True)
        try:
            self.write(characters)
        finally:  # after Ctrl-C, too
            self.end()
            if self._column:
                self._console.print(soft_wrap=True)
        if legend and on_terminal(self._console) and self._rows + 2 > self._console.height:
            self._console.print(self.legend(), soft_wrap=True)

    def write(self, characters: Iterable[Character]) -> None:
        """Write characters that come one after the other."""
        text = iter(characters)
        while some := list(islice(text, _AT_ONCE)):
            self.add(some)

    def add(self, characters: Iterable[Character]) -> None:
        """Write what comes next; its last cluster waits, for it may go on."""
        for each in characters:  # a boundary between documents may be written as several
            number = self._scale.number(each)
            numbers = [0.0 if math.isnan(number) else number, *[0.0] * (len(each.text) - 1)]
            self._held += zip(each.text, numbers, strict=False)
        cut = list(clusters("".join(point for point, _ in self._held)))
        if cut and len(cut[-1]) < _LONGEST:
            cut.pop()
        self._write(cut)

    def end(self) -> None:
        """Write what waits."""
        self._write(list(clusters("".join(point for point, _ in self._held))))

    def _write(self, cut: list[str]) -> None:
        segments, start = list[Segment](), 0
        for end in accumulate(map(len, cut)):
            cluster = visible("".join(point for point, _ in self._held[start:end]))
            number = sum(number for _, number in self._held[start:end])
            segments += self._segments(cluster, self._style(level_of(number, self._scale.levels)))
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


def level_of(number: float, levels: tuple[Level, ...] = LEVELS) -> Level:
    """The level of a number."""
    return next(level for level in reversed(levels) if number >= level.least or level is levels[0])


def clusters(text: str) -> Iterator[str]:
    """What is seen as one each."""
    return iter(text) if text.isascii() and "\r" not in text else iter_graphemes(text)
