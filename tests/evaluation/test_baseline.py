"""What a text costs without a network: against dictionaries, known sources and what must be so."""

import math
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.evaluation import baseline
from charlstm.evaluation.baseline import baselines, kneser_ney
from charlstm.score import Score
from charlstm.text.vocabulary import Vocabulary

NAMES = {"uniform", "unigram", "7-gram", "adaptive 7-gram", "xz"}
both_ways = pytest.mark.parametrize("adaptive", [False, True], ids=["static", "adaptive"])


class Dictionaries:
    """Interpolated Kneser-Ney, one character at a time: what followed each context, and after which symbols."""

    def __init__(self, V: int, order: int, discount: float) -> None:
        self.V, self.order, self.discount = V, order, discount
        self.occurrences = defaultdict(Counter)  # [context][symbol], of the longest n-grams
        self.lefts = defaultdict(lambda: defaultdict(set))  # [context][symbol] -> symbols before them, of shorter ones

    def learn(self, part: str, text: list[int], place: int) -> None:
        """Count the n-grams that end at `place` of the text of that name."""
        for k in range(1, min(self.order, place + 1) + 1):
            context, symbol = tuple(text[place - k + 1 : place]), text[place]
            if k == self.order:
                self.occurrences[context][symbol] += 1
            else:
                left = text[place - k] if place >= k else f"beginning of {part}"
                self.lefts[context][symbol].add(left)

    def probability(self, context: tuple[int, ...], symbol: int) -> float:
        """Of `symbol` after `context`, the latter of at most `order - 1` symbols."""
        shorter = self.probability(context[1:], symbol) if context else 1 / self.V
        if len(context) == self.order - 1:
            counts = self.occurrences.get(context, {})
        else:
            counts = {w: len(lefts) for w, lefts in self.lefts.get(context, {}).items()}
        if not counts:
            return shorter
        kept = max(counts.get(symbol, 0) - self.discount, 0)
        return (kept + self.discount * len(counts) * shorter) / sum(counts.values())

    def nats(self, training: list[int], text: list[int], adaptive: bool) -> list[float]:
        """What each character of `text` but the first costs."""
        for place in range(len(training)):
            self.learn("training", training, place)
        nats = []
        for place in range(1, len(text)):
            if adaptive:
                self.learn("text", text, place - 1)
            context = tuple(text[max(0, place - self.order + 1) : place])
            nats.append(-math.log(self.probability(context, text[place])))
        return nats


@st.composite
def texts(draw: st.DrawFn) -> tuple[int, np.ndarray, np.ndarray]:
    """The size of a vocabulary, a training part that may be empty, and a text of two characters or more."""
    V = draw(st.sampled_from([1, 2, 3, 254, 255, 256, 65_534, 65_535, 65_536, 100_000]))
    vocabulary = Vocabulary("".join(map(chr, range(V))))
    few = draw(st.lists(st.integers(0, V - 1), min_size=1, max_size=4, unique=True))  # so that n-grams come again
    symbol = draw(st.sampled_from([st.sampled_from(few), st.integers(0, V - 1)]))
    training, text = draw(st.lists(symbol, max_size=40)), draw(st.lists(symbol, min_size=2, max_size=40))
    return V, np.array(training, vocabulary.id_type), np.array(text, vocabulary.id_type)


@both_ways
@settings(max_examples=150)
@given(texts=texts(), order=st.integers(1, 8), discount=st.floats(0.05, 1.0))
def test_counting_by_sorting_equals_counting_in_dictionaries(adaptive, texts, order, discount):
    V, training, text = texts
    expected = Dictionaries(V, order, discount).nats(training.tolist(), text.tolist(), adaptive)
    np.testing.assert_allclose(kneser_ney(training, text, V, order, discount, adaptive), expected, rtol=1e-10)


