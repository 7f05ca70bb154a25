"""Where a sample ends that is to have so many documents, and which of them are not written."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from charlstm.errors import ConfigError
from charlstm.text.corpus import Corpus
from charlstm.text.documents import boundaries
from charlstm.text.vocabulary import Vocabulary

MAX_LENGTH = 1_000_000  # symbols of a document that does not end by itself
_MAX_KNOWN = 1000  # documents in a row that all stand in the text


@dataclass(frozen=True, eq=False)
class Ending:
    """After `documents` of them. `known` has the hashes of those that are not written; None if all are."""

    boundary: int
    documents: int
    known: Collection[int] | None = None

    @classmethod
    def after(cls, documents: int, vocabulary: Vocabulary, own_text: Corpus | None = None) -> "Ending":
        """After `documents`, and without those of the model's `own_text`, if it is given.

        Raises:
            ConfigError: the model tells no documents apart.
        """
        if vocabulary.boundary is None:
            raise ConfigError("the model knows no documents", "train it with `--documents lines` or the like")
        known = None if own_text is None else _hashes(own_text.ids, vocabulary.boundary)
        return cls(vocabulary.boundary, documents, known)

    def cut(self, sampled: Iterator[np.ndarray], prompt: np.ndarray) -> Iterator[np.ndarray]:
        """`sampled` ids `[n]` up to the end; the ids of the prompt, which ends inside a document, belong to the first.

        With `known`, a document is written as soon as it is whole, without those characters that the prompt has.

        Raises:
            ConfigError: the model has drawn nothing but what it knows, a thousand times.
        """
        begun = prompt[np.flatnonzero(prompt == self.boundary)[-1] + 1 :]
        written, refused, length, waiting = 0, 0, 0, list[np.ndarray]()
        for ids in sampled:
            parts = np.split(ids, np.flatnonzero(ids == self.boundary) + 1)
            for part in parts:
                length += len(part)
                is_whole = len(part) > 0 and part[-1] == self.boundary
                waiting.append(part)
                if self.known is None or (is_whole and _hash(np.concatenate([begun, *waiting])) not in self.known):
                    yield np.concatenate(waiting)
                    waiting, refused = [], 0
                    written += is_whole
                elif is_whole:
                    waiting, refused = [], refused + 1
                if is_whole:
                    begun, length = begun[:0], 0
                if written == self.documents or length > MAX_LENGTH:
                    return
                if refused == _MAX_KNOWN:
                    raise ConfigError(
                        f"the last {_MAX_KNOWN:,} documents all stand in the model's own text",
                        "raise the temperature, or train for a shorter time",
                    )


def _hashes(ids: np.ndarray, boundary: int) -> set[int]:
    """The hashes of all documents of a text, each with the boundary that ends it."""
    edges = (boundaries(ids, boundary) + 1).tolist()
    return {_hash(ids[start:end]) for start, end in pairwise(edges)}


def _hash(ids: np.ndarray) -> int:
    return hash(ids.astype(np.uint32).tobytes())
