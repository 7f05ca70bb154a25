"""The text that is looked at: one that is typed, a file of any size, or the validation part of the model's own.

Of a large text a few pieces are looked at, evenly spread over it, and a large file is not even read between them.
"""

from dataclasses import dataclass

import numpy as np

from charlstm.config import last_part
from charlstm.errors import ConfigError, CorpusError, setting
from charlstm.options import InspectOptions, Unit
from charlstm.runs.texts import find_files, own_text
from charlstm.runs.weights import Weights
from charlstm.text.corpus import open_corpus
from charlstm.text.documents import Documents
from charlstm.text.reading import AS_BYTES, can_begin_anywhere, excerpt, text_encoding
from charlstm.text.spool import name_of
from charlstm.text.unpacking import is_packed

_LARGE = 1 << 22  # bytes: smaller files are read whole
_CHARACTER_BYTES = 4  # that a character takes at most


@dataclass(frozen=True, eq=False)
class Passage:
    """Pieces of the text that is called `name`, as ids `[n]` each, of what its `unit` says.

    The first `warm_up` characters of each are to be read and not counted, so that a reader has come into the state that
    it would have there; of a text that is read from its beginning there are none.
    """

    pieces: list[np.ndarray]
    name: str
    unit: Unit
    warm_up: int = 0

    @property
    def characters(self) -> int:
        """How many count, in all."""
        return sum(len(piece) - self.warm_up for piece in self.pieces)

    @property
    def where(self) -> str:
        """What they are of in words, to be put below a figure."""
        in_pieces = f" in {len(self.pieces)} pieces" if len(self.pieces) > 1 else ""
        return f"{self.characters:,} {self.unit}{'s' * (self.characters != 1)} of {self.name}{in_pieces}"


def open_passage(weights: Weights, options: InspectOptions, length: int, pieces: int = 1, warm_up: int = 0) -> Passage:
    """At most `length` characters of the text that `options` name.

    A longer text comes in so many pieces, each with `warm_up` characters more. Of a text that is typed it is the
    beginning.

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
        found = _pieces_of_file(weights, options, length, pieces, warm_up)
        name = last_part(name_of(options.file))
    else:
        own, _ = own_text(weights, options.own_text, options.on_progress)
        held_out = own.split(weights.config.training.validation)[1]
        if not len(held_out):
            raise ConfigError("the run has no validation part", f"name a text: {setting('text')} or {setting('file')}")
        found, name = _spread(held_out, length, pieces, warm_up), "the validation part"
    warm_up = warm_up if len(found) > 1 else 0
    found = [piece for piece in found if len(piece) > warm_up + 1]
    if not found:
        raise CorpusError(f"there are no two characters of {name} that the model knows", "name another text")
    return Passage(found, name, vocabulary.unit, warm_up)


def _pieces_of_file(
    weights: Weights, options: InspectOptions, length: int, pieces: int, warm_up: int
) -> list[np.ndarray]:
    settings, vocabulary = weights.config.corpus, weights.vocabulary
    encoding = AS_BYTES if vocabulary.unit == "byte" else text_encoding(options.encoding or settings.encoding)
    files = find_files([str(options.file)], vocabulary.unit, options.on_progress)
    each = _CHARACTER_BYTES * (length // pieces + warm_up + 1)  # bytes
    if (
        len(files) == 1
        and settings.documents == "whole"  # which depends on what was read before
        and can_begin_anywhere(encoding)
        and (vocabulary.unit == "byte" or not is_packed(files[0]))
        and (size := files[0].stat().st_size) > max(_LARGE, each * pieces)
    ):
        texts = (excerpt(files[0], encoding, start, each) for start in _starts(size - each, pieces))
        if vocabulary.unit == "character" and options.unknown == "skip":
            texts = map(vocabulary.keep_known, texts)
        return [vocabulary.encode(text)[: length // pieces + warm_up] for text in texts]
    corpus = open_corpus(
        files, settings.unit, encoding, vocabulary, options.unknown, documents=Documents(settings.documents)
    )
    return _spread(corpus.ids, length, pieces, warm_up)


def _spread(ids: np.ndarray, length: int, pieces: int, warm_up: int) -> list[np.ndarray]:
    """At most `length` of `ids` in `pieces` that are evenly spread; all of them in one where they are no more."""
    each = length // pieces + warm_up
    if len(ids) <= max(length, each * pieces):
        return [np.asarray(ids[:length])]
    return [np.asarray(ids[start : start + each]) for start in _starts(len(ids) - each, pieces)]


def _starts(last: int, pieces: int) -> list[int]:
    """Where pieces begin: the first at the beginning, the last at `last`; a single one at the beginning."""
    return [last * number // max(1, pieces - 1) for number in range(pieces)]
