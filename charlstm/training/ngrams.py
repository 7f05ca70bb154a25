"""Counting: from a text to the tables of n-grams beside the network (model/counts.py).

Contexts are numbered length by length: those of m symbols are the distinct pairs of a context of m - 1 symbols and the
symbol before it. In the highest order c(hw) counts how often hw occurred, in those below it how many distinct symbols
it occurred after (Kneser & Ney 1995), as in evaluation/baseline.py. Some 2 s a million characters, and up to 250 bytes
a character, of a long text 200.

N: characters that are counted.  R: rows of the head.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from charlstm.errors import setting
from charlstm.evaluation.baseline import DISCOUNT
from charlstm.evaluation.static import score_text
from charlstm.model.counts import CONTEXT, MAX_ENTRIES, MAX_TRUST, ONE, Counts, lengthened
from charlstm.runs.weights import Weights
from charlstm.runtime.memory import require_memory

MAX_COUNTED = 4_000_000  # characters of a text, its last ones
_MAX_CONTEXTS = 2**19  # that are kept, the most frequent ones: 10 MB
_BYTES = 250  # a character, while they are counted
_MAX_HELD_OUT = 20_000
_TRUSTS = (1.0, 1.2, 1.5, 1.9, 2.3, MAX_TRUST)


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
    counts = count(training_ids[: len(training_ids) - held_out], weights.model.rows)
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


def count(ids: np.ndarray, rows: int) -> Counts:
    """The tables of the text `ids` `[N]`, whose symbols from the last of the `rows` on are one and the same."""
    ids = np.minimum(ids[-MAX_COUNTED:], rows - 1).astype(np.int64)
    contexts, hashes = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.uint32)
    unigram, found, known = np.full(rows, 1 / rows), list[_Entries](), 0
    for length in range(CONTEXT + 1):
        before = np.roll(ids, length + 1)
        before[: length + 1] = rows  # the beginning of the text is a symbol of its own, which no context has later
        longer = np.unique(contexts * (rows + 1) + before, return_inverse=True)[1]
        grams, last = contexts * rows + ids, length == CONTEXT
        counted = grams if last else grams[np.unique(longer * rows + ids, return_index=True)[1]]
        grams, counts = np.unique(counted, return_counts=True)
        of, symbols = grams // rows, grams % rows
        totals, distinct = np.bincount(of, counts), np.bincount(of)
        shares = (counts - DISCOUNT) / totals[of]
        if length == 0:
            unigram *= DISCOUNT * distinct[0] / totals[0]
            unigram[symbols] += shares
        else:
            some_place = np.zeros(len(totals), np.int64)
            some_place[contexts] = np.arange(len(ids))
            # Of one length no more are kept than of all; and of a long text none that counts but once.
            once = min(int(len(ids) > _MAX_CONTEXTS), int(totals.max()) - 1)
            kept = totals[of] > max(_least(totals), once)
            of, symbols, shares = of[kept], symbols[kept].astype(np.int32), shares[kept]
            numbers = (known + of).astype(np.int32), totals[of].astype(np.int32)
            found.append(_Entries(hashes[some_place[of]], *numbers, symbols, shares))
            known += len(totals)
        contexts, hashes = longer, lengthened(hashes, before + 1)
    return _tables(_Entries(*map(np.concatenate, zip(*found, strict=True))), unigram)


def _tables(entries: _Entries, unigram: np.ndarray) -> Counts:
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
        trust=np.ones((), np.float32),
    )


def _least(totals: np.ndarray) -> int:
    """What is too little for a context to be kept, so that no more are than may be: nothing where all are the same."""
    least = np.partition(totals, -_MAX_CONTEXTS)[-_MAX_CONTEXTS] if len(totals) > _MAX_CONTEXTS else 0
    return min(int(least), int(totals.max()) - 1)
