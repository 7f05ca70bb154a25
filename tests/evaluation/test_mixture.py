"""The network and experts that count, mixed: a distribution at every character, from what was read before it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.evaluation import baseline
from charlstm.evaluation.experts import UNKNOWN, Experts, counting_experts
from charlstm.evaluation.mixture import mix, mixed_nats, mixture, with_network
from charlstm.evaluation.predictions import Predictions
from charlstm.text.vocabulary import Vocabulary

both_ways = pytest.mark.parametrize("adaptive", [False, True], ids=["static", "adaptive"])
LETTERS = Vocabulary.of_characters("ab, ")


def network_of(distributions: np.ndarray, ids: np.ndarray) -> Predictions:
    """A network that gives every character of `ids` `[M]` but the first its row of `distributions` `[M - 1, V]`."""
    p = distributions[np.arange(len(ids) - 1), ids[1:]]
    entropies = -(distributions * np.log(distributions)).sum(1)
    return Predictions((-np.log(p)).astype(np.float32), entropies.astype(np.float32))


def nats_of(training: np.ndarray, ids: np.ndarray, network: Predictions, adaptive: bool) -> np.ndarray:
    return mixed_nats(counting_experts(training, ids, LETTERS, adaptive), network)


def some_text(numbers: np.random.Generator, length: int) -> np.ndarray:
    """With words that come again and again."""
    words = [[0, 1, 1, 2], [0, 0, 1, 3, 2], [1, 1, 1, 2], [1, 3, 2]]
    return np.concatenate([words[k] for k in numbers.integers(0, 4, length + 1)])[:length].astype(np.uint8)


@both_ways
@settings(max_examples=15)
@given(data=st.data())
def test_probabilities_of_all_symbols_sum_to_one_at_every_character(adaptive, data):
    """The text ends with each symbol in turn, so whatever is read of it before is the same."""
    numbers = np.random.default_rng(data.draw(st.integers(0, 99)))
    training = some_text(numbers, data.draw(st.integers(0, 120)))
    text = some_text(numbers, data.draw(st.integers(1, 80)))
    distributions = numbers.dirichlet(np.full(4, 0.3), len(text)).clip(1e-6)
    distributions /= distributions.sum(1, keepdims=True)
    endings = [np.append(text, symbol).astype(np.uint8) for symbol in range(4)]
    last = [nats_of(training, ids, network_of(distributions, ids), adaptive)[-1] for ids in endings]
    assert math.fsum(math.exp(-nats) for nats in last) == pytest.approx(1, abs=1e-5)


@both_ways
def test_whole_distributions_mixed_with_the_weights_that_were_used_sum_to_one(adaptive, numbers):
    """And these weights are the same whatever the last character is: they have not seen it."""
    training, text = some_text(numbers, 300), some_text(numbers, 70)
    distributions = numbers.dirichlet(np.ones(4), len(text))
    weights, of_experts = list[np.ndarray](), list[np.ndarray]()
    for symbol in range(4):
        ids = np.append(text, symbol).astype(np.uint8)
        joined = with_network(counting_experts(training, ids, LETTERS, adaptive), network_of(distributions, ids))
        weights.append(list(mix(joined))[-1].weights[-1])
        of_experts.append(joined.probabilities[-1])
    for each in weights[1:]:
        np.testing.assert_array_equal(each, weights[0])
    known = of_experts[0] != UNKNOWN
    assert weights[0].sum() == pytest.approx(1, abs=1e-6) and not weights[0][~known].any()
    np.testing.assert_allclose(np.sum(of_experts, 0)[known], 1, atol=1e-5)  # each expert is a distribution
    assert sum(w @ p for w, p in zip(weights, of_experts, strict=True)) == pytest.approx(1, abs=1e-5)


@both_ways
@pytest.mark.parametrize("place", [1, 2, 40, 76, 149])
def test_a_character_changes_nothing_before_it(adaptive, place, numbers):
    training, text = some_text(numbers, 400), some_text(numbers, 150)
    distributions = numbers.dirichlet(np.ones(4), len(text) - 1)
    other = text.copy()
    other[place] = (other[place] + 1) % 4
    one, changed = (nats_of(training, ids, network_of(distributions, ids), adaptive) for ids in (text, other))
    np.testing.assert_array_equal(one[: place - 1], changed[: place - 1])
    assert one[place - 1] != changed[place - 1]


@both_ways
def test_what_follows_a_text_changes_nothing_of_it(adaptive, numbers):
    training, text = some_text(numbers, 400), some_text(numbers, 150)
    distributions = numbers.dirichlet(np.ones(4), len(text) - 1)
    whole = nats_of(training, text, network_of(distributions, text), adaptive)
    for length in (2, 3, 33, 149):
        part = text[:length]
        np.testing.assert_allclose(
            nats_of(training, part, network_of(distributions, part), adaptive), whole[: length - 1], rtol=1e-6
        )


def slow_mix(experts: Experts) -> np.ndarray:
    """The rule, expert by expert, in float64."""
    P, E = experts.probabilities.shape
    terms = [np.zeros((size, E)) for size in experts.sizes]
    for each in terms:
        each[:, -1] = 2.0 / len(terms)
    mixed, moves = np.zeros(P), list[tuple[int, int, np.ndarray]]()
    for t in range(P):
        if t % 32 == 0:
            for s, bucket, move in moves:
                terms[s][bucket] += move
            moves = []
        p = experts.probabilities[t].astype(float)
        z = np.sum([terms[s][bucket] for s, bucket in enumerate(experts.buckets[t])], 0)
        known = p != UNKNOWN
        w = np.where(known, np.exp(np.maximum(z - z[known].max(), -15)), 0)
        w /= w.sum()
        mixed[t] = (w * p)[known].sum()
        step = 0.05 * w * np.where(known, p / mixed[t] - 1, 0)
        moves += [(s, int(bucket), step) for s, bucket in enumerate(experts.buckets[t])]
    return mixed


def test_weights_follow_the_gradient_of_the_log(numbers):
    p = numbers.random((500, 4)).astype(np.float32)
    p[:, 0] = 1e-6  # an expert that is always wrong
    p[numbers.random((500, 4)) < 0.3] = UNKNOWN
    p[:, 2] = 0.3
    sizes = (3, 7)
    buckets = np.stack([numbers.integers(0, size, 500) for size in sizes], 1).astype(np.uint16)
    experts = Experts(p, buckets, sizes, 2, 0)
    mixed = np.concatenate([block.mixed for block in mix(experts)])
    np.testing.assert_allclose(mixed, slow_mix(experts), rtol=1e-4)


@both_ways
def test_experts_are_those_of_a_search_through_the_text(adaptive, numbers):
    """What came when a context was met last, and whether it was met at all, in the training part's end and the text."""
    training, text = some_text(numbers, 200), some_text(numbers, 60)
    experts = counting_experts(training, text, LETTERS, adaptive)
    assert experts.warm_up == 199
    places = [(training.tolist(), t, t) for t in range(1, 200)]
    both = [*training.tolist(), -1, *text.tolist()]
    places += [(both, 201 + t, 201 + t if adaptive else 200) for t in range(1, 60)]
    for column, k in ((1, 2), (3, 3), (5, 5), (7, 8), (9, 16), (11, 32)):
        for found, (read, t, known) in zip(experts.probabilities[:, column], places, strict=True):
            context = read[t - k : t] if t >= k else None
            met = [u for u in range(k, known) if read[u - k : u] == context and -1 not in read[u - k : u + 1]]
            assert found == (float(read[met[-1]] == read[t]) if met else UNKNOWN)