@both_ways
def test_a_longer_text_costs_what_dictionaries_say(adaptive, numbers):
    training, text = (numbers.geometric(0.4, size).clip(max=9).astype(np.uint8) for size in (4000, 1500))
    expected = Dictionaries(10, 5, 0.8).nats(training.tolist(), text.tolist(), adaptive)
    np.testing.assert_allclose(kneser_ney(training, text, 10, 5, 0.8, adaptive), expected, rtol=1e-10)


@both_ways
@settings(max_examples=30)
@given(data=st.data(), V=st.integers(1, 6))
def test_probabilities_sum_to_one_over_the_vocabulary(adaptive, data, V):
    """Seen contexts and unseen ones: the text ends with each symbol in turn."""
    ids = st.lists(st.integers(0, V - 1), min_size=1, max_size=30)
    training, text = np.array(data.draw(ids), np.uint8), data.draw(ids)
    endings = (np.array([*text, w], np.uint8) for w in range(V))
    probabilities = [math.exp(-kneser_ney(training, ids, V, adaptive=adaptive)[-1]) for ids in endings]
    assert math.isclose(sum(probabilities), 1, rel_tol=1e-12)


@both_ways
def test_a_character_costs_the_same_whatever_follows_it(adaptive, numbers):
    training, text = numbers.integers(0, 4, 300, np.uint8), numbers.integers(0, 4, 200, np.uint8)
    whole = kneser_ney(training, text, 4, adaptive=adaptive)
    for length in (2, 3, 50, 199):
        part = kneser_ney(training, text[:length], 4, adaptive=adaptive)
        np.testing.assert_allclose(part, whole[: length - 1], rtol=1e-12)


def test_without_a_training_part_only_the_adaptive_reader_learns():
    text = np.tile(np.arange(8, dtype=np.uint8), 50)
    nothing = np.empty(0, np.uint8)
    np.testing.assert_allclose(kneser_ney(nothing, text, 8), math.log(8), rtol=1e-12)
    learned = kneser_ney(nothing, text, 8, adaptive=True)
    assert learned[:7].min() >= math.log(8)  # no symbol was ever seen before
    assert learned[-8:].max() < 0.1


def test_a_markov_source_is_scored_near_its_entropy_rate(numbers):
    """The source's own probabilities are the best there are: what counting cannot know of them costs little.

    48 free parameters known from 120,000 characters cost 48 / 240,000 = 0.0002 nats, and on 20,000 characters the
    difference of the two losses has a standard deviation of about 0.0002, too: the bounds are five of them away.
    """
    V, N, M = 4, 120_000, 20_000
    chances = numbers.dirichlet(np.full(V, 0.5), size=(V, V))
    text = [0, 0]
    for uniform in numbers.random(N + M):
        text.append(min(V - 1, int(np.searchsorted(chances[text[-2], text[-1]].cumsum(), uniform))))
    ids = np.array(text, np.uint8)
    of_source = -np.log(chances[ids[N - 1 : -2], ids[N:-1], ids[N + 1 :]])[1:].mean()

    def excess(**settings) -> float:
        return kneser_ney(ids[:N], ids[N + 1 :], V, **settings).mean() - of_source

    assert -0.001 < excess(order=3) < 0.0015
    assert -0.001 < excess(order=3, adaptive=True) < 0.0015
    assert excess(order=2) > 0.1  # one character of context is too little to know
    assert 0 < excess() < 0.03  # four more mislead, but hardly


@pytest.fixture(scope="module")
def song() -> tuple[Vocabulary, np.ndarray, np.ndarray]:
    """A vocabulary with characters of one to four bytes, a training part and a text to score."""
    verses = [f"соль и море, day {n}: 海 {n * n} 🐟\n" for n in range(60)]
    vocabulary = Vocabulary.of_characters("".join(verses))
    return vocabulary, vocabulary.encode("".join(verses[:50])), vocabulary.encode("".join(verses[50:]))


def test_every_baseline_scores_all_characters_but_the_first(song):
    vocabulary, training, text = song
    scores = baselines(training, text, vocabulary)
    assert scores.keys() == NAMES
    for score in scores.values():
        assert score.characters == len(text) - 1
        assert score.utf8_bytes == len(vocabulary.decode(text[1:]).encode())
        assert math.isfinite(score.loss)
    assert math.isnan(scores["xz"].standard_error)  # it has no cost of a single character


