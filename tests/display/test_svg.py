"""Charts: where things are drawn, and that what is drawn is all that there is."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.display.svg import LEVELS, Axis, Line, column_chart, glyph, heat_strip, level_class, line_chart, short

SIZES = st.floats(-1e9, 1e9, allow_nan=False)


@given(SIZES, st.floats(1e-6, 1e9))
def test_ticks_are_few_and_along_the_axis(low, size):
    ticks = Axis("", low, low + size).ticks()
    if low + size > low and size / max(abs(low), 1) > 1e-6:
        assert 2 <= len(ticks) <= 8 and len(set(ticks)) == len(ticks)
        assert all(low - 1e-6 * size <= tick <= low + size * (1 + 1e-6) for tick in ticks)


@given(st.floats(-30, 10), st.floats(0, 30))
def test_ticks_of_a_logarithmic_axis_are_round(low, size):
    ticks = Axis("", 10**low, 10 ** (low + size), log=True).ticks()
    assert (2 if size > 1e-6 else 0) <= len(ticks) <= 8
    if size > 1:
        assert all(round(tick / 10 ** math.floor(math.log10(tick * 1.01)), 6) in (1, 2, 5) for tick in ticks)
    assert all(low - 1e-6 <= math.log10(tick) <= low + size + 1e-6 for tick in ticks)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (3.1, 3.9, ["3.2", "3.4", "3.6", "3.8"]),
        (8e3, 6e4, ["1e4", "2e4", "5e4"]),
        (2e-4, 1e-3, ["2e-4", "5e-4", "0.001"]),
        (0.5, 2e5, ["1", "10", "100", "1,000", "1e4", "1e5"]),
    ],
)
def test_the_ticks_of_a_logarithmic_axis_say_what_they_are(low, high, labels):
    chart = column_chart("t", "a", [low, high], [1], Axis("", low, high, log=True), Axis("", 0, 1))
    assert [each.text for each in chart.iter("text") if each.get("class") == "x"] == labels


@pytest.mark.parametrize(("low", "high"), [(1, 1), (0, 0), (-2, -2)])
def test_an_axis_without_a_length_is_no_error(low, high):
    axis = Axis("", low, high)
    assert axis.place(low) == 0 and len(axis.ticks()) <= 8


def test_a_line_goes_from_corner_to_corner_and_has_gaps():
    chart = line_chart("t", "a", [Line("x", [0, 1, 2, 3, 4], [0, 1, math.nan, 9, 2])], Axis("", 0, 4), Axis("", 0, 2))
    path = next(each for each in chart.iter("path") if each.get("class") == "line c0").get("d")
    assert path == "M64 244L203.5 128M622 12"  # 9 is above the axis


def test_zeros_are_nowhere_on_a_logarithmic_axis():
    chart = line_chart("t", "a", [Line("x", [0, 1, 2], [1.0, 0.0, 0.1])], Axis("", 0, 2), Axis("", 0.01, 1, log=True))
    path = next(each for each in chart.iter("path") if each.get("class") == "line c0").get("d")
    assert path == "M64 12M622 128"


def test_columns_are_as_high_as_their_counts():
    chart = column_chart("t", "a", [0, 1, 2], [1, 4], Axis("", 0, 2), Axis("", 0, 4))
    heights = [float(each.get("height") or 0) for each in chart.iter("rect")]
    assert heights == [58, 232] and [each.findtext("title") for each in chart.iter("rect")] == [
        "0 to 1: 1",
        "1 to 2: 4",
    ]


def test_every_value_of_a_strip_is_one_tile(numbers):
    values = numbers.random((17, 5))
    strip = heat_strip("t", "a", list("The salt road run"), values, list("abcde"), 0, 1)
    found = np.full(values.shape, -1)
    left = 8 + 6
    for path in (each for each in strip.iter("path")):
        for x, y, size in re.findall(r"M(\d+) (\d+)h(\d+)v10h-\3z", path.get("d") or ""):
            start, unit = (int(x) - left) // 10, int(y) // 10
            assert (found[start : start + int(size) // 10, unit] == -1).all()
            found[start : start + int(size) // 10, unit] = int((path.get("class") or "")[1:])
    assert (found == np.minimum(values * LEVELS, LEVELS - 1).astype(int)).all()
    assert [each.text for each in strip.iter("text") if each.get("class") == "letter"] == list("Thesaltroadrun")


@pytest.mark.parametrize(
    ("value", "low", "name"),
    [(0, 0, "h0"), (1, 0, "h7"), (9, 0, "h7"), (-1, -1, "d0"), (0, -1, "d4"), (math.nan, 0, "h0")],
)
def test_a_value_has_the_class_of_its_level(value, low, name):
    assert level_class(value, low, 1) == name


def test_short_names():
    assert [short(x) for x in (0, 0.25, 9999, 20_000, 1.5e6, -3e9)] == ["0", "0.25", "9,999", "20 k", "1.5 M", "-3 G"]
    assert [glyph(x) for x in ("a", " ", "\n", "\x1b", "\x9b", "the end")] == ["a", "", "↵", "␛", "▯", "▯"]
