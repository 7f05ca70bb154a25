"""What a text costs without a network: guessing, counting and xz.

The n-grams are those of interpolated Kneser-Ney smoothing (Kneser & Ney 1995; Chen & Goodman 1999). With h a context
of k - 1 symbols, w the symbol after it, h' the context without its first symbol and D the discount,

    p_k(w | h) = (max(c(hw) - D, 0) + D N(h.) p_{k-1}(w | h')) / c(h.)      p_k = p_{k-1} where c(h.) = 0
    p_0(w)     = 1 / V

where N(h.) is how many distinct symbols have followed h, and c(h.) is the sum of c(hw) over w. In the highest order
c(hw) counts how often hw occurred, in those below it how many distinct symbols it occurred after.

Time and memory are proportional to the text: some 2 seconds per million characters, and `BYTES` per character. So of
a long text not more is read than takes seconds.

N: training characters.  M: characters of the text to score.  P: characters that are predicted.
"""

import lzma
import math
from collections.abc import Iterator

import numpy as np

from charlstm.evaluation.counting import Following, Ring, Sorted, interpolated
from charlstm.evaluation.tally import score_of
from charlstm.score import Score
from charlstm.text.vocabulary import Vocabulary

# On tiny Shakespeare 1.522 nats, adaptive 1.413: within 0.001 of the best of orders 5 to 8, discounts 0.5 to 0.95.
ORDER = 7  # symbols of the longest n-gram: six of context
DISCOUNT = 0.91
MAX_TRAINING = 8_000_000  # characters of the training part, its last ones, that are counted ...
MAX_XZ_TRAINING = 2_000_000  # ... and that xz reads, twice and slowly
MAX_SCORED = 2_000_000
BYTES = 130  # of memory for a character of either


def baselines(training_ids: np.ndarray, ids: np.ndarray, vocabulary: Vocabulary) -> dict[str, Score]:
    """Score every character of `ids` `[M]` but the first without a network, by what `training_ids` `[N]` tell.

    - uniform: every symbol is as likely as any other.
    - unigram: by how often it occurs in the training part, plus one.
    - 7-gram: by the six characters before it, counted in the training part.
    - adaptive 7-gram: the same, counting on while reading, as dynamic evaluation learns on.
    - xz: what the text adds to the compressed training part.

    Of a long training part only the last 8 million characters are read, by xz the last 2 million; of a text longer
    than 2 million characters only so many are scored, as the scores themselves say.
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
    scores = {name: score_of(each, vocabulary.byte_lengths[targets]) for name, each in nats.items()}
    return scores | {"xz": _score_xz(training_ids[-MAX_XZ_TRAINING:], ids, vocabulary)}


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
    ring = Ring.of(training_ids, ids, V, adaptive)
    *_, (contexts, shorter) = contexts_with_shorter(ring, V, order, discount)
    return -np.log(Following.of(contexts, ring).interpolated(shorter, discount))


def contexts_with_shorter(ring: Ring, V: int, order: int, discount: float) -> Iterator[tuple[Sorted, np.ndarray]]:
    """Contexts of k - 1 symbols, and p_{k-1} `[P]` of what came as below the highest order, for k from 1 to `order`."""
    learned, predicted = ring.learned, ring.predicted
    contexts = Sorted.by_nothing(len(learned))
    grams = contexts.lengthened(ring.symbols)
    p = np.full(len(predicted), 1 / V)
    for _ in range(1, order):
        yield contexts, p
        longer = grams.lengthened(ring.symbols)
        counted = learned & longer.new  # after a symbol that it had not yet occurred after
        times, of_symbol = contexts.earlier_next(counted)[predicted], grams.earlier(counted)[predicted]
        distinct = contexts.earlier_next(learned & grams.new)[predicted]
        p = interpolated(times, of_symbol, distinct, p, discount)
        contexts, grams = grams, longer
    yield contexts, p
