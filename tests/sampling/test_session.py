"""Sessions: turns are samples, the context is carried, and what is expected is what completion finds."""

import jax
import numpy as np
import pytest
from flax import nnx

from charlstm import LanguageModel
from charlstm.config import ModelConfig
from charlstm.errors import ConfigError, RunError, VocabularyError
from charlstm.model.network import CharRNN
from charlstm.text.vocabulary import Vocabulary

pytestmark = pytest.mark.optimized

CHARACTERS = Vocabulary.of_characters("\n abcd")


@pytest.fixture(scope="module")
def make(weights_of):
    """A function that makes a model with random weights."""

    def make(vocabulary: Vocabulary = CHARACTERS, seed: int = 0) -> LanguageModel:
        size = len(vocabulary)
        shape = ModelConfig(vocabulary_size=size, layers=2, hidden_size=8, embedding_size=4, dropout=0.0)
        network = CharRNN(shape, nnx.Rngs(seed))
        network.head_kernel[...] = 2 * jax.random.normal(jax.random.key(seed), network.head_kernel.shape)
        return LanguageModel(weights_of(shape, vocabulary, nnx.state(network, nnx.Param)))

    return make


@pytest.fixture(scope="module")
def model(make) -> LanguageModel:
    return make()


def written(session, typed: str) -> str:
    return "".join(session.turn(typed))


def test_a_turn_is_a_sample_of_all_that_was_typed_and_written_before(model):
    session = model.session(seed=5, length=150)
    text = ""
    for number, typed in enumerate(["ab", "", "cd\n"]):
        expected = model.sample(text + typed, seed=5 + number, length=150)
        assert written(session, typed) == expected
        text += typed + expected
        assert session.text == text


def test_what_is_taken_of_a_turn_is_the_context_of_the_next(model):
    session = model.session(seed=5, length=1000)
    turn = session.turn("ab")
    taken = next(turn) + next(turn)
    turn.close()
    assert session.text == "ab" + taken and len(taken) == 256
    assert next(session.turn("c")) == model.sample(f"ab{taken}c", seed=6, length=128)


def test_a_turn_ends_with_an_empty_line_unless_it_is_said_where(model):
    session = model.session(seed=1)
    turn = written(session, "a")
    assert turn == model.sample("a", seed=1, until="\n\n") and turn.endswith("\n\n")
    session.change(lines=3, seed=1)
    session.reset()
    assert written(session, "a").count("\n") == 3


def test_a_document_is_a_turn(make):
    model = make(Vocabulary.of_characters("abcd").with_boundary("\n"))
    session = model.session(seed=1)
    for seed, typed in ((1, "ab"), (2, "c")):
        context = session.text
        assert written(session, typed) == model.sample(context + typed, seed=seed, documents=1)
    session.change(documents=3)
    assert written(session, "").count("\n") == 3


def test_turns_can_be_taken_back_and_all_can_be_forgotten(model):
    session = model.session(seed=5, length=20)
    first = written(session, "ab")
    expected = session.predict("")
    second = written(session, "")
    assert session.predict("") != expected
    assert session.undo() == "" and session.text == "ab" + first and session.predict("") == expected
    again = written(session, "")
    assert again != second and session.options.seed == 8
    session.change(seed=6)
    session.undo()
    assert written(session, "") == second
    session.reset()
    assert session.text == ""
    session.change(seed=5)
    assert written(session, "ab") == first
    session.undo()
    with pytest.raises(ConfigError, match="no turn"):
        session.undo()


EDITS = ["a", "ab", "ab ", "ab", "", "b", "ba", "bca", "b" * 30, "b" * 29, "a\n", "a\n\n", "a\n\nb"]


@pytest.mark.parametrize("separator", [None, "\n\n"])
def test_what_is_expected_is_what_completion_finds_however_it_was_typed(make, separator):
    vocabulary = CHARACTERS if separator is None else CHARACTERS.with_boundary(separator)
    model = make(vocabulary)
    session = model.session(length=30, seed=0)  # whose turns do not end in the middle of a separator
    for _ in range(2):
        for typed in EDITS:
            found = session.predict(typed)
            expected = model.complete(session.text + typed, top=5)
            assert found[0].probability == pytest.approx(expected[0].probability, rel=1e-3), typed
            assert [each.text for each in found][:1] == [each.text for each in expected][:1], typed
        written(session, "ab")


def test_a_long_paste_is_read_at_once_and_a_key_behind_it_costs_one_step(make, monkeypatch):
    class Ids(np.ndarray):
        copied = 0

        def tobytes(self, *_):  # type: ignore[override]
            Ids.copied += self.nbytes
            return super().tobytes()

    model = make()
    session, paste = model.session(length=30, seed=0), "abcd" * 500
    encode = Vocabulary.encode
    monkeypatch.setattr(Vocabulary, "encode", lambda self, text: encode(self, text).view(Ids))
    for typed in (paste, paste + "a"):
        session.predict(typed)
    assert Ids.copied < 10 * 4 * len(paste)


def test_predictions_change_no_turn(model):
    session, other = model.session(seed=5, length=100), model.session(seed=5, length=100)
    for typed in ("a", "ab"):
        session.predict(typed)
    assert written(session, "ab") == written(other, "ab")


def test_bytes_of_a_character_that_is_cut_are_kept(make):
    model = make(Vocabulary.of_bytes())
    session = model.session(seed=5, length=50)
    turn = written(session, "é")
    assert turn == model.sample("é", seed=5, length=50), "text, and not bytes"
    assert session.text.encode("utf-8", "surrogateescape") == ("é" + turn).encode("utf-8", "surrogateescape")


def test_what_cannot_be_changes_nothing(make, model):
    session = model.session(seed=5, length=20)
    first = written(session, "ab")
    with pytest.raises(VocabularyError, match="U\\+0436"):
        session.turn("ж")
    with pytest.raises(VocabularyError, match="U\\+0436"):
        session.predict("ж")
    for options in ({"top_p": 2.0}, {"only": "digits"}, {"until": "x"}, {"documents": 1}):
        with pytest.raises(ConfigError):
            session.change(**options)
    assert session.text == "ab" + first and session.options.seed == 6
    session.change(unknown="skip")
    assert written(session, "жc") == model.sample(f"ab{first}c", seed=6, length=20)
    with pytest.raises(RunError, match="another model"):
        make(seed=3).session(state=model.read("ab"))
    with pytest.raises(ConfigError, match="in turns"):
        model.session(novel=True, documents=1)


def test_a_session_begins_where_a_prompt_or_a_state_ends(model):
    expected = model.sample("abcd", seed=5, length=50)
    assert written(model.session("ab", seed=5, length=50), "cd") == expected
    assert written(model.session(state=model.read("ab"), seed=5, length=50), "cd") == expected


def test_without_a_seed_one_is_drawn(model):
    assert len({model.session().options.seed for _ in range(3)}) == 3  # the same twice once in a billion times
