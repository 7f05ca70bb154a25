"""Counts beside the network: n-grams and words in tables, mixed with what the network predicts.

A network that learned for some minutes does not know all that counts of the same text know, and learns slowly what it
lacks: rare words, letter by letter. So its probabilities are mixed with those of two models that count,

    q_m(w) = share(h, w) + (1 - sum of the shares of h) q_{m-1}(w)      q_m = q_{m-1} where h was never counted

with h the last m symbols, and for q_word, which q_M smooths, the word so far; the sum over w is 1 whatever is left out
of the tables. It is interpolated Kneser-Ney smoothing where share(h, w) = (c(hw) - D) / c(h.) (see
evaluation/baseline.py). The mixture is half a sum, and half a product (log-linear interpolation, Klakow 1998), which
gains where all three agree and loses where one of them is wrong:

    p(w) = (sum_i a_i p_i(w)) / 2 + (prod_i p_i(w)^b_i / Z) / 2         p = p_network, q_M, q_word

The weights are a = softmax(0, z_1, z_2): counts weigh more the less sure the network is, and the fewer symbols were
counted after h; and so do the powers of the network and of words, by the word so far,

    z = bias - slope log2(1 + symbols after h) + doubt sqrt(entropy of p_network) + log trust
    b = (bias + slope log2(1 + symbols after the word)) / trust + (1 - 1 / trust) (0, 0.65, 0.35)

The entropy is over rows, of which rare symbols share one, in equal parts. The network learns without counts: one that
is trained through the mixture leaves to them what it would otherwise learn (RESULTS.md).

A context is found by 32 bits of a hash, among sorted keys of which a table of their first bits says where to look.

S: streams.  T: time steps.  M: symbols of the longest context.  R: rows of the head.  V: vocabulary.
C: contexts.  E: entries, the symbols that were counted after contexts.  L: contexts that are looked up, M + 1.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Integer

from charlstm.config import ModelConfig
from charlstm.errors import RunError
from charlstm.model.members import AverageRNN, zero_states
from charlstm.model.network import CharRNN

RECENT = 16  # symbols that are remembered: of longer words their last ones
CONTEXT = 8  # M; with 6 the mixture is 0.001 to 0.005 nats worse, and tables are made in half the time
MAX_ENTRIES = 16  # of a context, the most frequent ones: of 32 the mixture is 0.001 nats better, of 8 0.004 worse
MAX_CROWD = 8  # contexts that share their first bits; more are left out
_WORD = np.array(0xFFFFFFFF, np.uint32)  # no symbol: it makes a context the word so far
ONE = 65_536  # shares are whole numbers, rounded down, so that their sum is never more than 1
_FEW = 256  # rows
_ROUNDING = 1e-3  # of the sum of a million numbers
MAX_TRUST = 128
# Of n-grams, and of the word so far: the bias, the slope, what stands for it where the context was never met, and the
# factor of the entropy's root. Fitted to slices of the training parts of three texts (RESULTS.md).
_Z = np.array([[-2.31, 0.61, 1.02, 1.45], [1.61, 2.43, 3.65, 1.76]], np.float32)
# Of the network, n-grams and the word so far: the bias, the slope, and the power where the word was never met, fitted
# in the same way; and what the powers become where the network is not trusted at all.
_B = np.array([[0.37, 0.09, 0.41], [0.16, 0.01, 0.13], [0.47, -0.12, 0.34]], np.float32)
_B_UNTRUSTED = np.array([0.0, 0.65, 0.35], np.float32)
_LEAST = 1e-9  # of q in a product: that of eight rests may be 0 in float32
Table = Array | np.ndarray
A = TypeVar("A", Array, np.ndarray)


class Counts(NamedTuple):
    """The tables."""

    keys: Integer[Table, " C"]  # uint32, hashes of contexts, rising
    buckets: Integer[Table, " buckets"]  # int32, where the keys begin that share their first bits: 2^bits and one more
    starts: Integer[Table, " C_and_1"]  # int32, where the entries of each context begin
    symbols: Integer[Table, " E"]  # uint16 or uint32
    shares: Integer[Table, " E"]  # uint16, in 65536ths
    unigram: Float[Table, " R"]  # q_0
    in_word: Integer[Table, " R"]  # uint8, 1 for symbols that words are made of
    trust: Float[Table, ""]  # from 1 to 128: counts are worth more beside a network that has learned little


class Reading(NamedTuple):
    """The state of a network with counts beside it: its own, and the last ids, each + 1, and 0 where there is none."""

    states: Any
    recent: Integer[Array, "S {RECENT}"]


def lengthened(hashes: A, symbols: A | np.ndarray) -> A:
    """The hashes, uint32, of contexts with one more of the `symbols`, ids + 1, on the left (after MurmurHash3)."""
    hashes = (hashes ^ symbols.astype("uint32")) * np.uint32(0x9E3779B1)
    hashes = (hashes ^ (hashes >> 15)) * np.uint32(0x85EBCA77)
    return hashes ^ (hashes >> 13)


class Found(NamedTuple):
    """What was counted after the last 1 to M symbols, and after the word so far; shares are 0 where nothing is."""

    shares: Float[Array, "N L {MAX_ENTRIES}"]
    symbols: Integer[Array, "N L {MAX_ENTRIES}"]
    sizes: Integer[Array, "N L"]


def look_up(counts: Counts, recent: Integer[Array, "N {RECENT}"]) -> Found:
    """What was counted after the `recent` ids + 1, the last one last."""
    recent = jnp.minimum(recent, len(counts.unigram))
    in_word = (recent > 0) & (counts.in_word[recent - 1] == 1)
    hashes, keys = jnp.zeros(len(recent), jnp.uint32), list[Array]()
    word, goes_on = hashes, jnp.ones(len(recent), bool)
    for back in range(1, RECENT + 1):
        if back > 1:
            goes_on &= in_word[:, -back] & in_word[:, 1 - back]
        hashes = lengthened(hashes, recent[:, -back])
        word = jnp.where(goes_on, hashes, word)
        keys += [hashes] * (back <= CONTEXT)
    starts, sizes = _find(counts, jnp.stack([*keys, marked(word)], 1))
    number = jnp.arange(MAX_ENTRIES)[None, None]
    places = starts[:, :, None] + number
    shares = jnp.where(number < sizes[:, :, None], counts.shares[places].astype(jnp.float32) / ONE, 0)
    return Found(shares, counts.symbols[places].astype(jnp.int32), sizes)


def marked(hashes: A) -> A:
    """The hashes of contexts, uint32, as words so far."""
    return lengthened(hashes, _WORD)


def weights_of(found: Found, entropy: Float[Array, " N"], trust: Float[Table, ""]) -> Float[Array, "N 3"]:
    """How much the network weighs in the sum, n-grams, and the word so far; `entropy` is the network's."""
    bias, slope, unknown, doubt = _Z.T[:, None]
    sizes = found.sizes[:, -2:].astype(jnp.float32)
    z = bias - jnp.where(sizes > 0, slope * jnp.log2(1 + sizes), unknown) + doubt * jnp.sqrt(entropy)[:, None]
    return jax.nn.softmax(jnp.pad(z + jnp.log(trust), ((0, 0), (1, 0))))


