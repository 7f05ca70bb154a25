"""Counts beside the network: against dictionaries and NumPy in float64, and what must be so whatever was counted."""

import math
from collections import Counter, defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.config import ModelConfig
from charlstm.evaluation.baseline import DISCOUNT, kneser_ney
from charlstm.model import counts as counts_module
from charlstm.model.counts import CONTEXT, MAX_ENTRIES, RECENT, Counts
from charlstm.model.network import CharRNN
from charlstm.model.pool import CountingRNN, Reading, mix, zero_reading
from charlstm.training import ngrams
from charlstm.training.ngrams import count

NO_WORDS = np.zeros(99, bool)
ROUNDED = 2**-16  # shares are rounded down to so much


class Dictionaries:
    """Interpolated Kneser-Ney of a text, whose contexts keep their largest shares only, rounded as the tables are.

    The same after words so far, of which the discount is 0.5.
    """

    def __init__(self, text: list[int], in_word: np.ndarray) -> None:
        after = defaultdict(Counter)  # [context][symbol]
        for place, symbol in enumerate(text):
            after[self._before(text, place, CONTEXT)][symbol] += 1
        lefts = defaultdict(lambda: defaultdict(set))  # [context][symbol] -> the symbols before both
        for place, symbol in enumerate(text):
            for m in range(CONTEXT):
                lefts[self._before(text, place, m)][symbol].add(self._before(text, place, m + 1)[0])
        after |= {context: Counter({w: len(each) for w, each in found.items()}) for context, found in lefts.items()}
        self.shares = {h: self._shares(found, DISCOUNT, bool(h)) for h, found in after.items()}
        self.in_word, words = in_word, defaultdict(Counter)
        for place, symbol in enumerate(text[1:], 1):
            words[self._word(text[:place])][symbol] += 1
        self.after_words = {word: self._shares(found, 0.5) for word, found in words.items()}

    @staticmethod
    def _shares(found: Counter[int], discount: float, is_kept: bool = True) -> dict[int, float]:
        shares = {w: (c - discount) / sum(found.values()) for w, c in found.items()}
        if not is_kept:
            return shares
        kept = sorted(shares.items(), key=lambda each: (-each[1], each[0]))[:MAX_ENTRIES]
        return {w: math.floor(share / ROUNDED) * ROUNDED for w, share in kept}

    def _word(self, read: list[int]) -> tuple[int, ...]:
        """The word so far, of its last 16 symbols; what is in no word is one for itself."""
        word = read[-1:]
        while len(word) < min(RECENT, len(read)) and self.in_word[[word[0], read[-1 - len(word)]]].all():
            word.insert(0, read[-1 - len(word)])
        return tuple(word)

    @staticmethod
    def _before(text: list[int], place: int, m: int) -> tuple[int | None, ...]:
        """The last m symbols before a place; None is the beginning of the text."""
        return tuple([None] * max(0, m - place) + text[max(0, place - m) : place])

    def after(self, context: list[int]) -> list[dict[int, float]]:
        """The shares after the last 0, 1, ... symbols of a context, and after the word so far."""
        lengths = range(min(CONTEXT, len(context)) + 1)
        found = [self.shares.get(tuple(context[len(context) - m :]), {}) for m in lengths]
        return [*found, self.after_words.get(self._word(context), {})]

    def q(self, context: list[int]) -> np.ndarray:
        """The distributions after a context by n-grams and by the word so far, `[2, R]`."""
        q, of_n_grams = np.full(len(self.in_word), 1 / len(self.in_word)), np.zeros(0)
        for shares in self.after(context):
            of_n_grams = q.copy()
            q *= 1 - sum(shares.values())
            for w, share in shares.items():
                q[w] += share
        return np.stack([of_n_grams, q])

    def sizes(self, context: list[int]) -> list[int]:
        """How many symbols were counted after the longest context, and after the word so far."""
        found = self.after(context)
        return [len(found[-2]) if len(found) == CONTEXT + 2 else 0, len(found[-1])]


def distributions(counts: Counts, contexts: list[list[int]], jitted: bool = True) -> np.ndarray:
    """Those after contexts by n-grams and by the word so far, `[N, 2, R]`."""
    look_up, of_found = counts_module.look_up, counts_module.distributions
    if jitted:
        look_up, of_found = jax.jit(look_up), jax.jit(of_found)
    counts = jax.tree.map(jnp.asarray, counts)
    return np.stack(of_found(counts, look_up(counts, jnp.asarray(recent_of(contexts)))), 1).astype(np.float64)


