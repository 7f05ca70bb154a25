"""Runs and weights that somebody has made up: right digests over wrong contents, and other things in files' places.

Whatever they hold, what comes of it is right, or an error of ours that names the file; nothing hangs, and nothing is
written outside of the run.
"""

import json
import math
import os
import shutil
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charlstm.display.advice import advise
from charlstm.errors import CharLSTMError, CorpusError, RunError, StorageError
from charlstm.runs.card import read_card
from charlstm.runs.checkpoints import load_facts
from charlstm.runs.folder import open_run, settle
from charlstm.runs.lock import lock
from charlstm.runs.metrics import KEYS, Metrics
from charlstm.runs.tensors import load_tensors, save_tensors
from charlstm.runs.texts import reopen
from charlstm.runs.weights import load_weights
from charlstm.training.loop import train

FILES = [
    "config.json", "vocabulary.json", "weights.safetensors", "metrics.jsonl", "checkpoints/last.safetensors",
    "checkpoints/previous.safetensors",
]  # fmt: skip
TENSORS = [name for name in FILES if name.endswith("safetensors")]
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes and few links among its files")
NAN, INF = math.nan, math.inf


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory, text_file, corpus):
    """A run that was stopped after a few of its 40 steps."""
    from conftest import small_run  # pytest puts it on the path

    run = small_run(tmp_path_factory.mktemp("stopped") / "run", corpus, steps=40, patience=3)
    made = iter(range(4))
    for _ in train(run, corpus, should_stop=lambda: next(made, None) is None, save_every=0.0):
        pass
    return run.path


