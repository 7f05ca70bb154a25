"""The text that is looked at: one that is typed, a file of any size, or the validation part of the model's own.

Of a large text a few pieces are looked at, evenly spread over it, and a large file is not even read between them.
"""

import codecs
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charlstm.errors import ConfigError, CorpusError, setting
from charlstm.options import InspectOptions
from charlstm.runs.texts import find_files, open_texts, own_text
from charlstm.runs.weights import Weights
from charlstm.text.reading import text_encoding
from charlstm.text.spool import is_read_once
from charlstm.text.unpacking import is_packed

_LARGE = 1 << 22  # bytes: smaller files are read whole
_SEEKABLE = ("utf-8", "ascii", "iso8859-1", "cp1252")  # encodings of which one can begin to read anywhere
_CHARACTER_BYTES = 4  # that a character takes at most


@dataclass(frozen=True, eq=False)
class Passage:
    """Pieces of a text, as ids `[n]` each; `where` says in words what they are of, to be put below a figure."""

    pieces: list[np.ndarray]
    where: str

    @property
    def characters(self) -> int:
        """How many there are in all."""
        return sum(map(len, self.pieces))


def open_passage(weights: Weights, options: InspectOptions, length: int, pieces: int = 1) -> Passage:
    """At most `length` characters of the text that `options` name, in so many pieces where it is longer.

    Raises:
        ConfigError: no text is named, and the run has no validation part.
        CorpusError: the file cannot be found or read, or has fewer than two characters that the model knows.
        RunError: the run's own text has changed since.
        VocabularyError: a character is unknown, and is not to be skipped.
    """
    vocabulary = weights.vocabulary
    if options.text is not None:
        symbols = vocabulary.known_symbols(options.text, options.unknown)
        found, name = [vocabulary.encode_prompt(symbols)[:length]], "the text given"
    elif options.file is not None:
        name = str(options.file)
        found = _pieces_of_file(weights, options, length, pieces)
    else:
        own, _ = own_text(weights, options.own_text)
        held_out = own.split(weights.config.training.validation)[1]
        if not len(held_out):
            raise ConfigError("the run has no validation part", f"name a text: {setting('text')} or {setting('file')}")
        found, name = _spread(held_out, length, pieces), "the validation part"
    found = [piece for piece in found if len(piece) > 1]
    if not found:
        raise CorpusError(f"there are no two characters of {name} that the model knows", "name another text")
    characters = sum(map(len, found))
    in_pieces = f" in {len(found)} pieces" if len(found) > 1 else ""
    return Passage(found, f"{characters:,} {vocabulary.unit}s of {name}{in_pieces}")


def _pieces_of_file(weights: Weights, options: InspectOptions, length: int, pieces: int) -> list[np.ndarray]:
    settings, vocabulary = weights.config.corpus, weights.vocabulary
    encoding = "latin-1" if vocabulary.unit == "byte" else text_encoding(options.encoding or settings.encoding)
    files = find_files([str(options.file)], vocabulary.unit)
    if (
        len(files) == 1
        and settings.documents == "whole"
        and codecs.lookup(encoding).name in _SEEKABLE
        and not is_read_once(files[0])
        and (vocabulary.unit == "byte" or not is_packed(files[0]))
        and files[0].stat().st_size > max(_LARGE, 2 * _CHARACTER_BYTES * length)
    ):
        return [
            vocabulary.encode(vocabulary.known_symbols(text, options.unknown) if vocabulary.unit != "byte" else text)
            for text in _excerpts(files[0], encoding, length // pieces, pieces)
        ]
    corpus = open_texts(
        str(options.file), settings.unit, options.encoding or settings.encoding, vocabulary, options.unknown, None,
        settings.documents,
    )  # fmt: skip
    return _spread(corpus.ids, length, pieces)


def _spread(ids: np.ndarray, length: int, pieces: int) -> list[np.ndarray]:
    """At most `length` of `ids` in `pieces` that are evenly spread; all of them in one where they are no more."""
    if len(ids) <= length:
        return [np.asarray(ids)]
    each = length // pieces
    return [np.asarray(ids[start : start + each]) for start in _starts(len(ids) - each, pieces)]


def _starts(last: int, pieces: int) -> list[int]:
    return [last * number // max(1, pieces - 1) for number in range(pieces)]


def _excerpts(path: Path, encoding: str, length: int, pieces: int) -> list[str]:
    """Texts of `length` characters that begin at evenly spread places of a file."""
    wanted = _CHARACTER_BYTES * (length + 1)
    texts: list[str] = []
    try:
        with path.open("rb") as file:
            for start in _starts(path.stat().st_size - wanted, pieces):
                file.seek(start)
                block = file.read(wanted)
                if encoding == "utf-8":  # not from within a character
                    block = block[next((n for n in range(4) if block[n : n + 1] and block[n] & 0xC0 != 0x80), 0) :]
                texts.append(codecs.getincrementaldecoder(encoding)().decode(block)[:length])
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error}") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not {encoding}", f"name its encoding with {setting('encoding')}") from error
    return texts