def recent_of(contexts: list[list[int]]) -> np.ndarray:
    """Contexts as a reader has them: ids + 1, 0 where there is nothing."""
    return np.array([[0] * (RECENT - len(h[-RECENT:])) + [w + 1 for w in h[-RECENT:]] for h in contexts], np.int32)


@st.composite
def texts(draw: st.DrawFn) -> tuple[list[int], np.ndarray]:
    """A text, of few symbols or of many, and which symbols of its vocabulary are in words."""
    rows = draw(st.sampled_from([1, 2, 3, 30, 300, 5000]))
    few = draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=4, unique=True))
    symbol = draw(st.sampled_from([st.sampled_from(few), st.integers(0, rows - 1)]))
    in_word = np.arange(rows) % draw(st.integers(1, 3)) < 1
    return draw(st.lists(symbol, min_size=1, max_size=80)), in_word


@settings(max_examples=12)
@given(data=st.data(), text=texts())
def test_distributions_are_those_of_dictionaries(data, text):
    text, in_word = text
    counts, expected = count(np.array(text), in_word), Dictionaries(text, in_word)
    places = data.draw(st.lists(st.integers(0, len(text)), min_size=3, max_size=3))  # as many as were compiled for
    unknown = data.draw(st.lists(st.integers(0, len(in_word) - 1), max_size=CONTEXT))
    contexts = [*(text[:place] for place in places), unknown]
    for q, context in zip(distributions(counts, contexts, jitted=False), contexts, strict=True):
        np.testing.assert_allclose(q, expected.q(context), rtol=1e-4, atol=1e-6)
        assert q.sum(1) == pytest.approx(1, abs=1e-5) and q.min() > 0


def test_of_many_symbols_after_a_context_the_most_frequent_are_kept(numbers):
    text = (numbers.zipf(1.3, 2000) % 60).tolist()
    in_word = np.arange(60) < 20
    counts, expected = count(np.array(text), in_word), Dictionaries(text, in_word)
    assert np.diff(counts.starts).max() == MAX_ENTRIES
    contexts = [text[:place] for place in range(0, 2000, 50)]
    found = distributions(counts, contexts)
    np.testing.assert_allclose(found, [expected.q(context) for context in contexts], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.sum(2), 1, atol=1e-5)
    one_by_one = [distributions(counts, [context])[0] for context in contexts[:5]]  # by another product
    np.testing.assert_allclose(found[:5], one_by_one, rtol=1e-5, atol=1e-7)


def test_a_text_costs_what_evaluation_says_without_a_network(numbers):
    """Of a context with at most 16 successors nothing is left out: each order's shares and rests are off by less than
    17 / 65536 together, and an average text's by much less."""
    training, text = (numbers.geometric(0.25, size).clip(max=12).astype(np.uint8) for size in (6000, 1000))
    nats = kneser_ney(training, text, 13, order=CONTEXT + 1)
    contexts = [text[:place].tolist() for place in range(1, len(text))]
    q = distributions(count(training, NO_WORDS[:13]), contexts)[np.arange(len(text) - 1), 0, text[1:]]
    assert np.abs(q - np.exp(-nats)).max() < 17 * CONTEXT * ROUNDED
    assert np.abs(q - np.exp(-nats)).mean() < 2 * ROUNDED
    assert -np.log(q).mean() == pytest.approx(nats.mean(), abs=1e-3)


def test_the_word_so_far_is_known_though_what_stands_before_it_is_not(numbers):
    """ "abc" is followed by "d" whatever precedes; n-grams of 8 have never met that, the word has."""
    noise = numbers.integers(5, 50, (300, 7))  # symbols of no words
    text = np.concatenate([noise, np.tile([0, 1, 2, 3], (300, 1))], 1).ravel()
    counts = count(text, np.arange(50) < 5)
    context = [49, 48, 47, 46, 45, 44, 43, 0, 1, 2]
    found = counts_module.look_up(jax.tree.map(jnp.asarray, counts), recent_of([context]))
    assert found.sizes[0, -2:].tolist() == [0, 1]
    assert distributions(counts, [context])[0, 1, 3] > 0.998
    # Of words of more than 16 symbols the last 16 count.
    long = jax.tree.map(jnp.asarray, count(np.array([*range(25)] * 2), np.ones(25, bool)))
    for first, met in [(5, 0), (4, 1)]:
        contexts = [[before, *range(first, 20)] for before in (first - 2, 24)]
        assert counts_module.look_up(long, recent_of(contexts)).sizes[:, -1].tolist() == [met, met]


