"""The heat map: the text stays the text, a cluster has one tint, and nothing in it is obeyed."""

import io
import itertools
import math
import re
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import ColorSystem
from rich.console import Console
from wcwidth import wcswidth

from charlstm.display.heatmap import LEVELS, HeatMap, can_tint, level_of
from charlstm.display.visible import visible

ANY = st.text(st.characters(codec="utf-8") | st.sampled_from("\r\n\t\x1b\x9b\u202e\u200d\u0301漢👩👧é"), max_size=40)


class Character(NamedTuple):
    text: str
    bits: float


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def console(terminal: bool = False, width: int = 1000, **options) -> Console:
    for level in LEVELS:
        for style in (level.tint, level.basic, level.mark):
            style._ansi = None  # Rich keeps the codes of the first console, of whatever colours that is
    file = Terminal() if terminal else io.StringIO()
    return Console(
        file=file, force_terminal=True, color_system=options.pop("system", "256"), width=width, _environ={}, **options
    )


def written(to: Console, *pieces: list[Character]) -> str:
    heat_map = HeatMap(to)
    for piece in pieces:
        heat_map.add(piece)
    heat_map.end()
    return to.file.getvalue()  # type: ignore[attr-defined]


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@given(ANY, st.lists(st.integers(0, 40), max_size=4))
def test_without_its_tints_it_is_the_text_as_a_terminal_can_show_it(text, cuts):
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    pieces = [[Character(c, 0.0) for c in text[a:b]] for a, b in itertools.pairwise(places)]
    assert plain(written(console(), *pieces)) == "\n".join(
        line.expandtabs(8) if line.isascii() else plain(written(console(), [Character(c, 0.0) for c in line]))
        for line in visible(text).split("\n")
    )
    tinted = written(console(), [Character(c, 9.0) for c in text])
    assert not set(plain(tinted)) & (set(map(chr, range(0x20))) - {"\n"})


@given(ANY, st.integers(2, 9))
def test_on_a_terminal_no_line_is_wider_than_it(text, width):
    lines = plain(written(console(True, width), [Character(c, 5.0) for c in text])).split("\n")
    assert all(wcswidth(line) <= width or wcswidth(line) == wcswidth(line[0]) for line in lines)


@pytest.mark.parametrize("text", ["e\u0301", "👩\u200d👩\u200d👧", "🇩🇰", "漢", "\x1b", "각"])
@pytest.mark.parametrize("pieces", [1, 9])
def test_what_is_seen_as_one_has_one_tint_by_the_sum_of_its_surprise(text, pieces):
    whole = [Character(c, 4.5 / len(text)) for c in text] + [Character(".", 0.0)]
    cut = [whole] if pieces == 1 else [[each] for each in whole]
    style = LEVELS[5].tint.render(visible(text), color_system=ColorSystem.EIGHT_BIT)
    assert LEVELS[5].least == 4 and written(console(), *cut) == style + "."


def test_a_tab_reaches_its_stop_and_a_line_end_is_tinted_too():
    text = written(console(), [Character(c, 0.0) for c in "ab\tc\r\n漢\td"])
    assert text == "ab      c\n漢      d"
    assert (
        written(console(), [Character("\n", 9.0)])
        == LEVELS[-1].tint.render(" ", color_system=ColorSystem.EIGHT_BIT) + "\n"
    )
    assert written(console(True, 2), [Character(c, 9.0) for c in "ab\n"]).count(" ") == 0, "there is no room for it"


def test_a_wide_character_is_not_torn_by_the_edge():
    assert plain(written(console(True, 5), [Character(c, 1.0) for c in "漢漢漢"])) == "漢漢\n漢"


def test_a_cluster_without_end_is_not_waited_for():
    heat_map = HeatMap(to := console())
    for _ in range(1000):
        heat_map.add([Character("\u0301", 1.0)])
    assert to.file.getvalue()  # type: ignore[attr-defined]


def luminance(color) -> float:
    """WCAG 2.1, relative luminance."""
    channels = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color.get_truecolor()]
    return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), channels, strict=True))


@pytest.mark.parametrize("level", LEVELS[1:], ids=lambda level: f"{level.least:g}")
def test_every_tint_can_be_read_on_light_and_on_dark(level):
    for system in (ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT):
        both = [luminance(color.downgrade(system)) for color in (level.tint.color, level.tint.bgcolor)]
        assert (max(both) + 0.05) / (min(both) + 0.05) > 4.5
    assert 0.08 < luminance(level.tint.bgcolor) < 0.5


def test_levels_differ_in_every_system_and_rise():
    for style in ("tint", "basic"):
        assert len({str(getattr(level, style)) for level in LEVELS}) == len(LEVELS)
    assert [level_of(bits).least for bits in (0, 0.49, 0.5, 3.9, 4, 1e9)] == [0, 0, 0.5, 3, 4, 8]


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ({"system": "truecolor"}, r"48;2;175;0;95"),
        ({"system": "256"}, r"48;5;125"),
        ({"system": "standard"}, r"\x1b\[37;45m"),
        ({"system": "256", "no_color": True}, r"\x1b\[1;7m"),
    ],
)
def test_it_uses_what_the_terminal_has(options, pattern):
    to = console(**options)
    assert can_tint(to) and re.search(pattern, written(to, [Character("x", 8.0)]))
    to.print(HeatMap(to).legend())
    assert "bits" in to.file.getvalue()  # type: ignore[attr-defined]


def test_where_there_are_no_colours_nothing_can_be_tinted():
    assert not can_tint(Console(file=io.StringIO(), _environ={}))
    assert not can_tint(Console(file=Terminal(), _environ={"TERM": "dumb"}))


@pytest.mark.parametrize("rows", [3, 30])
def test_the_legend_comes_again_if_it_is_out_of_sight(rows):
    HeatMap(to := console(True, height=10)).show([Character("a\n", math.nan)] * rows)
    assert plain(to.file.getvalue()).count("bits of surprise") == 1 + (rows > 10)  # type: ignore[attr-defined]


def test_it_can_be_exported_as_a_picture():
    to = console(width=10, record=True)
    HeatMap(to).show([Character(c, 5.0) for c in "a long line of text"])
    picture = to.export_svg()
    assert "#ff875f" in picture and "e&#160;of&#160;tex" in picture