def test_uniform_is_ln_v_and_unigram_counts_one_more_than_there_are(song):
    vocabulary, training, text = song
    scores = baselines(training, text, vocabulary)
    V, count = len(vocabulary), Counter(training.tolist())
    nats = -sum(math.log((count[symbol] + 1) / (len(training) + V)) for symbol in text[1:].tolist())
    assert scores["uniform"].loss == pytest.approx(math.log(V), rel=1e-15)
    assert scores["unigram"].nats == pytest.approx(nats, rel=1e-12)


def test_n_grams_of_the_table_are_those_of_their_function(song):
    vocabulary, training, text = song
    scores = baselines(training, text, vocabulary)
    for name, adaptive in (("7-gram", False), ("adaptive 7-gram", True)):
        nats = kneser_ney(training, text, len(vocabulary), order=7, discount=0.91, adaptive=adaptive)
        assert scores[name].nats == pytest.approx(nats.sum(), rel=1e-12)


def test_xz_pays_for_what_is_new_alone(numbers):
    """Random bytes cost eight bits each; what the training part holds costs a match, some 5 bytes, for every 273."""
    vocabulary = Vocabulary.of_bytes()
    random, others = numbers.integers(0, 256, (2, 8192), np.uint8)  # beyond xz's smallest dictionary
    assert baselines(others, random, vocabulary)["xz"].bits_per_byte == pytest.approx(8, abs=0.05)
    assert baselines(random, random, vocabulary)["xz"].bits_per_byte < 0.25


def test_no_text_costs_less_than_nothing():
    """The file of the first text is 4 bytes longer than that of both."""
    vocabulary = Vocabulary.of_characters("ab")
    scores = baselines(vocabulary.encode("bababbbbbbaaab"), vocabulary.encode("abb"), vocabulary)
    assert min(score.nats for score in scores.values()) >= 0


def test_a_memory_map_is_scored_as_the_array_it_holds(song, tmp_path):
    vocabulary, training, text = song
    path = tmp_path / "ids"
    np.concatenate([training, text]).astype(np.uint16).tofile(path)
    mapped = np.memmap(path, np.uint16, "r")
    assert _nats(baselines(mapped[: len(training)], mapped[len(training) :], vocabulary)) == pytest.approx(
        _nats(baselines(training, text, vocabulary)), rel=1e-12
    )


def test_of_a_long_training_part_the_end_is_read_and_of_a_long_text_the_beginning(song, monkeypatch):
    vocabulary, training, text = song
    n_grams = _nats(baselines(training[-300:], text[:101], vocabulary))
    xz = _nats(baselines(training[-20:], text[:101], vocabulary))["xz"]
    for name, limit in (("MAX_TRAINING", 300), ("MAX_XZ_TRAINING", 20), ("MAX_SCORED", 100)):
        monkeypatch.setattr(baseline, name, limit)
    scores = baselines(training, text, vocabulary)
    assert _nats(scores) == n_grams | {"xz": xz}
    assert {score.characters for score in scores.values()} == {100}


@pytest.mark.parametrize("length", [1, 2])
def test_the_shortest_texts_and_no_training_part_are_scored(length):
    nothing, text = np.empty(0, np.uint8), np.zeros(length, np.uint8)
    scores = baselines(nothing, text, Vocabulary("ab"))
    assert {score.characters for score in scores.values()} == {length - 1}
    assert scores["7-gram"].nats == pytest.approx((length - 1) * math.log(2))


def test_counting_does_not_load_jax():
    program = "import sys, charlstm.evaluation.baseline; sys.exit('jax' in sys.modules)"
    package = Path(baseline.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", program], cwd=package, check=False).returncode == 0


def _nats(scores: dict[str, Score]) -> dict[str, float]:
    return {name: score.nats for name, score in scores.items()}
