"""The Python API: what a program gets, and what it is spared."""

import math
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import charlstm
from charlstm import events

VERSE = "The salt road runs from hill to sea,\nand who goes out comes home to tea.\n" * 12
SMALL = {"hidden_size": 16, "batch_size": 4, "sequence_length": 16, "steps": 6, "precision": "float32"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text in it."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "verse.txt").write_bytes(VERSE.encode())
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> charlstm.LanguageModel:
    return charlstm.train(folder / "verse.txt", run=folder / "run", **SMALL)


def test_a_loaded_model_is_the_one_that_training_returned(model, folder):
    text = model.sample("The ", length=50, seed=3)
    assert charlstm.load(folder / "run").sample("The ", length=50, seed=3) == text
    model.save(folder / "alone.safetensors")
    assert charlstm.load(str(folder / "alone.safetensors")).sample("The ", length=50, seed=3) == text
    assert len(text) == 50 and set(text) <= set(VERSE)


def test_a_stream_is_the_sample_in_pieces(model):
    pieces = list(model.stream("The ", length=300, seed=1))
    assert len(pieces) > 1 and "".join(pieces) == model.sample("The ", length=300, seed=1)


def test_without_a_seed_every_sample_is_another(model):
    assert model.sample(length=100) != model.sample(length=100)


def test_the_next_characters_are_a_distribution(model):
    found = model.next_characters("The ti", top=1000)
    assert math.isclose(sum(probability for _, probability in found), 1, rel_tol=1e-5)
    assert len(found) == len(model.vocabulary) and found == sorted(found, key=lambda each: -each[1])
    assert model.next_characters("The ti", top=3) == found[:3]
    assert model.sample("The ti", length=1, temperature=0) == found[0][0]


def test_an_evaluation_has_its_figures_and_those_beside_it(model, folder):
    (folder / "other.txt").write_text("The жsea and the tea.", "utf-8")
    score = model.evaluate(folder / "other.txt", unknown="skip", baseline=True)
    assert score.skipped == 1 and score.characters == 19
    assert math.isclose(score.perplexity, math.exp(score.loss))
    assert score.bits_per_byte == pytest.approx(score.bits_per_character)
    assert {"uniform", "xz"} <= set(score.beside)
    assert model.evaluate().characters == len(VERSE) - int(0.9 * len(VERSE)) - 1


def test_every_event_is_seen_and_samples_stay_what_they_are(folder):
    seen = []
    charlstm.train([folder / "verse.txt"], run=folder / "seen", sample_every=1, on_event=seen.append, **SMALL)
    kinds = [type(event) for event in seen]
    assert kinds.index(events.Preparing) < kinds.index(events.Started) < kinds.index(events.Compiling)
    assert kinds[-1] is events.Finished and seen[-1].reason == "done"
    first, *_, last = [event.weights.params for event in seen if isinstance(event, events.SampleDue)]
    one, other = (np.asarray(params["head_kernel"]) for params in (first, last))
    assert np.isfinite(one).all() and (one != other).any()


def test_a_run_that_was_stopped_is_resumed(folder):
    calls = iter(range(10**6))
    options = SMALL | {"steps": 60, "dropout": 0.0}  # as many epochs would have some
    charlstm.train(folder / "verse.txt", run=folder / "stopped", should_stop=lambda: next(calls) > 2, **options)
    seen = []
    charlstm.train(run=folder / "stopped", resume=True, on_event=seen.append)
    assert isinstance(seen[-1], events.Finished) and seen[-1].step == 60


def test_trainings_run_in_a_thread_and_one_after_the_other(folder):
    found = []

    def work() -> None:
        for seed in (0, 1):
            found.append(charlstm.train(folder / "verse.txt", run=folder / f"thread-{seed}", seed=seed, **SMALL))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len({model.sample(length=80, temperature=0.9, seed=0, network_alone=True) for model in found}) == 2


def test_bytes_are_text_where_they_are_and_come_back_where_they_are_not(folder):
    (folder / "mixed.bin").write_bytes("é♥".encode() * 100 + b"\xff\xfe" * 100)
    options = SMALL | {"steps": 3}
    model = charlstm.train(folder / "mixed.bin", unit="byte", run=folder / "bytes", **options)
    text = model.sample("é", length=100, seed=1, temperature=3)
    assert len(text.encode("utf-8", "surrogateescape")) == 100


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda folder, model: charlstm.train(folder / "verse.txt", layers=0), charlstm.ConfigError, "layers is 0"),
        (lambda folder, model: charlstm.train(folder / "none.txt"), charlstm.CorpusError, "none.txt"),
        (lambda folder, model: charlstm.train(resume=True, layers=3), charlstm.ConfigError, "layers cannot be given"),
        (lambda folder, model: charlstm.train(resume=True, seed=3), charlstm.ConfigError, "seed cannot be given"),
        (lambda folder, model: charlstm.load(folder / "nothing"), charlstm.RunError, "nothing"),
        (lambda folder, model: model.sample("ж"), charlstm.VocabularyError, "U\\+0436"),
        (lambda folder, model: charlstm.train("x", unit="bytes"), charlstm.ConfigError, "'character' or 'byte'"),
        (
            lambda folder, model: charlstm.train("x", steps="9"),
            charlstm.ConfigError,
            "steps is '9', but must",
        ),
        (lambda folder, model: charlstm.train("x", resume=1), charlstm.ConfigError, "resume is 1, but must be True or"),
        (lambda folder, model: charlstm.train([]), charlstm.ConfigError, "no text is named"),
        (lambda folder, model: model.sample(top_p=0), charlstm.ConfigError, "top_p is 0"),
        (lambda folder, model: model.evaluate(encoding="latin-1"), charlstm.ConfigError, "encoding=.latin-1."),
    ],
)
def test_errors_are_of_one_family_and_speak_of_arguments(folder, model, call, kind, words):
    with pytest.raises(kind, match=words) as caught:
        call(folder, model)
    assert isinstance(caught.value, charlstm.CharLSTMError)
    assert "--" not in caught.value.message + caught.value.hint


