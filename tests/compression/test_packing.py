"""Compression: every byte comes back, the size is the score, and what is not sound is refused."""

import dataclasses
import math
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from charlstm.compression import packing
from charlstm.compression.container import Container
from charlstm.config import ModelConfig
from charlstm.errors import CharLSTMError, ConfigError, CorpusError, RunError
from charlstm.evaluation.static import score_text
from charlstm.language_model import LanguageModel
from charlstm.model.parameters import initial_parameters
from charlstm.runs.weights import load_weights
from charlstm.text.vocabulary import Vocabulary

pytestmark = pytest.mark.optimized

VOCABULARIES = {  # of few sizes, each of which takes its time to be compiled
    "characters": Vocabulary.of_characters("\n abcföж"),
    "lines": Vocabulary.of_characters("\n abcde").with_boundary("\n"),
    "files": Vocabulary.of_characters("abcdefg").with_boundary(""),
    "bytes": Vocabulary.of_bytes(),
    "separated bytes": Vocabulary.of_bytes().with_boundary("ab"),
    "rare": dataclasses.replace(Vocabulary.of_characters("abcdefgh"), rare=3),
    "a single one": Vocabulary.of_characters("a"),
}
FILES = (
    st.text("ab\n\r cж\ufeff\udc80漢").map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.binary(max_size=60)
    | st.text("ab\n").map(str.encode)
)
USES_MODEL = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def models(weights_of) -> dict[str, LanguageModel]:
    """A small model of each vocabulary; nothing was learned."""
    found = {}
    for name, vocabulary in VOCABULARIES.items():
        shape = ModelConfig(
            vocabulary_size=len(vocabulary), layers=1, hidden_size=4, embedding_size=4, dropout=0.0,
            rare=vocabulary.rare,
        )  # fmt: skip
        found[name] = LanguageModel(weights_of(shape, vocabulary, initial_parameters(shape, 0)))
    return found


@pytest.fixture(scope="module")
def model(trained_run) -> LanguageModel:
    return LanguageModel(load_weights(trained_run.path))


@pytest.fixture(scope="module")
def text(corpus) -> bytes:
    return corpus.vocabulary.decode(np.asarray(corpus.ids)).encode()


@pytest.mark.parametrize("name", VOCABULARIES)
@given(data=FILES)
@example(b"")
@example(b"a")
@example(b"\xef\xbb\xbfab\r\nab")
@example(b"\n\n\n")
@example("漢".encode())
@USES_MODEL
def test_every_file_comes_back(models, name, data):
    assert models[name].decompress(models[name].compress(data)) == data


@pytest.mark.parametrize("encoding", ["iso8859-1", "utf-16", "utf-7", "shift_jis"])
@given(data=FILES)
@USES_MODEL
def test_so_it_does_in_the_encoding_of_the_text(models, encoding, data):
    weights = models["characters"].weights
    corpus = dataclasses.replace(weights.config.corpus, encoding=encoding)
    model = LanguageModel(dataclasses.replace(weights, config=dataclasses.replace(weights.config, corpus=corpus)))
    for each in (data, "abж".encode(encoding, "ignore"), "abж".encode(encoding, "ignore")[:-1]):
        assert model.decompress(model.compress(each)) == each
    known = "abcab ".encode(encoding)
    assert not Container.from_bytes(model.compress(known), "known").aside, "it is read in its encoding"


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("streams", [1, 4])
def test_a_text_comes_back_whatever_the_number_of_streams(model, text, monkeypatch, streams, dynamic):
    monkeypatch.setattr(packing, "streams_for", lambda count, is_dynamic: streams)
    for size in (1, 2, 3, 81, 83, len(text)):
        packed = model.compress(text[:size], dynamic=dynamic)
        assert Container.from_bytes(packed, "text").streams == streams
        assert model.decompress(packed) == text[:size]


def test_the_code_is_as_long_as_the_score_says(model, text):
    ids = model.vocabulary.encode(text.decode())
    bits = score_text(model.weights, ids, streams=1).nats / math.log(2)
    first = -math.log2(dict(model.next_characters("", top=100))[text[:1].decode()])
    found = Container.from_bytes(model.compress(text), "text")
    # Whole words of 32 bits, one of them to end with; probabilities are rounded to 24 bits.
    assert bits + first < 8 * len(found.code) <= 1.0005 * (bits + first) + 64
    assert len(model.compress(text)) - len(found.code) < 90 and not found.aside