def test_the_words_of_a_text(numbers):
    """Where it is surely known how a word goes on, though no 5 symbols ever came together before."""
    vocabulary = Vocabulary.of_characters("abcdefgh ,.;:-!?")
    training = vocabulary.encode("hgfedcba,abcdefgh;")
    text = vocabulary.encode("- !?abcdefgh")
    experts = counting_experts(training, text, vocabulary, False)
    word, latest = experts.probabilities[experts.warm_up :, 12], experts.probabilities[experts.warm_up :, 13]
    assert latest[4:].tolist() == [1.0] * 7 and word[4:].min() > 0.4
    assert latest[:2].tolist() == [UNKNOWN] * 2


def test_the_mixture_is_near_the_better_and_better_where_each_knows_something(numbers):
    """A source with symbols at even places that the network knows, and at odd ones that counts do."""
    M = 6000
    text = np.zeros(M, np.uint8)
    text[::2], text[1::2] = numbers.integers(0, 4, M // 2), 0
    text[1::2] = text[::2]  # a copy of what stands before it
    distributions = np.full((M - 1, 4), 0.25)
    even = np.arange(1, M) % 2 == 0
    distributions[even] = 0.01
    distributions[np.flatnonzero(even), text[1:][even]] = 0.97
    network = network_of(distributions, text)
    counts = nats_of(text[:0], text, network_of(np.full((M - 1, 4), 0.25), text), True)
    mixed = nats_of(text[:0], text, network, True)
    assert network.nats.mean() > 0.6 and counts[-2000:].mean() > 0.6
    assert mixed[-2000:].mean() < 0.1


@both_ways
@pytest.mark.parametrize("training", [0, 1, 2, 50])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_shortest_texts_and_training_parts(adaptive, training, length):
    vocabulary, ids = Vocabulary.of_characters("ab"), np.zeros(length, np.uint8)
    network = Predictions(np.full(length - 1, 0.7, np.float32), np.full(length - 1, 0.69, np.float32))
    score = mixture(network, np.ones(training, np.uint8), ids, vocabulary, adaptive)
    assert score.characters == score.utf8_bytes == length - 1 and math.isfinite(score.nats)


@pytest.mark.parametrize(
    "vocabulary",
    [
        Vocabulary.of_bytes(),
        Vocabulary.of_bytes().with_boundary("\n\n"),
        Vocabulary.of_characters("ab").with_boundary(""),
        Vocabulary("".join(map(chr, range(0x100, 0x100 + 70_000)))),
        Vocabulary("a"),
    ],
    ids=["bytes", "bytes with a boundary", "boundary", "many", "one"],
)
def test_every_vocabulary_is_mixed(vocabulary, numbers):
    ids = numbers.integers(0, len(vocabulary), 900).astype(vocabulary.id_type)
    sure = Predictions(np.full(399, math.log(len(vocabulary)), np.float32), np.full(399, 3, np.float32))
    score = mixture(sure, ids[:500], ids[500:], vocabulary, True)
    assert score.characters == 399
    assert score.utf8_bytes == vocabulary.byte_lengths[ids[501:]].sum()
    assert score.loss == pytest.approx(math.log(len(vocabulary)), rel=0.15, abs=1e-3)


def test_of_a_long_training_part_the_end_is_read_and_of_a_long_text_the_beginning(numbers, monkeypatch):
    training, text = some_text(numbers, 500), some_text(numbers, 200)
    network = network_of(numbers.dirichlet(np.ones(4), 199), text)
    part = Predictions(network.nats[:100], network.entropies[:100])
    expected = mixture(part, training[-300:], text[:101], LETTERS, True)
    monkeypatch.setattr(baseline, "MAX_TRAINING", 300)
    monkeypatch.setattr(baseline, "MAX_SCORED", 100)
    score = mixture(network, training, text, LETTERS, True)
    assert score.nats == expected.nats and score.characters == expected.characters == 100


def test_a_network_that_is_never_right_and_sure_of_it_costs_little(numbers):
    """And one that turns out to know everything is soon believed."""
    text = some_text(numbers, 3000)
    for nats, worst in ((80.0, 1.0), (1e-6, 0.02)):
        network = Predictions(np.full(2999, nats, np.float32), np.zeros(2999, np.float32))
        assert nats_of(text[:0], text, network, True)[1500:].mean() < worst
