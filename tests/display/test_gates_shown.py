"""Gates on a terminal: rows fit, stand below their characters, and nothing of the text is obeyed."""

import io
import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from wcwidth import wcswidth

from charlstm.display.gates import GATE, SIGNED, columns_of, histogram, show_map
from charlstm.display.visible import visible
from charlstm.inspection.gates import LayerGates

ANY = st.lists(st.characters() | st.sampled_from(["\r", "\n", "\x1b", "\u0301", "漢", "👩", "\u200d", "", "<br>"]))


def drawn(symbols, values, name="forget", width=30, **options):
    """The lines of a heat map of all units."""
    for shade in (*GATE, *SIGNED):
        for style in shade[1:3]:
            style._ansi = None  # Rich keeps the codes of the first console, of whatever colours that is
    file = io.StringIO()
    console = Console(file=file, force_terminal=bool(options), width=width, _environ={}, **options)
    share = {name: np.zeros(values.shape[1])} if name == "forget" else {}
    layer = LayerGates({name: values}, share, share, None)
    show_map(console, layer, symbols, name, range(values.shape[1]), "a title")
    return file.getvalue().splitlines()


@given(ANY)
def test_each_symbol_has_its_cells_and_shows_no_control(symbols):
    columns = columns_of(symbols)
    assert len(columns) == len(symbols)
    for shown, cells in columns:
        assert cells >= 1 and cells == wcswidth(shown) and shown == visible(shown) and "\n" not in shown


def test_what_is_seen_as_one_stands_once():
    assert columns_of(["e", "\u0301", "x"]) == [("e\u0301", 1), ("·", 1), ("x", 1)]
    assert columns_of(["漢", "", "", "--", "\t"]) == [("漢", 2), ("·", 1), ("·", 1), ("␤", 1), ("␉", 1)]


@given(st.lists(st.sampled_from(list("ab漢\n\x9b")), min_size=1, max_size=80), st.integers(12, 60))
def test_cells_stand_below_their_characters_in_bands_that_fit(symbols, width):
    values = np.array([[symbol == "漢", symbol != "漢"] for symbol in symbols], np.float32)
    lines = drawn(symbols, values, width=width)
    start = next(number for number, line in enumerate(lines) if line.startswith("unit"))
    texts = []
    for band in "\n".join(lines[start:]).strip("\n").split("\n\n"):
        text, *rows = band.split("\n")
        assert len(rows) == 2 and all(wcswidth(row) == wcswidth(text) <= max(width, 9) for row in rows)
        texts.append(text[5:])
        wide = "".join("█" * 2 if c == "漢" else " " for c in text[5:])
        assert next(row for row in rows if row.startswith("   0"))[5:] == wide
    assert "".join(texts) == "".join(shown for shown, _ in columns_of(symbols))


def test_shades_rise_with_the_gate_and_tell_signs_apart():
    gate = np.arange(0.01, 1, 0.02, dtype=np.float32)[:, None]
    *_, row = [line for line in drawn(["a"] * 50, gate, width=80) if line.startswith("   0")]
    assert row[5:] == " " * 5 + "░" * 10 + "▒" * 20 + "▓" * 10 + "█" * 5
    state = np.array([-4.0, -1.0, 0.0, 1.0, 4.0], np.float32)[:, None]
    lines = drawn(["a"] * 5, state, name="cell", width=80)
    assert lines[-2][5:] == "=- +#"
    assert "-4" in lines[1] and "3" in lines[1], "the legend has the values of the state"


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ({"color_system": "truecolor"}, r"48;2;255;255;95"),
        ({"color_system": "256"}, r"48;5;\d+"),
        ({"color_system": "standard"}, r"\x1b\[3\d;43m"),
        ({"color_system": "256", "no_color": True}, "█"),
    ],
)
def test_it_uses_what_the_terminal_has(options, pattern):
    text = "\n".join(drawn(["a", "b"], np.array([[0.95], [0.95]], np.float32), **options))
    assert re.search(pattern, text) and ("█" in text) == ("no_color" in options)


def test_a_histogram_counts_every_unit_once():
    for constants in ([0.0, 1.0, 4.9, np.inf], [1.0], [np.inf], [1e-9, 1e9], list(np.geomspace(0.3, 3000, 77))):
        edges, counts = histogram(np.array(constants))
        assert len(edges) == len(counts) + 1 and sum(counts) == len(constants)
        assert edges == sorted(edges) and counts[0] and counts[-1]
        expected = [sum(low <= each < high for each in constants) for low, high in itertools.pairwise(edges)]
        expected[-1] += sum(each == edges[-1] for each in constants)
        assert counts == expected