def test_weights_that_learn_make_a_strange_text_smaller(model, text):
    strange = text.decode().translate(str.maketrans("aeos", "soea")).encode() * 3
    static, learned = (len(model.compress(strange, dynamic=dynamic)) for dynamic in (False, True))
    assert learned < 0.8 * static


def test_weights_that_predict_nothing_code_all_the_same(models):
    weights = models["characters"].weights
    params = initial_parameters(weights.model, 0)
    params["head_bias"][...] = params["head_bias"][...].at[0].set(np.nan)
    model = LanguageModel(dataclasses.replace(weights, params=params))
    assert model.decompress(model.compress(b"abc abc")) == b"abc abc"


def test_whatever_is_damaged_is_refused(models):
    model = models["characters"]
    packed = model.compress("abж漢cde\n".encode())
    for place in range(len(packed)):
        for bit in range(8):
            wrong = bytearray(packed)
            wrong[place] ^= 1 << bit
            with pytest.raises(CorpusError, match=r"x is (damaged|not a file)"):
                model.decompress(bytes(wrong), "x")
    for size in range(len(packed)):
        with pytest.raises(CorpusError, match=r"x is (damaged|not a file|empty)"):
            model.decompress(packed[:size], "x")
    with pytest.raises(CorpusError, match="damaged"):
        model.decompress(packed + b"x")


FIELDS = {
    "size": 7, "size large": 2**40, "count": 3, "count none": 0, "streams": 4, "streams none": 0,
    "digest": bytes(8), "aside": b"", "aside nonsense": b"nonsense", "code": b"",
    "code longer": bytes(64), "code torn": b"abc",
}  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_what_was_never_compressed_is_refused_even_if_its_checksum_is_right(models, field):
    model = models["characters"]
    found = Container.from_bytes(model.compress("abж漢cde\n漢".encode() * 9), "x")
    wrong = dataclasses.replace(found, **{field.split()[0]: FIELDS[field]})
    with pytest.raises(CharLSTMError):
        model.decompress(wrong.to_bytes())


@given(st.binary(max_size=80))
@USES_MODEL
def test_nothing_else_is_a_compressed_file(models, data):
    with pytest.raises(CorpusError):
        models["bytes"].decompress(data)


def test_another_model_or_vocabulary_is_refused(models):
    packed = models["characters"].compress(b"abc")
    weights = models["characters"].weights
    same_numbers = dataclasses.replace(weights, vocabulary=Vocabulary.of_characters("\n abcdef"))
    for other in (models["bytes"], LanguageModel(same_numbers)):
        with pytest.raises(RunError, match="x was compressed with another model"):
            other.decompress(packed, "x")


def test_where_probabilities_are_others_it_is_said_where_they_were_made(models, monkeypatch):
    model = models["characters"]
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(packing, "_maker", lambda: "jax 9.9 on an abacus")
        packed = model.compress(b"abc" * 40)
    assert model.decompress(packed) == b"abc" * 40, "another version may well agree"
    decode = packing.decode
    monkeypatch.setattr(packing, "decode", lambda *rest: decode(*rest)[::-1])
    with pytest.raises(RunError, match=r"compressed by jax 9\.9 on an abacus, this is jax "):
        model.decompress(packed)


def test_without_constriction_it_is_said_how_to_have_it(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(ConfigError) as refused:
        models["characters"].compress(b"abc")
    assert "pip install 'charlstm[compress]'" in refused.value.hint


def test_only_bytes_are_compressed(models):
    for wrong in ("text", bytearray(b"text"), None):
        with pytest.raises(ConfigError, match="must be bytes, not"):
            models["characters"].compress(wrong)


def test_its_progress_can_be_followed(models):
    seen = []
    packed = models["characters"].compress(b"abc", on_progress=lambda *facts: seen.append(facts))
    models["characters"].decompress(packed, on_progress=lambda *facts: seen.append(facts))
    assert ("compressing", 3, 3) in seen and ("decompressing", 3, 3) in seen