def powers_of(found: Found, trust: Float[Table, ""]) -> Float[Array, "N 3"]:
    """The power of the network in the product, of n-grams, and of the word so far."""
    bias, slope, unknown = _B.T[:, None]
    size = found.sizes[:, -1:].astype(jnp.float32)
    trusted = jnp.where(size > 0, bias + slope * jnp.log2(1 + size), unknown)
    return trusted / trust + _B_UNTRUSTED[None] * (1 - 1 / trust)


def distributions(counts: Counts, found: Found) -> tuple[Float[Array, "N R"], Float[Array, "N R"]]:
    """q_M and q_word."""
    rests = 1 - found.shares.sum(-1)  # what a context leaves to the shorter ones, and the word to q_M
    left = jnp.flip(jnp.cumprod(jnp.flip(rests[:, :-1], 1), 1), 1)  # by this one and all longer ones
    left_by_longer = jnp.append(left[:, 1:], jnp.ones_like(left[:, :1]), 1)
    N, R = len(rests), len(counts.unigram)

    def plus(q: Float[Array, "N R"], shares: Float[Array, "N l E"], symbols: Integer[Array, "N l E"]) -> Array:
        shares, symbols = shares.reshape(N, -1), symbols.reshape(N, -1)
        if N == 1 and R <= _FEW:  # a CPU's scatter is serial: 2 us instead of 17 (jax 0.12)
            return q + shares @ jax.nn.one_hot(symbols[0], R)
        return q.at[jnp.arange(N)[:, None], symbols].add(shares)

    of_n_grams = plus(
        left[:, :1] * counts.unigram[None], found.shares[:, :-1] * left_by_longer[:, :, None], found.symbols[:, :-1]
    )
    return of_n_grams, plus(rests[:, -1:] * of_n_grams, found.shares[:, -1:], found.symbols[:, -1:])


