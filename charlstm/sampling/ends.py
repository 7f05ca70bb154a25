"""Where a text ends before its length: at a text that was waited for, or after so many lines."""

from collections.abc import Sequence
from typing import Literal

from charlstm.errors import ConfigError, setting
from charlstm.text.vocabulary import Vocabulary, name_of

Ended = Literal["length", "until", "lines", "interrupted"]


class Ends:
    """Watches one text that comes in pieces."""

    def __init__(self, until: Sequence[str] = (), lines: int = 0) -> None:
        """Ends with the first of the texts `until` that occurs, or with the line end number `lines`, if it is not 0."""
        self._until, self._lines = until, lines
        self._torn = max(map(len, until), default=1) - 1  # characters of which the next piece may make an occurrence
        self._before = ""

    def cut(self, piece: str) -> tuple[str, Ended | None]:
        """What of `piece` belongs to the text, and why it ends there, if it does."""
        found: list[tuple[int, Ended]] = []
        seen = self._before + piece
        for text in self._until:
            if (place := seen.find(text)) >= 0:
                found.append((place + len(text) - len(self._before), "until"))
        if self._lines:
            ends = [place for place, character in enumerate(piece) if character == "\n"]
            if len(ends) >= self._lines:
                found.append((ends[self._lines - 1] + 1, "lines"))
            self._lines = max(1, self._lines - len(ends))
        self._before = seen[len(seen) - self._torn :] if self._torn < len(seen) else seen
        if not found:
            return piece, None
        end, why = min(found, key=lambda each: each[0])
        return piece[:end], why


def check_ends(vocabulary: Vocabulary, until: Sequence[str], lines: int) -> None:
    """Refuse to wait for what never comes.

    Raises:
        ConfigError: the model does not know a character of it.
    """
    for text in until:
        for character in text:
            if character not in vocabulary.symbols:
                raise ConfigError(
                    f"{setting('until', text)} never comes: this model does not know {name_of(character)}"
                )
    if lines and "\n" not in vocabulary.symbols:
        raise ConfigError(f"{setting('lines', lines)} never comes: this model does not know line ends")
