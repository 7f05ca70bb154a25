"""Counts beside the network in the whole tool: one probability everywhere; runs that are stopped, killed and old."""

import itertools
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from calling import called
from safetensors.numpy import load_file

import charlstm
from charlstm import RunError, events
from charlstm.runs.tensors import load_tensors, save_tensors
from charlstm.runs.weights import load_weights

VERSE = "".join(f"The salt road runs from hill to sea,\nand {n} go out, come home to tea.\n" for n in range(12))
OTHER = "The tea and the salt road,\nfrom sea to 7 hills one run.\n" * 3
SMALL = {"hidden_size": 8, "layers": 1, "batch_size": 4, "sequence_length": 16, "steps": 12, "precision": "float32"}
KINDS = ["text", "bytes"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text to train on, and another one."""
    folder = tmp_path_factory.mktemp("counts")
    (folder / "verse.txt").write_bytes(VERSE.encode())
    (folder / "other.txt").write_bytes(OTHER.encode())
    return folder


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, charlstm.LanguageModel]:
    """A model of characters and, without a validation part, a GRU of bytes. When counting began, the first was copied
    as a kill would have left it."""

    def copy_when_counting(event: events.Event) -> None:
        if isinstance(event, events.Counting):
            shutil.copytree(folder / "text", folder / "killed")

    verse, of_bytes = folder / "verse.txt", SMALL | {"unit": "byte", "cell": "gru", "validation": 0.0}
    return {
        "text": charlstm.train(verse, run=folder / "text", on_event=copy_when_counting, **SMALL),
        "bytes": charlstm.train(verse, run=folder / "bytes", **of_bytes),
    }


@pytest.fixture(params=KINDS)
def model(request, models) -> charlstm.LanguageModel:
    return models[request.param]


@pytest.fixture(scope="module")
def alone(folder: Path, models) -> charlstm.LanguageModel:
    """The first of them again, as one that never had counts."""
    return charlstm.train(folder / "verse.txt", run=folder / "alone", network_alone=True, **SMALL)


def assert_same_tables(one: charlstm.LanguageModel, other: charlstm.LanguageModel) -> None:
    """In every bit."""
    assert one.weights.counts and other.weights.counts
    for name, table in one.weights.counts._asdict().items():
        np.testing.assert_array_equal(table, getattr(other.weights.counts, name), name)


def test_counts_are_beside_the_network_and_change_what_it_says(model, folder):
    assert model.weights.counts
    other = folder / "other.txt"
    assert model.evaluate(other).loss < model.evaluate(other, network_alone=True).loss


def test_every_way_to_score_gives_one_score(model, folder, capsys):
    other = folder / "other.txt"
    exact = model.evaluate(other, exact=True)
    nats = [each.nats for each in model.per_character(other)]
    assert math.isnan(nats[0]) and exact.nats == pytest.approx(sum(nats[1:]), rel=1e-5)
    assert exact.characters == len(nats) - 1
    assert model.evaluate(other).nats == pytest.approx(exact.nats, rel=1e-5)
    (of_file,) = model.evaluate_files(other).scores
    assert of_file.nats == pytest.approx(exact.nats, rel=1e-5)
    assert called(["evaluate", str(model.weights.run), str(other), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(exact.loss, rel=1e-5)


def test_what_was_sampled_had_the_probability_that_it_costs(model, folder):
    for sample in model.samples("The salt", length=60, seed=3, temperature=0.8, min_p=0.0, count=3):
        (folder / "sampled").write_bytes(("The salt" + sample.text).encode("utf-8", "surrogateescape"))
        nats = _costs(model, folder / "sampled")[-60:]
        np.testing.assert_allclose(sample.log_probabilities, -nats, rtol=1e-3, atol=1e-4)


def _costs(model: charlstm.LanguageModel, path: Path) -> np.ndarray:
    """Nats of each symbol of a file, by asking what comes next."""
    symbols = model.vocabulary.symbols_of(path.read_bytes().decode("utf-8", "surrogateescape"))
    from charlstm.evaluation.surprise import surprises

    points = np.array([*map(ord, symbols)], np.uint32)
    return np.concatenate([nats for _, nats in surprises(model.weights, iter([points]))])


def test_next_characters_and_completions_are_of_the_same_distribution(model):
    completions = model.complete("The sal", top=1)
    for each in completions:
        odds, before = 1.0, "The sal"
        for symbol in each.text:
            odds *= dict(model.next_characters(before, 500))[symbol]
            before += symbol
        following = dict(model.next_characters(before, 500))
        assert sum(following.values()) == pytest.approx(1, abs=1e-4)
        ends = sum(p for symbol, p in following.items() if symbol < "\x80" and not re.match(r"[\w']", symbol))
        assert each.probability == pytest.approx(odds * ends, rel=1e-3)
    assert model.sample("The sal", length=1, temperature=0) == model.next_characters("The sal", 1)[0][0]


def test_what_is_expected_while_typing_is_what_completion_finds(model):
    session = model.session()
    for typed in ("T", "Th", "The", "The s", "The sa", "The salt roa", "The", "The salt road ru"):
        found, expected = session.predict(typed, top=3), model.complete(typed, top=3)
        assert [each.text for each in found] == [each.text for each in expected]
        for one, other in zip(found, expected, strict=True):
            assert one.probability == pytest.approx(other.probability, rel=1e-3)


def test_network_alone_is_the_model_that_was_trained_so(models, alone, folder):
    model, other = models["text"], folder / "other.txt"
    assert alone.weights.counts is None
    tensors, bare = (load_file(each.weights.run / "weights.safetensors") for each in (model, alone))
    assert {name for name in tensors if name not in bare} == {f"counts.{name}" for name in model.weights.counts._fields}
    for name in bare:
        np.testing.assert_array_equal(tensors[name], bare[name], name)
    for call in (
        lambda model, **how: model.evaluate(other, **how).nats,
        lambda model, **how: model.evaluate(other, windows=20, **how).beside["windows of 20"].nats,
        lambda model, **how: [each.nats for each in model.evaluate_files(other, **how).scores],
        lambda model, **how: [each.nats for each in model.per_character(other, **how)][1:],
        lambda model, **how: [each.bits for each in model.per_line(other, **how)],
        lambda model, **how: model.next_characters("The ", 500, **how),
        lambda model, **how: list(model.complete("The ", **how)),
        lambda model, **how: model.sample("The ", length=50, seed=1, **how),
        lambda model, **how: [each.log_probabilities for each in model.samples("The ", length=50, seed=1, **how)],
        lambda model, **how: model.session(**how).predict("The se"),
    ):
        expected = call(alone)
        assert call(model, network_alone=True) == expected
        assert call(alone, network_alone=True) == expected
        assert call(model) != expected


def test_a_prompt_that_either_has_read_goes_on_with_either(models, alone, folder):
    model = models["text"]
    for reader in (model, alone):
        reader.read("The salt ").save(folder / "state")
        for writer in (model, alone):
            state = writer.load_state(folder / "state")
            whole, rest = writer.sample("The salt road", length=40, seed=2), "road"
            assert writer.sample(rest, length=40, seed=2, state=state) == whole
            assert writer.next_characters(rest, 3, state=state) == writer.next_characters("The salt road", 3)


def test_a_file_keeps_counts(model, folder):
    model.save(folder / "file")
    loaded = charlstm.load(folder / "file")
    assert_same_tables(loaded, model)
    assert loaded.evaluate(folder / "other.txt").nats == model.evaluate(folder / "other.txt").nats


def test_a_run_that_was_killed_while_it_counted_has_counts_once_it_is_resumed(models, folder):
    assert load_weights(folder / "killed").counts is None
    resumed = charlstm.train(run=folder / "killed", resume=True)
    assert_same_tables(resumed, models["text"])
    with pytest.raises(RunError, match="has finished"):
        charlstm.train(run=folder / "killed", resume=True)


def test_a_run_that_was_stopped_has_counts_and_ends_as_the_one_that_was_not(models, folder):
    asked, run, seen = itertools.count(), folder / "stopped", []
    stopped = charlstm.train(folder / "verse.txt", run=run, should_stop=lambda: next(asked) > 4, **SMALL)
    assert stopped.weights.counts
    resumed = charlstm.train(run=run, resume=True, on_event=seen.append)
    assert isinstance(seen[-1], events.Finished) and seen[-1].reason == "done"
    assert_same_tables(resumed, models["text"])
    for name in ("weights.safetensors", "checkpoints/last.safetensors"):
        one, other = load_file(run / name), load_file(folder / "text" / name)
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], f"{name}: {key}")
    whole = seen[-1]
    assert whole.best and whole.with_counts and whole.with_counts.characters == whole.best.characters
    assert whole.with_counts.loss == pytest.approx(resumed.evaluate().loss, rel=1e-5)
    assert whole.best.loss == pytest.approx(resumed.evaluate(network_alone=True).loss, rel=1e-5)


def test_a_run_goes_on_from_the_parameters_of_one_with_counts(models, folder):
    model = charlstm.train(
        folder / "verse.txt", run=folder / "from", init_from=folder / "text", batch_size=4, sequence_length=16, steps=2
    )
    assert model.weights.counts


def test_a_run_of_the_first_format_has_none(folder):
    run = Path(__file__).parents[1] / "runs" / "format-1"
    model = charlstm.load(run)
    assert model.weights.counts is None and model.config.training.network_alone
    (folder / "known").write_bytes(model.sample(length=50, seed=1).encode())
    assert model.evaluate(folder / "known").nats == model.evaluate(folder / "known", network_alone=True).nats


def _set(name: str, change: Callable[[np.ndarray], object]) -> Callable[[dict[str, np.ndarray]], object]:
    def damage(tables: dict[str, np.ndarray]) -> None:
        tables[name] = np.asarray(change(tables[name].copy()))

    return damage


def _at(place: int, value: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(table: np.ndarray) -> np.ndarray:
        table[place] = value
        return table

    return change


def _trust(value: float) -> Callable[[dict[str, np.ndarray]], object]:
    return _set("trust", lambda _: np.float32(value))


NAMES = ["keys", "buckets", "starts", "symbols", "shares", "in_word", "unigram", "trust"]
DAMAGES: dict[str, Callable[[dict[str, np.ndarray]], object]] = {
    **{f"{name} is missing": (lambda tables, name=name: tables.pop(name)) for name in NAMES if name != "in_word"},
    **{f"{name} is a number": _set(name, lambda table: table.reshape(-1)[0]) for name in NAMES[:-1]},
    **{f"{name} is of floats": _set(name, lambda table: table.astype(np.float32)) for name in NAMES[:-2]},
    **{f"{name} is wider": _set(name, lambda table: table.astype(f"{table.dtype.kind}8")) for name in NAMES},
    **{f"{name} is shorter": _set(name, lambda table: table[:-1]) for name in NAMES[:-1]},
    **{f"{name} is longer": _set(name, lambda table: np.append(table, table[-1:])) for name in NAMES[:-1]},
    **{f"{name} is empty": _set(name, lambda table: table[:0]) for name in NAMES[:-1]},
    "one is unknown": lambda tables: tables.update(more=np.zeros(3, np.float32)),
    "keys fall": _set("keys", lambda table: table[::-1]),
    "buckets fall": _set("buckets", lambda table: table[::-1]),
    "buckets fall in between": _set("buckets", _at(3, 10**6)),
    "buckets point before the first": _set("buckets", _at(0, -1)),
    "buckets point behind the last": _set("buckets", _at(-1, 10**6)),
    "starts fall": _set("starts", lambda table: table[::-1]),
    "starts point before the first": _set("starts", _at(0, -1)),
    "starts point behind the last": _set("starts", _at(-1, 10**6)),
    "a symbol is none": _set("symbols", _at(0, 40_000)),
    "shares are more than all": _set("shares", lambda table: np.full_like(table, 65_535)),
    "a chance is below zero": _set("unigram", lambda table: np.append(table[:-1], np.float32(-1))),
    "chances are more than 1": _set("unigram", lambda table: 2 * table),
    "trust is none": _trust(0.0),
    "trust is negative": _trust(-1.0),
    "trust is without limit": _trust(1000.0),
    "trust is not finite": _trust(math.nan),
}


def test_tables_of_before_words_were_counted_are_read(models, folder, tmp_path):
    tensors, header = load_tensors(folder / "text" / "weights.safetensors")
    del tensors["counts.in_word"]
    save_tensors(tmp_path / "file", tensors, header)
    model, other = charlstm.load(tmp_path / "file"), folder / "other.txt"
    assert model.evaluate(other).loss < model.evaluate(other, network_alone=True).loss


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_tables_that_do_not_fit_are_refused_in_a_sentence(models, folder, tmp_path, damage):
    tensors, header = load_tensors(folder / "text" / "weights.safetensors")
    tables = {name.removeprefix("counts."): tensors.pop(name) for name in [*tensors] if name.startswith("counts.")}
    damage(tables)
    save_tensors(tmp_path / "file", tensors | {f"counts.{name}": table for name, table in tables.items()}, header)
    with pytest.raises(RunError, match=r"file.*(counts|not finite)") as caught:
        charlstm.load(tmp_path / "file")
    assert "\n" not in caught.value.message and caught.value.hint
