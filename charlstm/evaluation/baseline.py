"""What a text costs without a network: guessing, counting and xz.

The n-grams are those of interpolated Kneser-Ney smoothing (Kneser & Ney 1995; Chen & Goodman 1999). With h a context
of k - 1 symbols, w the symbol after it, h' the context without its first symbol and D the discount,

    p_k(w | h) = (max(c(hw) - D, 0) + D N(h.) p_{k-1}(w | h')) / c(h.)      p_k = p_{k-1} where c(h.) = 0
    p_0(w)     = 1 / V

where N(h.) is how many distinct symbols have followed h, and c(h.) is the sum of c(hw) over w. In the highest order
c(hw) counts how often hw occurred, in those below it how many distinct symbols it occurred after.

Nothing here loops over characters. "How many ... so far" is a running sum within a group of equal n-grams, so places
are sorted by their n-grams, and one more symbol to the left is one more pass of a radix sort. Time and memory are
proportional to the text: less than a second per megabyte, and some 80 bytes per character.

N: training characters.  M: characters of the text to score.  L = N + M + 2: places of the ring that holds both.
"""

import lzma
import math
from dataclasses import dataclass

import numpy as np

from charlstm.evaluation.tally import Tally
from charlstm.score import Score
from charlstm.text.vocabulary import Vocabulary

# On tiny Shakespeare 1.522 nats, adaptive 1.413: within 0.001 of the best of orders 5 to 8, discounts 0.5 to 0.95.
ORDER = 7  # symbols of the longest n-gram: six of context
DISCOUNT = 0.91
MAX_TRAINING = 20_000_000  # characters of the training part, its last ones, that are counted ...
MAX_XZ_TRAINING = 2_000_000  # ... and that xz reads, twice and slowly
MAX_SCORED = 10_000_000
_PLACE = np.int32  # enough for places, and so for counts, of rings of two billion symbols
_BLOCK = 512  # characters whose nats are added up before the standard error is taken


def baselines(training_ids: np.ndarray, ids: np.ndarray, vocabulary: Vocabulary) -> dict[str, Score]:
    """Score every character of `ids` `[M]` but the first without a network, by what `training_ids` `[N]` tell.

    - uniform: every symbol is as likely as any other.
    - unigram: by how often it occurs in the training part, plus one.
    - 7-gram: by the six characters before it, counted in the training part.
    - adaptive 7-gram: the same, counting on while reading, as dynamic evaluation learns on.
    - xz: what the text adds to the compressed training part.

    Of a long training part only the last 20 million characters are read, by xz the last 2 million; of a text longer
    than 10 million characters only so many are scored, as the scores themselves say.
    """
    training_ids, ids = np.asarray(training_ids[-MAX_TRAINING:]), np.asarray(ids[: MAX_SCORED + 1])
    V, targets = len(vocabulary), ids[1:]
    frequency = (np.bincount(training_ids, minlength=V) + 1) / (len(training_ids) + V)
    nats = {
        "uniform": np.full(len(targets), math.log(V)),
        "unigram": -np.log(frequency)[targets],
        f"{ORDER}-gram": kneser_ney(training_ids, ids, V),
        f"adaptive {ORDER}-gram": kneser_ney(training_ids, ids, V, adaptive=True),
    }
    scores = {name: _score(each, vocabulary.byte_lengths[targets]) for name, each in nats.items()}
    return scores | {"xz": _score_xz(training_ids[-MAX_XZ_TRAINING:], ids, vocabulary)}


def _score(nats: np.ndarray, utf8_bytes: np.ndarray) -> Score:
    """The score of characters that cost `nats` and take `utf8_bytes`, `[M - 1]` each."""
    tally, starts = Tally(), np.arange(0, len(nats), _BLOCK)
    tally.add(np.add.reduceat(nats, starts), np.diff(starts, append=len(nats)), int(utf8_bytes.sum()))
    return tally.score()


def _score_xz(training_ids: np.ndarray, ids: np.ndarray, vocabulary: Vocabulary) -> Score:
    """By how many bytes `ids[1:]` lengthen what xz makes of the text before them: whole bytes, four at a time."""

    def written(ids: np.ndarray) -> bytes:
        return vocabulary.to_bytes(vocabulary.decode(ids))

    before, scored = written(training_ids) + written(ids[:1]), written(ids[1:])
    size = max(0, _xz_size(before + scored) - _xz_size(before))  # a few characters more can make a shorter file
    return Score(8 * size * math.log(2), len(ids) - 1, int(vocabulary.byte_lengths[ids[1:]].sum()))