@pytest.mark.parametrize("bits", [0, 2, 5], ids="{} bits".format)
def test_whatever_contexts_share_their_hash_every_distribution_sums_to_one(bits, monkeypatch, numbers):
    """With a hash of so few bits hundreds of contexts have one key, and keys share their first bits, too."""
    lengthened = counts_module.lengthened

    def poor(hashes, symbols):
        return lengthened(hashes, symbols) % np.uint32(2**bits)

    for module in (counts_module, ngrams):
        monkeypatch.setattr(module, "lengthened", poor)
    text = numbers.integers(0, 7, 400)
    counts = count(text, np.arange(7) < 4)
    assert 1 <= len(counts.keys) <= 2**bits
    assert (np.diff(counts.starts) <= MAX_ENTRIES).all()
    # A row is that of one context: it has no symbol twice.
    for first, last in zip(counts.starts, counts.starts[1:], strict=False):
        assert len(set(counts.symbols[first:last].tolist())) == last - first
    q = distributions(counts, [text[:place].tolist() for place in range(100)])
    np.testing.assert_allclose(q.sum(2), 1, atol=1e-5)
    assert q.min() > 0


def test_rare_symbols_are_the_last_row(numbers):
    text, in_word = numbers.integers(0, 12, 300), np.arange(9) < 4
    counts, expected = count(text, in_word), Dictionaries(np.minimum(text, 8).tolist(), in_word)
    contexts = [text[:place].tolist() for place in range(40, 60)]
    assert max(map(max, contexts)) > 8
    q = [expected.q(np.minimum(context, 8).tolist()) for context in contexts]
    np.testing.assert_allclose(distributions(counts, contexts), q, rtol=1e-4, atol=1e-6)


def mixed(logits: np.ndarray, q: np.ndarray, sizes: list[int], trust: float, rare: int) -> np.ndarray:
    """The formula of the module in float64; of `rare` symbols the last row is."""
    logits = logits.astype(np.float64) - logits.max()
    log_p = logits - np.logaddexp.reduce(logits)
    if rare:
        log_p = np.append(log_p[: len(log_p) - rare], np.logaddexp.reduce(log_p[len(log_p) - rare :]))
    rows = np.exp(log_p)
    root = np.sqrt(max(0, -(rows * log_p).sum()))
    n_grams, word = sizes
    odds = [
        np.exp(-2.31 - (0.61 * np.log2(1 + n_grams) if n_grams else 1.02) + 1.45 * root) * trust,
        np.exp(1.61 - (2.43 * np.log2(1 + word) if word else 3.65) + 1.76 * root) * trust,
    ]
    added = (rows + odds[0] * q[0] + odds[1] * q[1]) / (1 + sum(odds))
    learned = np.array([[0.37, 0.16, 0.47], [0.09, 0.01, -0.12]]) if word else np.array([[0.41, 0.13, 0.34], [0, 0, 0]])
    powers = (learned[0] + learned[1] * np.log2(1 + word)) / trust + (1 - 1 / trust) * np.array([0, 0.65, 0.35])
    multiplied = powers[0] * log_p + powers[1:] @ np.log(np.maximum(q, 1e-9))
    multiplied = np.exp(multiplied - np.logaddexp.reduce(multiplied))
    found = (added + multiplied) / 2
    return np.append(found[:-1], np.repeat(found[-1] / rare, rare)) if rare else found


@pytest.mark.parametrize("rare", [0, 5], ids=["all rows", "rare symbols"])
@pytest.mark.parametrize("trust", [1.0, 128.0])
@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0, 1e4, 1e30])
def test_a_mixture_is_the_formula_and_sums_to_one(rare, trust, scale, numbers):
    text, V = numbers.integers(0, 13 + rare, 500), 13 + rare
    rows = V - max(0, rare - 1)
    in_word = np.arange(rows) < 5
    counts = count(text, in_word)._replace(trust=np.float32(trust))
    logits = (scale * numbers.normal(size=(20, V))).astype(np.float32)
    logits[:, rows - 1 :] = logits[:, -1:]  # as the network has it
    contexts = [text[:place].tolist() for place in range(20)]
    log_p = np.asarray(mix(counts, logits, recent_of(contexts)), np.float64)
    q, known = distributions(counts, contexts), Dictionaries(np.minimum(text, rows - 1).tolist(), in_word)
    sizes = [known.sizes(np.minimum(context, rows - 1).tolist()) for context in contexts]
    expected = [mixed(*each, trust, rare) for each in zip(logits, q, sizes, strict=True)]
    np.testing.assert_allclose(np.exp(log_p), expected, rtol=2e-4, atol=1e-7)
    np.testing.assert_allclose(np.exp(log_p).sum(-1), 1, atol=1e-5)
    assert np.isfinite(log_p).all()


