"""Numbers below and above 0 over a text: signs where there are no colours, and tints that can be told apart."""

import io
import math

import pytest
from rich.color import ColorSystem
from rich.console import Console

from charlstm.display.heatmap import HeatMap, level_of
from charlstm.display.signed import STATE, signed_lines, signed_scale
from charlstm.inspection.painting import Tinted


def test_signs_stand_below_what_is_not_near_0():
    text = [
        Tinted(*pair)
        for pair in zip("ab漢e\u0301\n\x1bz", (0.9, -0.9, 0.5, -0.2, -0.1, 0.0, 0.3, math.nan), strict=True)
    ]
    assert signed_lines(text, STATE.levels) == ["ab漢e\u0301\u2424", "#=++.", "\u241bz", ":"]


def test_several_characters_that_stand_for_one_have_its_number_once():
    assert signed_lines([Tinted("\n\n", -0.5), Tinted("a", 0.5)], STATE.levels) == ["\u2424", "-", "\u2424", "a", "+"]


@pytest.mark.parametrize("no_color", [False, True])
def test_what_is_below_0_does_not_look_like_what_is_above(no_color):
    console = Console(file=io.StringIO(), force_terminal=True, color_system="256", no_color=no_color, _environ={})
    heat_map = HeatMap(console, STATE)
    heat_map.write([Tinted("a", 0.9), Tinted("b", -0.9), Tinted("c", 0.0)])
    heat_map.end()
    written = console.file.getvalue()  # type: ignore[attr-defined]
    codes = [piece.split("m")[0] for piece in written.split("\x1b[")[1:]]
    assert len(set(codes)) == 3 and written.endswith("c")


def luminance(color) -> float:
    """WCAG 2.1, relative luminance."""
    channels = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color.get_truecolor()]
    return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), channels, strict=True))


def test_every_tint_can_be_read_on_light_and_on_dark():
    for level in STATE.levels:
        if level.tint.color is None or level.tint.bgcolor is None:
            assert level.label == "0"
            continue
        for system in (ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT):
            both = [luminance(color.downgrade(system)) for color in (level.tint.color, level.tint.bgcolor)]
            assert (max(both) + 0.05) / (min(both) + 0.05) > 4.5
        assert 0.08 < luminance(level.tint.bgcolor) < 0.5


def test_levels_are_as_wide_below_0_as_above():
    levels = signed_scale("", 1, 2, 3).levels
    found = [levels.index(level_of(number, levels)) for number in (-9, -3.1, -2.5, -1.5, 0, 1.5, 2.5, 3.1, 9)]
    assert found == [0, 0, 1, 2, 3, 4, 5, 6, 6]
    for style in ("tint", "basic", "sign", "label"):
        assert len({str(getattr(level, style)) for level in levels}) == len(levels)
