"""Counting: from a text to the tables of n-grams and words beside the network (model/counts.py).

Contexts are numbered length by length: those of m symbols are the distinct pairs of a context of m - 1 symbols and the
symbol before it. In the highest order c(hw) counts how often hw occurred, in those below it how many distinct symbols
it occurred after (Kneser & Ney 1995), as in evaluation/baseline.py; where h is a word, how often w followed it. Some
2 s a million characters, and up to 300 bytes a character, of a long text 200.

N: characters that are counted.  R: rows of the head.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from charlstm.errors import setting
from charlstm.evaluation.baseline import DISCOUNT
from charlstm.evaluation.static import score_text
from charlstm.model.counts import CONTEXT, MAX_ENTRIES, MAX_TRUST, ONE, RECENT, Counts, lengthened, marked
from charlstm.runs.weights import Weights
from charlstm.runtime.memory import require_memory

MAX_COUNTED = 4_000_000  # characters of a text, its last ones
_MAX_CONTEXTS = 2**19  # that are kept, the most frequent ones: 10 MB
_BYTES = 300  # a character, while they are counted
_SURE = 0.5  # discount after words: what followed them once will soon follow them again
_MAX_HELD_OUT = 20_000
_TRUSTS = (1, 1.5, 2.5, 4, 8, 16, 32, 64, MAX_TRUST)


def counts_beside(weights: Weights, training_ids: np.ndarray) -> Counts:
    """Counts of a training part, and how far they are to be trusted beside the network that has read it.

    The last of the text, which is not counted, says so. As the network has read that, too, it seems to need counts less
    than it does with a new text: they are trusted at least as far as was found good beside networks that had learned
    well (RESULTS.md), and further only where even here that is better.

    Raises:
        MemoryLimitError: there is not memory enough.
    """
    require_memory(
        _BYTES * min(len(training_ids), MAX_COUNTED), "counting the n-grams of the text",
        f"the network is saved and can be used; {setting('resume', True)} counts once there is more",
    )  # fmt: skip
    held_out = min(_MAX_HELD_OUT, len(training_ids) // 50)
    in_word = weights.vocabulary.in_word[: weights.model.rows]
    if weights.model.rare:
        in_word[-1:] = False  # a row of many
    counts = count(training_ids[: len(training_ids) - held_out], in_word)
    if held_out < 2:
        return counts

    def loss(trust: float) -> float:
        beside = counts._replace(trust=np.array(trust, np.float32))
        return score_text(dataclasses.replace(weights, counts=beside), training_ids[-held_out:]).loss

    return counts._replace(trust=np.array(min(_TRUSTS, key=loss), np.float32))


class _Entries(NamedTuple):
    """What was counted after contexts: of each entry the context with its key and total, the symbol, and its share."""

    keys: np.ndarray
    contexts: np.ndarray
    totals: np.ndarray
    symbols: np.ndarray
    shares: np.ndarray


def count(ids: np.ndarray, in_word: np.ndarray) -> Counts:
    """The tables of the text `ids` `[N]`; `in_word` `[R]` bool says of which symbols words are made.

    All symbols from the last row on are one and the same.
    """
    rows = len(in_word)
    ids = np.minimum(ids[-MAX_COUNTED:], rows - 1).astype(np.int64)
    hashes, contexts = np.zeros(len(ids), np.uint32), np.zeros(len(ids), np.int64)
    once = int(len(ids) > _MAX_CONTEXTS)  # of a long text no n-grams are kept whose context counts but once
    unigram, found, known = np.full(rows, 1 / rows), list[_Entries](), 0
    for length in range(CONTEXT + 1):
        before = _before(ids, length + 1, rows)
        longer = np.unique(contexts * (rows + 1) + before, return_inverse=True)[1]
        grams, last = contexts * rows + ids, length == CONTEXT
        counted = grams if last else grams[np.unique(longer * rows + ids, return_index=True)[1]]
        if length == 0:
            symbols, counts = np.unique(counted, return_counts=True)
            unigram *= DISCOUNT * len(counts) / counts.sum()
            unigram[symbols] += (counts - DISCOUNT) / counts.sum()
        else:
            found.append(_entries(hashes, contexts, counted, rows, DISCOUNT, known, once))
            known += int(contexts.max()) + 1
        contexts, hashes = longer, lengthened(hashes, before + 1)
    hashes = _words(ids, in_word)
    contexts = np.unique(hashes, return_inverse=True)[1]
    found.append(_entries(hashes, contexts, contexts * rows + ids, rows, _SURE, known, 0))
    return _tables(_Entries(*map(np.concatenate, zip(*found, strict=True))), unigram, in_word)


def _before(ids: np.ndarray, back: int, rows: int) -> np.ndarray:
    """The symbol so many places `back`; the beginning of the text is one of its own, which no context has later."""
    before = np.roll(ids, back)
    before[:back] = rows
    return before


def _words(ids: np.ndarray, in_word: np.ndarray) -> np.ndarray:
    """The hash of the word before every place, as far as it is remembered; what is in no word is one for itself."""
    rows, in_word = len(in_word), np.append(in_word, False)
    later = _before(ids, 1, rows)
    words = hashes = lengthened(np.zeros(len(ids), np.uint32), later + 1)
    goes_on = in_word[later]
    for back in range(2, RECENT + 1):
        symbol = _before(ids, back, rows)
        goes_on &= in_word[symbol]
        hashes = lengthened(hashes, symbol + 1)
        words = np.where(goes_on, hashes, words)
    return marked(words)


def _entries(
    hashes: np.ndarray, contexts: np.ndarray, counted: np.ndarray, rows: int, discount: float, known: int, above: int
) -> _Entries:
    """Of the pairs context x rows + symbol that are `counted`, those of contexts that are kept, which are numbered from
    `known` on: those whose total is above `above`. `hashes` `[N]` and `contexts` `[N]` are those of all places."""
    grams, counts = np.unique(counted, return_counts=True)
    of, symbols = grams // rows, grams % rows
    totals = np.bincount(of, counts)
    some_place = np.zeros(len(totals), np.int64)
    some_place[contexts] = np.arange(len(contexts))
    # Of one kind no more are kept than of all.
    kept = totals[of] > max(_least(totals), min(above, int(totals.max()) - 1))
    of, symbols, counts = of[kept], symbols[kept].astype(np.int32), counts[kept]
    numbers = (known + of).astype(np.int32), totals[of].astype(np.int32)
    return _Entries(hashes[some_place[of]], *numbers, symbols, (counts - discount) / totals[of])


def _tables(entries: _Entries, unigram: np.ndarray, in_word: np.ndarray) -> Counts:
    """Sorted by key; of each context the largest shares."""
    order = np.lexsort((-entries.shares, entries.contexts, entries.keys))
    keys, contexts, totals, symbols, shares = (part[order] for part in entries)
    _, first, own = np.unique(keys, return_index=True, return_inverse=True)
    # Contexts of one key cannot be told apart (of a million there are a hundred such pairs): only the first one stays.
    is_kept = (contexts == contexts[first][own]) & (totals > _least(totals[first]))
    is_kept &= np.arange(len(keys)) < first[own] + MAX_ENTRIES
    keys, symbols, shares = keys[is_kept], symbols[is_kept], shares[is_kept]
    keys, starts = np.unique(keys, return_index=True)
    bits = max(1, len(keys).bit_length())
    edges = np.arange(2**bits + 1, dtype=np.uint64) << np.uint64(32 - bits)
    return Counts(
        keys=keys,
        buckets=np.searchsorted(keys, edges).astype(np.int32),
        starts=np.append(starts, len(symbols)).astype(np.int32),
        symbols=symbols.astype(np.uint16 if len(unigram) <= 2**16 else np.uint32),
        shares=np.minimum(shares * ONE, ONE - 1).astype(np.uint16),
        unigram=unigram.astype(np.float32),
        in_word=in_word.astype(np.uint8),
        trust=np.ones((), np.float32),
    )


def _least(totals: np.ndarray) -> int:
    """What is too little for a context to be kept, so that no more are than may be: nothing where all are the same."""
    least = np.partition(totals, -_MAX_CONTEXTS)[-_MAX_CONTEXTS] if len(totals) > _MAX_CONTEXTS else 0
    return min(int(least), int(totals.max()) - 1)