def _xz_size(data: bytes) -> int:
    """How many bytes `xz -9e` makes of `data`; its dictionary is no larger than the data, for its memory is tenfold."""
    dictionary = min(max(len(data), 2**12), 2**26)
    xz = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": dictionary}
    return len(lzma.compress(data, filters=[xz]))


def kneser_ney(
    training_ids: np.ndarray,
    ids: np.ndarray,
    V: int,
    order: int = ORDER,
    discount: float = DISCOUNT,
    adaptive: bool = False,
) -> np.ndarray:
    """Nats that each character of `ids` `[M]` but the first costs, `[M - 1]`, by n-grams of up to `order` symbols.

    The counts are of `training_ids` `[N]` and, if `adaptive`, of all characters of `ids` before the scored one.
    Contexts begin at `ids[0]`; the beginning of a text counts as one more symbol that an n-gram can occur after.
    """
    # Each part begins with a symbol of its own: contexts that hold one were never seen before, and no n-gram goes
    # unnoticed from the end of a part to the beginning of another, so that all may be read as a ring.
    parts, smallest = [[V], training_ids, [V + 1], ids], np.min_scalar_type(V + 1)
    ring = np.concatenate(parts, dtype=smallest, casting="unsafe")
    learned = ring < V
    if not adaptive:
        learned[len(training_ids) + 1 :] = False
    contexts = Sorted.by_nothing(len(ring))
    grams = contexts.lengthened(ring)
    scored = slice(len(ring) - len(ids) + 1, None)
    p = np.full(len(ids) - 1, 1 / V)
    for k in range(1, order + 1):
        longer = grams.lengthened(ring) if k < order else grams
        counted = learned & longer.new if k < order else learned  # after a symbol that it had not yet occurred after
        c_hw = grams.earlier(counted)[scored]
        c_h = contexts.earlier_next(counted)[scored]
        N_h = contexts.earlier_next(learned & grams.new)[scored]
        q = np.maximum(c_hw - discount, 0) + discount * N_h * p
        p = np.divide(q, c_h, out=p, where=c_h > 0)
        contexts, grams = grams, longer
    return -np.log(p)


@dataclass(frozen=True, eq=False)
class Sorted:
    """The places of a ring sorted by the k symbols that end there; equal n-grams stay in the order of the ring.

    `places` `[L]`; `first` `[L]` is where in `places` the group of equal n-grams begins; `new` `[L]`, in the order of
    the ring, is whether the n-gram that ends there is the first of its group.
    """

    k: int
    places: np.ndarray
    first: np.ndarray
    new: np.ndarray

    @classmethod
    def by_nothing(cls, L: int) -> "Sorted":
        """Of n-grams of no symbols, which are all equal."""
        return cls(0, np.arange(L, dtype=_PLACE), np.zeros(L, _PLACE), np.arange(L) == 0)

    def lengthened(self, ring: np.ndarray) -> "Sorted":
        """Sorted by one more symbol on the left."""
        left = np.roll(ring, self.k)[self.places]
        order = np.argsort(left, stable=True)  # a radix sort, for symbols of up to 16 bits
        left, places, group = left[order], self.places[order], self.first[order]
        changes = np.ones(len(ring), bool)
        changes[1:] = (left[1:] != left[:-1]) | (group[1:] != group[:-1])
        first = np.maximum.accumulate(np.where(changes, np.arange(len(ring), dtype=_PLACE), 0))
        return Sorted(self.k + 1, places, first, self._in_ring(changes, places))

    def earlier(self, counted: np.ndarray) -> np.ndarray:
        """How many of the earlier places of the same group are `counted`, in the order of the ring: `[L]` both."""
        counted = counted[self.places]
        before = np.cumsum(counted, dtype=_PLACE) - counted
        return self._in_ring(before - before[self.first], self.places)

    def earlier_next(self, counted: np.ndarray) -> np.ndarray:
        """The same for places whose *context* is of a group, their n-gram ending one place before."""
        return np.roll(self.earlier(np.roll(counted, -1)), 1)

    @staticmethod
    def _in_ring(values: np.ndarray, places: np.ndarray) -> np.ndarray:
        out = np.empty_like(values)
        out[places] = values
        return out
