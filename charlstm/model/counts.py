"""Counts beside the network: tables of what followed n-grams and words, and the distributions that they give.

    q_m(w) = share(h, w) + (1 - sum of the shares of h) q_{m-1}(w)      q_m = q_{m-1} where h was never counted

with h the last m symbols, and for q_word, which q_M smooths, the word so far; the sum over w is 1 whatever is left out
of the tables. It is interpolated Kneser-Ney smoothing where share(h, w) = (c(hw) - D) / c(h.) (see
evaluation/baseline.py). A context is found by 32 bits of a hash, among sorted keys of which a table of their first bits
says where to look.

R: rows of the head.  M: symbols of the longest context.  L: contexts that are looked up, M + 1.
C: contexts.  E: entries, the symbols that were counted after contexts.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Integer

from charlstm.config import ModelConfig
from charlstm.errors import RunError

RECENT = 16  # symbols that are remembered: of longer words their last ones
CONTEXT = 8  # M; with 6 the mixture is 0.001 to 0.005 nats worse, and tables are made in half the time
MAX_ENTRIES = 16  # of a context, the most frequent ones: of 32 the mixture is 0.001 nats better, of 8 0.004 worse
MAX_CROWD = 8  # contexts that share their first bits; more are left out
_WORD = np.array(0xFFFFFFFF, np.uint32)  # no symbol: it makes a context the word so far
ONE = 65_536  # shares are whole numbers, rounded down, so that their sum is never more than 1
_FEW = 256  # rows
_ROUNDING = 1e-3  # of the sum of a million numbers
MAX_TRUST = 128
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