def test_a_mixture_has_the_shape_of_its_logits(numbers):
    counts = count(numbers.integers(0, 5, 100), np.arange(5) < 3)
    logits = numbers.normal(size=(3, 2, 5)).astype(np.float32)
    recent = numbers.integers(0, 6, (3, 2, RECENT)).astype(np.int32)
    for each in np.ndindex(3, 2):
        np.testing.assert_allclose(mix(counts, logits, recent)[each], mix(counts, logits[each], recent[each]), 1e-5)


@pytest.fixture(scope="module", params=["lstm", "gru", "rare"])
def reader(request) -> tuple[ModelConfig, CountingRNN, Counts, jax.Array]:
    """A network with counts beside it, and a text `[T, S]`."""
    rare = 4 if request.param == "rare" else 0
    shape = ModelConfig(
        vocabulary_size=9 + rare, rare=rare, layers=2, hidden_size=8, embedding_size=4, dropout=0.0,
        cell="gru" if request.param == "gru" else "lstm",
    )  # fmt: skip
    network = CharRNN(shape, nnx.Rngs(0))
    network.head_kernel[...] = jax.random.normal(jax.random.key(1), network.head_kernel.shape)
    ids = np.random.default_rng(7).integers(0, 9 + rare, (128, 3))
    counts = count(ids[:, 0], np.arange(shape.rows) % 3 > 0)
    reader = CountingRNN(network, counts)
    reader.step = jax.jit(reader.step)
    return shape, reader, counts, jnp.array(ids, jnp.int32)


def assert_same(one: object, other: object) -> None:
    """In all arrays, but for rounding."""
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cut", [2, 64])
def test_two_windows_with_the_reading_carried_are_one_of_128(reader, cut):
    shape, network, counts, ids = reader
    whole, end = network(ids, zero_reading(shape, counts, 3))
    first, reading = network(ids[:cut], zero_reading(shape, counts, 3))
    second, reading = network(ids[cut:], reading)
    assert_same(jnp.concatenate([first, second]), whole)
    assert_same(reading, end)
    assert isinstance(reading, Reading)
    np.testing.assert_array_equal(reading.recent, ids[-RECENT:].T + 1)


def test_what_it_tells_is_the_network_mixed_with_what_it_has_read(reader):
    shape, network, counts, ids = reader
    logits, _ = network._network(ids, zero_reading(shape, None, 3))
    found, _ = network(ids, zero_reading(shape, counts, 3))
    for time, stream in [(0, 0), (3, 1), (50, 2), (127, 0)]:
        recent = recent_of([ids[: time + 1, stream].tolist()])[0]
        np.testing.assert_allclose(found[time, stream], mix(counts, logits[time, stream], recent), rtol=1e-4, atol=1e-5)


def test_step_after_step_is_one_call(reader):
    shape, network, counts, ids = reader
    whole, end = network(ids[:10], zero_reading(shape, counts, 3))
    reading = zero_reading(shape, counts, 3)
    for time in range(10):
        log_p, reading = network.step(ids[time], reading, None)
        if shape.rare:  # a step tells each of them
            last = jax.nn.logsumexp(log_p[:, shape.rows - 1 :], -1, keepdims=True)
            log_p = jnp.concatenate([log_p[:, : shape.rows - 1], last], -1)
        assert_same(log_p, whole[time])
    assert_same(reading, end)


def test_streams_know_nothing_of_each_other(reader):
    shape, network, counts, ids = reader
    together, end = network(ids, zero_reading(shape, counts, 3))
    for stream in range(3):
        alone, own = network(ids[:, stream : stream + 1], zero_reading(shape, counts, 1))
        assert_same(alone[:, 0], together[:, stream])
        assert_same(own, jax.tree.map(lambda leaf, stream=stream: leaf[stream : stream + 1], end))