@pytest.fixture
def path(stopped_run, tmp_path, text_file, monkeypatch):
    """A copy of it, beside its text; what is in `outside` must stay as it is."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("mine", "utf-8")
    monkeypatch.chdir(shutil.copytree(stopped_run, tmp_path / "runs" / "run").parent)
    shutil.copy(text_file, tmp_path / "runs" / "verse.txt")
    return tmp_path / "runs" / "run"


def resume(path: Path) -> None:
    """What `train --resume` does, to its end."""
    with lock(path):
        settle(path)
        run = open_run(path)
        corpus, _ = reopen(run.config.corpus, run.vocabulary, path)
        for _ in train(run, corpus, resume=True):
            pass


def listed(folder: Path) -> list[str]:
    """The names in a folder."""
    return sorted(each.name for each in folder.iterdir())


def forge(path: Path, **header: str) -> None:
    """Change the header of all tensor files; their digests are right."""
    for name in TENSORS:
        tensors, before = load_tensors(path / name)
        save_tensors(path / name, tensors, before | header)


def change(data: dict, where: str, value: object) -> dict:
    """Set a value deep inside: `training.steps`."""
    *parts, last = where.split(".")
    inner = data
    for part in parts:
        inner = inner[part]
    inner[last] = value
    return data


def write_raw(path: Path, header: object, data: bytes = b"", length: int | None = None) -> None:
    """A safetensors file by hand."""
    packed = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(packed) if length is None else length) + packed + data)


# --- headers of tensor files ---


def one_tensor(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}, "__metadata__": {"sha256": "0"}}


HEADERS = {
    **{f"shape {shape}": one_tensor(shape=shape) for shape in ([2**62, 2**62], [10**18], [-1], [1.5], ["a"], None)},
    **{f"offsets {pair}": one_tensor(offsets=pair) for pair in ([4, 0], [0, 10**18], [-4, 0], [4, 8], [0], None)},
    **{f"type {dtype}": one_tensor(dtype) for dtype in ("F8_E4M3", "C64", "nonsense", None)},
    **{f"two of {dtype}": one_tensor(dtype, [2]) for dtype in ("BF16", "F16", "U16")},
    **{f"four of {dtype}": one_tensor(dtype, [4]) for dtype in ("BOOL", "U8", "F8_E4M3", "F8_E5M2", "F8_E8M0")},
    "without dimensions": one_tensor(shape=[]),
    "of a hundred dimensions": one_tensor(shape=[1] * 100),
    "of no size": one_tensor(shape=[0], offsets=[0, 0]),
    "overlapping": one_tensor() | {"b": one_tensor()["a"]},
    "twice": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' * 2 + b'"__metadata__":{"sha256":"0"}}',
    "a number for the digest": {"__metadata__": {"sha256": 5}},
    "a list for the metadata": {"__metadata__": []},
    "deep": b'{"a":' + b"[" * 100_000,
    "no UTF-8": b'{"\xff": 1}',
    "large": {"__metadata__": {"sha256": "0", "x": "y" * 10**7}},
    "many": {f"t{n}": one_tensor(shape=[0], offsets=[0, 0])["a"] for n in range(10_000)},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_headers_of_any_kind_are_refused(tmp_path, header):
    write_raw(tmp_path / "odd.safetensors", header, bytes(4))
    with pytest.raises(RunError, match=r"odd\.safetensors"):
        load_weights(tmp_path / "odd.safetensors")


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_a_length_of_the_header_that_is_not_its_length_is_refused(tmp_path, length):
    write_raw(tmp_path / "odd.safetensors", one_tensor(), bytes(4), length)
    with pytest.raises(RunError, match=r"odd\.safetensors"):
        load_weights(tmp_path / "odd.safetensors")


OTHER_TENSORS = {
    "none": lambda array: None,
    "doubles": lambda array: array.astype(np.float64),
    "halves": lambda array: array.astype(np.float16),
    "yes and no": lambda array: array > 0,
    "scalars": lambda array: array.sum(),
    "no size": lambda array: np.zeros(0, array.dtype),
    "other shapes": lambda array: array[None],
    "NaN": lambda array: array * np.float32(NAN),
}


@pytest.mark.parametrize("other", OTHER_TENSORS.values(), ids=OTHER_TENSORS)
def test_other_tensors_with_a_right_digest_are_refused(path, other):
    for name in TENSORS:
        tensors, header = load_tensors(path / name)
        others = {key: other(array) for key, array in tensors.items()}
        save_tensors(path / name, {key: array for key, array in others.items() if array is not None}, header)
    with pytest.raises(RunError, match=r"weights\.safetensors: the tensor"):
        load_weights(path)
    with pytest.raises(RunError, match=r"last\.safetensors: the tensor"):
        resume(path)


# --- settings ---

SETTINGS = [
    *((name, number) for name in ("model.layers", "model.hidden_size", "training.steps") for number in (0, -1, 10**30)),
    *((name, NAN) for name in ("model.dropout", "training.learning_rate", "training.minutes", "training.clip")),
    *((name, INF) for name in ("model.weight_drop", "training.learning_rate", "training.minutes")),
    *((f"training.{name}", True) for name in ("seed", "patience", "batch_size")),
    *(("training.warmup", number) for number in (-1, 10**30)),
    *(("corpus.characters", number) for number in (-1, 0, 10**30)),
    *(
        ("training.schedule", lengths)
        for lengths in (
            [[]],
            [[1]],
            [[0, 40, 3]],
            [[-5, 40]],
            [[5, 40]],
            [[0, 10**30]],
            [[0, -3]],
            [[0, 0]],
            [[0, 40], [3, 2]],
            [[0, 40], [4, 30], [2, 50]],
            [["a", 1]],
            5,
        )
    ),
    *(("model.rare", number) for number in (-1, 10**6, True)),
    *(("format", number) for number in (2, "1", None)),
    ("training.batch_size", 10**9),
    ("model", []),
    ("corpus.sources", "verse.txt"),
    ("versions", {"jax": 1}),
]


@pytest.mark.parametrize(("where", "value"), SETTINGS)
def test_settings_that_no_run_has_are_refused_wherever_they_stand(path, where, value):
    config = json.dumps(change(json.loads((path / "config.json").read_text("utf-8")), where, value))
    (path / "config.json").write_text(config, "utf-8")
    forge(path, config=config)
    with pytest.raises(RunError, match=r"config\.json"):
        open_run(path)
    with pytest.raises(RunError, match=r"weights\.safetensors"):
        load_weights(path)


def test_a_model_beyond_all_memory_is_refused_by_the_tensors_that_it_lacks(path):
    config = json.loads((path / "config.json").read_text("utf-8"))
    config["model"] |= {"layers": 64, "hidden_size": 65_536, "embedding_size": 65_536}
    (path / "config.json").write_text(json.dumps(config), "utf-8")
    forge(path, config=json.dumps(config))
    with pytest.raises(RunError, match=r"weights\.safetensors: the tensor .* is missing"):
        load_weights(path)
    with pytest.raises(RunError, match=r"last\.safetensors: the tensor .* is missing"):
        resume(path)


def test_a_vocabulary_of_all_characters_is_refused_by_the_tensors_that_it_does_not_fit(path):
    symbols = "".join(chr(number) for number in range(0x110000) if not 0xD800 <= number < 0xE000)
    vocabulary = json.dumps({"unit": "character", "symbols": symbols, "rare": 0})
    config = change(json.loads((path / "config.json").read_text("utf-8")), "model.vocabulary_size", len(symbols))
    forge(path, config=json.dumps(config), vocabulary=vocabulary)
    with pytest.raises(RunError, match="the tensor 'embedding' is"):
        load_weights(path)


def vocabularies(symbols: str) -> list[object]:
    """What is no vocabulary of so many symbols."""
    good = {"unit": "character", "symbols": symbols, "rare": 0}
    return [
        good | {"symbols": symbols[:-1] + symbols[0]}, good | {"symbols": list(symbols)}, good | {"symbols": ""},
        good | {"rare": -1}, good | {"rare": 10**30}, good | {"rare": 0.0}, good | {"rare": 5}, good | {"unit": "byte"},
        good | {"unit": 1}, {}, [], None, "[" * 100_000, json.dumps(good)[:-1] + ', "rare": 0}',
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(len(vocabularies("ab"))))
def test_what_is_no_vocabulary_is_refused_wherever_it_stands(path, number):
    data = vocabularies(open_run(path).vocabulary.symbols)[number]
    text = data if isinstance(data, str) else json.dumps(data)
    (path / "vocabulary.json").write_text(text, "utf-8")
    forge(path, vocabulary=text)
    with pytest.raises(RunError, match=r"vocabulary\.json"):
        open_run(path)
    with pytest.raises(RunError, match=r"weights\.safetensors"):
        load_weights(path)


# --- what a checkpoint says ---

FACTS = [
    *(("step", value) for value in (-1, 10**30, 1.5, NAN, None, True, 3)),  # it was stopped at another one
    *(("elapsed", value) for value in (NAN, INF, -1, 1e300, 10**400, "1")),
    *((f"cadence.{name}", value) for name in ("report", "validate") for value in (0, -1, 10**30, None)),
    *(("cadence", value) for value in (None, {}, [], 5, {"report": 1})),
    *(("cadence.characters", value) for value in (-1, 10**6)),
    *(("schedule", value) for value in (None, {}, [], {"peak": 1})),
    *((f"schedule.{name}", value) for name in ("total", "warmup", "anchor") for value in (-1, 10**30, NAN)),
    *(("schedule.total", value) for value in (1, 41, 2**30)),  # past, or beyond the run's 40 steps
    *((f"schedule.{name}", value) for name in ("peak", "progress") for value in (NAN, INF, -1, 1e30)),
    *(("best", value) for value in ({}, [], 5, {"nats": 1}, {"nats": 1, "characters": 0, "utf8_bytes": 1})),
    *(("lengths", value) for value in ([[]], [[1]], [[0, 10**30]], [[0, -1]], [["a", 1]], {})),
    *((name, value) for name in ("loss_sum", "gradient_norm", "skipped_lately") for value in (NAN, INF, "x")),
    *((name, -1) for name in ("rollbacks", "reported", "best_step", "validations_since_best", "loss_steps")),
    ("loss", INF), ("ended", None), ("ended", "done"), ("prolonged", 1), ("new", 1),
]  # fmt: skip


@pytest.mark.parametrize(("where", "value"), FACTS)
def test_a_checkpoint_that_says_what_cannot_be_is_refused(path, where, value):
    facts = json.loads(load_tensors(path / TENSORS[1])[1]["facts"])
    forge(path, facts=json.dumps(change(facts, where, value)))
    before = (path / "metrics.jsonl").read_bytes()
    with pytest.raises(RunError):
        resume(path)
    assert (path / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("conditions", [5, {"jax": 1}])
def test_conditions_of_any_kind_do_no_harm(path, conditions):
    facts = json.loads(load_tensors(path / TENSORS[1])[1]["facts"])
    forge(path, facts=json.dumps(facts | {"conditions": conditions}))
    resume(path)


# --- reports ---

GOOD = dict.fromkeys(sorted(KEYS), 1)


def checked(report: dict) -> bytes:
    """A line with a right checksum."""
    return json.dumps(report | {"crc32": zlib.crc32(json.dumps(report).encode())}).encode()


LINES = [
    *(checked(GOOD | {name: value}) for name in KEYS for value in ("x", [], {}, True, NAN, INF, -1, 1e308, 10**400)),
    *(checked(GOOD | {name: None}) for name in ("step", "characters", "epoch")),
    *(checked({key: value for key, value in GOOD.items() if key != name}) for name in KEYS),
    json.dumps(GOOD | {"loss": "@"}).replace('"@"', "1e400").encode(),
    json.dumps(GOOD | {"step": "@"}).replace('"@"', "9" * 5000).encode(),
    *(b"[" * 10**6, b"9" * 10**6, b"[" + b"{}," * 10**6 + b"{}]", os.urandom(10_000), b"\xff\xfe{\0}\0", b"", b"{}"),
]


def test_lines_that_are_no_reports_are_left_out(tmp_path):
    metrics = Metrics(tmp_path / "metrics.jsonl")
    for line in LINES:
        metrics.path.write_bytes(checked(GOOD) + b"\n" + line + b"\n" + checked(GOOD | {"new": "x"}) + b"\n")
        assert metrics.read() == [GOOD, GOOD | {"new": "x"}], line[:100]


def test_what_is_read_as_reports_can_be_drawn_and_advised_on(path):
    pytest.importorskip("matplotlib")
    from charlstm.display.card import show_card
    from charlstm.display.plots import AXES, learning_curves
    from charlstm.display.report import curves_section

    lines = [checked(GOOD | {name: value}) for name in KEYS for value in (0, 10**18, None)] + LINES
    (path / "metrics.jsonl").write_bytes(b"\n".join(lines))
    reports = open_run(path).metrics.read()
    assert len(reports) > len(KEYS)
    learning_curves({"run": reports}, path.parent / "curve.png", AXES)
    show_card(read_card(path))
    curves_section(reports)
    assert isinstance(advise(reports, open_run(path).config), str)


# --- texts ---


@posix
@pytest.mark.parametrize("source", ["-", "/dev/zero", "/dev/stdin", "pipe", "no\0where", "x" * 5000, "\ud800", "~x/y"])
def test_a_text_that_a_run_names_is_no_device_and_no_pipe(path, source, corpus):
    os.mkfifo("pipe")
    config = open_run(path).config.corpus
    shutil.move("verse.txt", "moved.txt")
    with pytest.raises(CharLSTMError):
        reopen(replace(config, sources=[source]), corpus.vocabulary, path)


def test_what_is_too_large_to_be_the_text_of_a_run_is_not_read(path, corpus):
    shutil.move("verse.txt", "moved.txt")
    Path("large").mkdir()
    with Path("large", "text").open("wb") as file:
        file.write(b"text" * 4096)
        file.truncate(10**12)  # takes no room
    config = open_run(path).config.corpus
    for names in (["large"], ["large/text"], ["moved.txt"] * 10**4):
        with pytest.raises(RunError, match="is not the text"):
            reopen(replace(config, sources=names), corpus.vocabulary, path)
    with pytest.raises(CorpusError, match="names no text"):
        reopen(replace(config, sources=[]), corpus.vocabulary, path)


# --- other things in the place of files ---


@posix
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing", "circle"])
def test_what_is_no_file_is_not_read_as_one(path, name, kind):
    place = path / name
    place.unlink()
    match kind:
        case "pipe":
            os.mkfifo(place)
        case "device":
            place.symlink_to("/dev/zero")
        case "folder":
            place.mkdir()
        case "nothing":
            place.symlink_to(path.parent.parent / "outside" / "nowhere")
        case "circle":
            place.symlink_to(place)
    for use in (load_weights, lambda path: open_run(path).metrics.read(), resume):
        try:
            use(path)
        except CharLSTMError as error:
            assert name.split("/")[0] in error.message or "run" in error.message
    assert listed(path.parent.parent / "outside") == ["precious"]


@posix
@pytest.mark.parametrize("name", FILES)
def test_links_are_read_through_and_not_written_through(path, name):
    outside = path.parent.parent / "outside" / "linked"
    shutil.move(path / name, outside)
    before = outside.read_bytes()
    (path / name).symlink_to(outside)
    load_weights(path)
    resume(path)
    assert outside.read_bytes() == before
    resumed = open_run(path)
    assert load_weights(path).params and resumed.metrics.read()[-1]["step"] == 40


@posix
def test_a_run_may_be_a_link(path):
    shutil.move(path, path.with_name("real"))
    path.symlink_to(path.with_name("real"))
    resume(path)
    assert load_weights(path) and path.is_symlink()


@posix
@pytest.mark.parametrize("kind", ["folder", "link", "pipe", "hard link", "link to nothing"])
def test_a_lock_that_is_no_file_of_the_run_is_refused(path, kind):
    outside, place = path.parent.parent / "outside" / "precious", path / ".lock"
    match kind:
        case "folder":
            place.mkdir()
        case "link":
            place.symlink_to(outside)
        case "pipe":
            os.mkfifo(place)
        case "hard link":
            os.link(outside, place)
        case "link to nothing":
            place.symlink_to(outside.with_name("nowhere"))
    with pytest.raises((RunError, StorageError), match=r"\.lock"):
        resume(path)
    assert outside.read_text("utf-8") == "mine" and listed(outside.parent) == ["precious"]


@posix
@pytest.mark.parametrize("name", [".new", ".ready", ".x.tmp", "checkpoints/.x.tmp", "checkpoints/next.safetensors"])
@pytest.mark.parametrize("kind", ["file", "pipe", "folder", "hard link"])
def test_what_stands_where_a_new_run_is_made_does_no_harm(path, name, kind):
    outside, place = path.parent.parent / "outside" / "precious", path / name
    match kind:
        case "file":
            place.write_text("odd", "utf-8")
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case "hard link":
            os.link(outside, place)
    settle(path)
    assert outside.read_text("utf-8") == "mine" and load_facts(open_run(path))["step"] > 0
    known = {".x.tmp"} if kind == "folder" else set()  # ours are files
    assert set(listed(path)) - known == {"checkpoints", *FILES[:4]}
    assert set(listed(path / "checkpoints")) - known == {"last.safetensors", "previous.safetensors"}


@posix
@pytest.mark.parametrize("name", ["checkpoints", "tensorboard", ".new", ".ready", ".ready/checkpoints"])
def test_a_folder_that_leads_out_of_the_run_is_refused(path, name):
    outside = path.parent.parent / "outside"
    shutil.copy(path / "checkpoints" / "last.safetensors", outside)
    place = path / name
    if place.exists():
        shutil.rmtree(place)
    if name.startswith(".ready/"):
        place.parent.mkdir()
        shutil.copy(path / "config.json", place.parent)
    place.symlink_to(outside)
    with pytest.raises(RunError, match="is a link"):
        resume(path)
    assert listed(outside) == ["last.safetensors", "precious"]