def _find(counts: Counts, keys: Integer[Array, "N L"]) -> tuple[Integer[Array, "N L"], Integer[Array, "N L"]]:
    """Where the entries of contexts begin, and how many there are: none where a context is not known."""
    bits = (len(counts.buckets) - 1).bit_length() - 1
    first = counts.buckets[(keys >> (32 - bits)).astype(jnp.int32)]
    candidates = jnp.minimum(first[:, :, None] + jnp.arange(MAX_CROWD)[None, None], len(counts.keys) - 1)
    is_same = counts.keys[candidates] == keys[:, :, None]
    row = jnp.where(is_same, candidates, 0).max(-1)
    start = counts.starts[row]
    return start, jnp.where(is_same.any(-1), counts.starts[row + 1] - start, 0)


@jax.jit
def mix(counts: Counts, logits: Float[Array, "*N V"], recent: Integer[Array, "*N {RECENT}"]) -> Float[Array, "*N V"]:
    """log p of the mixture after the `recent` ids + 1, where the network says `logits`, of V symbols or of R rows."""
    of_rows = jax.nn.log_softmax(logits)
    R = len(counts.unigram)
    if rare := logits.shape[-1] - R:  # each rare symbol has its part of their row
        of_rows = jnp.append(of_rows[..., : R - 1], jax.nn.logsumexp(of_rows[..., R - 1 :], -1, keepdims=True), -1)
    of_rows = of_rows.reshape(-1, R)
    found = look_up(counts, recent.reshape(-1, RECENT))
    entropy = -(jnp.exp(of_rows) * of_rows).sum(-1)
    parts = jnp.stack([of_rows, *(jnp.log(jnp.maximum(q, _LEAST)) for q in distributions(counts, found))], 1)
    weights, powers = weights_of(found, entropy, counts.trust), powers_of(found, counts.trust)
    added = jax.nn.logsumexp(parts + jnp.log(weights)[:, :, None], 1)
    multiplied = jax.nn.log_softmax((parts * powers[:, :, None]).sum(1))
    mixed = (jnp.logaddexp(added, multiplied) - math.log(2)).reshape(*logits.shape[:-1], R)
    if rare:
        mixed = jnp.append(mixed[..., :-1], jnp.repeat(mixed[..., -1:] - math.log(rare + 1), rare + 1, -1), -1)
    return mixed


