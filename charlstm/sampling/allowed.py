"""Which symbols may be sampled: `only` and `ban`, as they are written, and as masks over a vocabulary."""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterator

import numpy as np

from charlstm.errors import ConfigError, setting
from charlstm.text.vocabulary import Vocabulary


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"


CLASSES: dict[str, Callable[[str], bool]] = {
    "letters": str.isalpha,
    "upper": str.isupper,
    "lower": str.islower,
    "digits": str.isdigit,
    "punctuation": _is_punctuation,
    "spaces": str.isspace,
    "newlines": "\n\r".__contains__,
    "ascii": str.isascii,
}
_ITEM = re.compile(r"""'[^']+'|"[^"]+"|[^,'"]+|['"](?=,|$)""")


def allowed_mask(vocabulary: Vocabulary, only: str | None, ban: str | None) -> np.ndarray | None:
    """0 for what may be sampled and -inf for what may not, float32 `[V]`; None if everything may.

    Raises:
        ConfigError: one of them is no list of classes and characters, or nothing is left.
    """
    if only is None and ban is None:
        return None
    may = np.ones(len(vocabulary), bool) if only is None else _chosen(vocabulary, "only", only)
    if not may.any():
        raise ConfigError(f"{setting('only', only)} leaves none of the {len(may)} characters that this model knows")
    if ban is not None:
        may &= ~_chosen(vocabulary, "ban", ban)
        if not may.any():
            beside = "" if only is None else f" beside {setting('only', only)}"
            raise ConfigError(f"{setting('ban', ban)}{beside} leaves no character to sample", "ban fewer")
    return np.where(may, 0, -np.inf).astype(np.float32)


def _chosen(vocabulary: Vocabulary, name: str, text: str) -> np.ndarray:
    """Which symbols `text` stands for: bool `[V]`. Of bytes those above 127 are of no class."""
    chosen = np.zeros(len(vocabulary), bool)
    for item, is_quoted in _items(name, text):
        if not is_quoted and item in CLASSES:
            is_in = CLASSES[item]
            chosen |= [is_in(each) and (vocabulary.unit == "character" or each < "\x80") for each in vocabulary.symbols]
        else:
            wanted = set(vocabulary.symbols_of(item))
            chosen |= [each in wanted for each in vocabulary.symbols]
    return chosen


def _items(name: str, text: str) -> Iterator[tuple[str, bool]]:
    """The parts between commas, and whether they stand in quotes."""
    place = 0
    while True:
        match = _ITEM.match(text, place)
        end = match.end() if match else place
        if not match or (end < len(text) and text[end] != ","):
            raise ConfigError(
                f"{setting(name, text)} is no list of classes and characters",
                f"classes are {', '.join(CLASSES)}; commas and quotes stand in quotes, as in \"letters,' ,.'\"",
            )
        is_quoted = len(match[0]) > 1 and match[0][0] in "'\""
        item = match[0][1:-1] if is_quoted else match[0]
        if (
            not is_quoted
            and item not in CLASSES
            and (near := difflib.get_close_matches(item.lower(), CLASSES, 1, 0.75))
        ):
            raise ConfigError(
                f"{setting(name, text)} has no class {item!r}",
                f"did you mean {near[0]}? Characters may stand in quotes",
            )
        yield item, is_quoted
        if end == len(text):
            return
        place = end + 1