def test_an_unknown_argument_is_refused_by_python_itself(folder):
    with pytest.raises(TypeError, match="colour"):
        charlstm.train(folder / "verse.txt", colour="red")


def in_new_process(program: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_it_loads_no_jax_and_no_numpy(folder):
    in_new_process("import sys, charlstm; assert not {'jax', 'flax', 'numpy', 'typer'} & set(sys.modules)", folder)


def test_a_jax_that_is_in_use_is_left_as_it_is(folder):
    program = (
        "import jax; jax.numpy.ones(1)\n"
        "before = jax.local_device_count(), jax.config.jax_compilation_cache_dir\n"
        "import charlstm\n"
        f"model = charlstm.train('verse.txt', run='in-use', **{SMALL!r})\n"
        "assert (jax.local_device_count(), jax.config.jax_compilation_cache_dir) == before\n"
        "print(model.sample(length=20, seed=1))"
    )
    assert len(in_new_process(program, folder)) == 21


def test_signals_stay_the_callers_own(folder):
    program = (
        "import signal, charlstm\n"
        "def handlers(): return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)\n"
        "seen = {handlers()}\n"
        f"charlstm.train('verse.txt', run='signals', on_event=lambda _: seen.add(handlers()), **{SMALL!r})\n"
        "assert seen == {handlers()}"
    )
    in_new_process(program, folder)


def test_many_samples_are_those_of_each_prompt_and_seed_alone(model):
    found = model.samples(prompts=["The ", "and "], count=3, length=150, seed=4)
    assert [(each.prompt, each.seed) for each in found] == [
        *(("The ", 4), ("The ", 5), ("The ", 6), ("and ", 7), ("and ", 8), ("and ", 9)),
    ]
    for each in found:
        assert each.ended == "length" and each.text == model.sample(each.prompt, length=150, seed=each.seed)
    assert model.samples("The ", length=150, seed=2**32 - 1, count=2)[1].seed == 0


def test_groups_of_samples_are_one_set_of_samples(model, monkeypatch):
    whole = model.samples("The ", prompts=["The ", "and "], count=3, length=50, seed=4)
    monkeypatch.setattr("charlstm.sampling.samples.MAX_STREAMS", 4)
    grouped = model.samples("The ", prompts=["The ", "and "], count=3, length=50, seed=4)
    assert [(each.prompt, each.seed, each.text) for each in grouped] == [
        (each.prompt, each.seed, each.text) for each in whole
    ]


def test_log_probabilities_are_those_of_the_model_before_any_filter(model):
    (sample,) = model.samples("The ", length=6, seed=1, temperature=0.5, top_k=2, ban="letters")
    text = "The "
    for character, found in zip(sample.text, sample.log_probabilities, strict=True):
        odds = dict(model.next_characters(text, top=1000))
        assert found == pytest.approx(math.log(odds[character]), abs=1e-4)
        text += character
    assert not any(map(str.isalpha, sample.text))


def test_texts_end_where_they_are_told_to(model):
    whole = model.sample("The ", length=400, seed=3)
    letter = next(each for each in whole if each.isalpha())
    assert model.sample("The ", length=0, seed=3, until=letter) == whole[: whole.index(letter) + 1]
    assert model.sample("The ", length=0, seed=3, lines=2, temperature=5).count("\n") == 2
    pair = whole[127:129]  # one of them ends a chunk, the other one begins the next
    assert model.sample("The ", length=0, seed=3, until=[pair, "~"][:1]) == whole[: whole.index(pair) + 2]
    ended = {each.ended for each in model.samples("The ", count=8, seed=1, length=40, until=letter)}
    assert ended <= {"until", "length"} and "until" in ended


def test_an_endless_stream_begins_like_any_other(model):
    import itertools

    pieces = model.stream("The ", length=0, seed=3)
    assert "".join(itertools.islice(pieces, 3))[:300] == model.sample("The ", length=300, seed=3)


def test_a_prompt_is_read_once_and_sampled_often(model, folder):
    state = model.read("The salt ")
    state.save(folder / "state")
    for found in (state, model.load_state(folder / "state")):
        assert model.sample("road ", state=found, length=80, seed=1) == model.sample(
            "The salt road ", length=80, seed=1
        )
        assert model.sample(state=found, length=80, seed=1) == model.sample("The salt ", length=80, seed=1)
    looping = {"length": 200, "temperature": 0, "repetition": 1.0}  # what was read counts as written
    assert model.sample(state=model.read(VERSE[:100]), **looping) == model.sample(VERSE[:100], **looping)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model: model.sample(length=0), "length=0` is endless"),
        (lambda model: model.samples(prompts="ab"), "prompts is 'ab'"),
        (lambda model: model.samples(prompts=["ab", 3]), "a prompt is 3, but must be a string"),
        (lambda model: model.sample(3), "prompt is 3, but must be a string"),
        (lambda model: model.complete(None), "prompt is None, but must be a string"),
        (lambda model: model.samples(length=0), "length=0` is endless"),
        (lambda model: model.samples(length=0, count=2), "length=0` is endless"),
        (lambda model: model.sample(until=""), "until is empty"),
        (lambda model: model.sample(until=["a", 3]), "until is .* a list of strings"),
        (lambda model: model.sample(until="ж"), "until='ж'` never comes"),
        (lambda model: model.sample(only="ж"), "only='ж'` leaves none"),
        (lambda model: model.sample(ban="ascii"), "ban='ascii'` leaves no character"),
        (lambda model: model.sample(typical=0), "typical is 0"),
        (lambda model: model.sample(min_p=1.1), "min_p is 1.1"),
    ],
)
def test_what_cannot_be_sampled_is_refused(model, call, words):
    with pytest.raises(charlstm.ConfigError, match=words):
        call(model)


def test_the_state_of_another_model_is_refused(model, folder):
    other = charlstm.train(folder / "verse.txt", run=folder / "other", seed=9, **SMALL)
    with pytest.raises(charlstm.RunError, match="another model"):
        model.sample(state=other.read("The "))