class CountingRNN:
    """A network with counts beside it: called as it is, with a `Reading` for its states, it tells log p for logits."""

    def __init__(self, network: CharRNN | AverageRNN, counts: Counts) -> None:
        self._network, self._counts = network, counts

    def __call__(self, ids: Integer[Array, "T S"], reading: Reading) -> tuple[Float[Array, "T S R"], Reading]:
        """log p of the next symbol at every place."""
        logits, states = self._network(ids, reading.states)
        read = jnp.concatenate([reading.recent.T, ids.astype(jnp.int32) + 1])
        recent = jnp.stack([read[place : place + len(ids)] for place in range(1, RECENT + 1)], -1)
        return mix(self._counts, logits, recent), Reading(states, read[-RECENT:].T)

    def step(self, ids: Integer[Array, " S"], reading: Reading, gate_table: Any) -> tuple[Float[Array, "S V"], Reading]:
        """The same for a single time step."""
        logits, states = self._network.step(ids, reading.states, gate_table)
        recent = jnp.append(reading.recent[:, 1:], ids.astype(jnp.int32)[:, None] + 1, 1)
        return mix(self._counts, logits, recent), Reading(states, recent)


def beside(network: CharRNN | AverageRNN, counts: Counts | None) -> Any:
    """The network with its counts, or as it is where there are none."""
    return network if counts is None else CountingRNN(network, counts)


def zero_reading(config: ModelConfig, counts: Counts | None, batch_size: int) -> Any:
    """The state of `beside` before the first character."""
    states = zero_states(config, batch_size)
    return states if counts is None else Reading(states, jnp.zeros((batch_size, RECENT), jnp.int32))


def checked_counts(tables: Mapping[str, np.ndarray], config: ModelConfig, where: str) -> Counts:
    """The tables by their names, if nothing that they point to is out of range.

    Raises:
        RunError: a table is missing, unknown, of another size or type, or points to what is not there; `where` names
            the file.
    """
    tables = {"in_word": np.zeros(config.rows, np.uint8), **tables}  # as before words were counted
    if wrong := sorted(set(tables).symmetric_difference(Counts._fields)):
        state = "is missing" if wrong[0] in Counts._fields else "does not belong there"
        raise RunError(f"{where}: the table {wrong[0]!r} of counts {state}", "the file is damaged or of another model")
    counts = Counts(**tables)
    if not _are_sound(counts, config.rows):
        raise RunError(f"{where}: the counts beside the network do not fit together", "use a copy, or train again")
    return counts


def _are_sound(counts: Counts, rows: int) -> bool:
    """Whether every lookup ends in the tables, and every distribution sums to 1 without negative parts."""
    of_type = np.uint32, np.int32, np.int32, counts.symbols.dtype, np.uint16, np.float32, np.uint8, np.float32
    if [(table.dtype, table.ndim) for table in counts] != [*zip(of_type, (1, 1, 1, 1, 1, 1, 1, 0), strict=True)]:
        return False
    C, E, bits = len(counts.keys), len(counts.symbols), (len(counts.buckets) - 1).bit_length() - 1

    def rises(table: Table, length: int, last: int) -> bool:
        return bool(len(table) == length and table[0] == 0 and table[-1] == last and (table[1:] >= table[:-1]).all())

    return (
        counts.symbols.dtype in (np.uint16, np.uint32)
        and C > 0 < E
        and 0 < bits < 32
        and rises(counts.buckets, 2**bits + 1, C)
        and rises(counts.starts, C + 1, E)
        and bool((counts.keys[1:] > counts.keys[:-1]).all())
        and len(counts.shares) == E
        and bool((np.diff(np.append(0, np.cumsum(counts.shares, dtype=np.int64))[counts.starts]) < ONE).all())
        and len(counts.unigram) == rows > counts.symbols.max()
        and len(counts.in_word) == rows
        and bool(counts.unigram.min() > 0)
        and abs(float(counts.unigram.sum()) - 1) < _ROUNDING
        and 1 <= float(counts.trust) <= MAX_TRUST
    )
