"""The command line as its users meet it: exit status, stdout, stderr, and what is left on the disk."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from calling import called
from safetensors.numpy import load_file

from charlstm.evaluation import baseline
from charlstm.runs.weights import fingerprint, load_weights

VERSE = "The salt road runs from hill to sea,\nand who goes out comes home to tea.\n" * 12
SMALL = [
    "--hidden-size", "16", "--batch-size", "4", "--sequence-length", "16", "--steps", "6", "--precision", "float32",
]  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a text in it."""
    monkeypatch.chdir(tmp_path)
    Path("verse.txt").write_bytes(VERSE.encode())
    return tmp_path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; look, do not touch."""
    folder = tmp_path_factory.mktemp("finished")
    text = folder / "verse.txt"
    text.write_bytes(VERSE.encode())
    assert called(["train", str(text), "--run", str(folder / "run"), *SMALL, "--quiet"]) == 0
    return folder / "run"


def refused(capfd: pytest.CaptureFixture[str], arguments: list[str], status: int = 1) -> str:
    """What stderr says when a command is refused: one error, perhaps a hint, and nothing on stdout."""
    capfd.readouterr()
    assert called(arguments) == status
    out, err = capfd.readouterr()
    assert out == "" and "Traceback" not in err
    if status == 1:
        assert err.startswith("error: ") and err.count("error: ") == 1
    return err


def started(*arguments: str, **options) -> subprocess.Popen:
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "charlstm", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


# --- train ---


def test_training_leaves_a_run_and_names_the_next_commands(here, capfd):
    assert called(["train", "verse.txt", *SMALL]) == 0
    out, err = capfd.readouterr()
    assert "best validation loss" in out and "perplexity" in out
    assert f"charlstm sample {Path('runs/verse')}" in out and f"charlstm evaluate {Path('runs/verse')}" in out
    assert "compiling" in err and "step 6" in err
    names = {str(path.relative_to("runs/verse")) for path in Path("runs/verse").rglob("*") if path.is_file()}
    assert names == {
        "config.json", "vocabulary.json", "weights.safetensors", "metrics.jsonl",
        str(Path("checkpoints/last.safetensors")), str(Path("checkpoints/previous.safetensors")),
    }  # fmt: skip


def test_json_is_all_there_is_on_stdout_and_every_line_of_it_is_an_object(here, capfd):
    assert called(["train", "verse.txt", *SMALL, "--json", "--sample-every", "3"]) == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {event["event"] for event in events} == {"started", "report", "saved", "sample", "counting", "finished"}
    assert events[0]["event"] == "started" and events[0]["run"] == str(Path("runs/verse"))
    assert events[0]["config"]["model"]["hidden_size"] == 16 and isinstance(events[0]["notes"], list)
    assert events[-1]["event"] == "finished" and events[-1]["reason"] == "done"


def test_quiet_says_the_result_only(here, capfd):
    assert called(["train", "verse.txt", *SMALL, "--quiet"]) == 0
    out, err = capfd.readouterr()
    assert (
        out.startswith(f"run {Path('runs/verse')}\nbest validation loss") and len(out.splitlines()) == 4 and err == ""
    )


def test_a_run_is_never_overwritten_unasked(here, capfd):
    assert called(["train", "verse.txt", "--run", "run", *SMALL, "--quiet"]) == 0
    before = Path("run/weights.safetensors").read_bytes()
    assert "--overwrite" in refused(capfd, ["train", "verse.txt", "--run", "run", *SMALL, "--seed", "1"])
    assert Path("run/weights.safetensors").read_bytes() == before
    assert called(["train", "verse.txt", "--run", "run", *SMALL, "--seed", "1", "--overwrite", "--quiet"]) == 0
    assert Path("run/weights.safetensors").read_bytes() != before


def test_without_a_name_a_second_run_goes_beside_the_first(here):
    for _ in range(2):
        assert called(["train", "verse.txt", *SMALL, "--quiet"]) == 0
    assert Path("runs/verse").is_dir() and Path("runs/verse-2").is_dir()


def test_a_run_can_start_from_another_and_learn_new_characters(here, run, capfd):
    Path("other.txt").write_bytes(VERSE.replace("tea", "thé ♥").encode())
    assert called(["train", "other.txt", "--init-from", str(run), *SMALL[6:], "--run", "more"]) == 0
    err = capfd.readouterr().err
    assert "2 characters are new" in err and "♥" in err and "é" in err
    old, new = (json.loads((path / "vocabulary.json").read_text("utf-8"))["symbols"] for path in (run, Path("more")))
    assert new.startswith(old) and set(new) - set(old) == {"é", "♥"}
    first = json.loads(Path("more/metrics.jsonl").read_text("utf-8").splitlines()[0])
    assert first["loss"] < math.log(len(new)), "it does not start from nothing"


def test_a_validation_on_a_piece_says_so(here, capfd):
    Path("long.txt").write_bytes((VERSE * 137)[:120_000].encode())
    assert called(["train", "long.txt", *SMALL, "--validation", "0.5", "--run", "long"]) == 0
    assert "(of the first 49,999 of 59,999 characters held out)" in capfd.readouterr().out
    assert called(["train", "verse.txt", *SMALL, "--run", "short"]) == 0
    assert "held out)" not in capfd.readouterr().out


@pytest.mark.slow
def test_a_text_with_hundreds_of_rare_characters_goes_all_the_way(here, capfd):
    rare = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    Path("web.txt").write_bytes((rare[:299] + "abc " * 80_000 + rare[299]).encode())
    assert called(["train", "web.txt", "--hidden-size", "8", "--steps", "3", "--run", "run"]) == 0
    assert "304 distinct (300 of them rare)" in capfd.readouterr().err
    assert called(["evaluate", "run", "--json", "--baseline", "--dynamic"]) == 0
    score = json.loads(capfd.readouterr().out)
    assert score["characters"] == 32_029 and score["uniform"]["loss"] == pytest.approx(math.log(304))
    assert called(["sample", "run", "--prompt", rare[:3], "--length", "2000", "--temperature", "3"]) == 0
    drawn = capfd.readouterr().out
    assert set(drawn) <= set(rare + "abc \n") and set(drawn) & set(rare) and set(drawn) & set("abc ")
    Path("more.txt").write_bytes("♥é a".encode())
    assert called(["train", "more.txt", "--init-from", "run", "--steps", "3", "--run", "more"]) == 0
    err = capfd.readouterr().err
    assert "2 characters are new" in err and "306 distinct (300 of them rare)" in err


@pytest.mark.parametrize(
    "arguments",
    [["two.txt"], ["verse.txt", "--validation", "0"], ["two.txt", "--unit", "byte"], ["."], ["verse.txt", "two.txt"]],
    ids=" ".join,
)
def test_all_kinds_of_texts_train(here, arguments, capfd):
    Path("two.txt").write_bytes(b"ab")
    assert called(["train", *arguments, "--hidden-size", "8", "--steps", "3", "--run", "run"]) == 0
    assert "3 steps" in capfd.readouterr().out


def test_a_run_inside_the_folder_that_it_reads_can_be_resumed_and_evaluated(here, capfd):
    assert called(["train", ".", "--run", "run", *SMALL, "--quiet"]) == 0
    assert called(["evaluate", "run"]) == 0
    assert called(["train", "--run", "run", "--resume"]) == 1
    assert "has finished" in capfd.readouterr().err


def test_standard_input_is_a_text_and_is_kept_for_resuming(here):
    command = ["train", "-", *SMALL[:6], "--precision", "float32", "--run", "piped", "--quiet"]
    process = started(*command, "--steps", "4", stdin=subprocess.PIPE)
    _, err = process.communicate(VERSE.encode(), timeout=120)
    assert process.returncode == 0, err
    assert json.loads(Path("piped/config.json").read_text("utf-8"))["corpus"]["characters"] == len(VERSE)
    source = json.loads(Path("piped/config.json").read_text("utf-8"))["corpus"]["sources"][0]
    assert Path(source).read_bytes() == VERSE.encode()


def training(*more: str, **options) -> subprocess.Popen:
    """A training that lasts, in the folder `run`, which has made some steps."""
    process = started("train", "verse.txt", *SMALL[:6], "--steps", "100000", "--run", "run", *more, **options)
    wait_for(lambda: Path("run/metrics.jsonl").exists() and Path("run/metrics.jsonl").stat().st_size > 0)
    return process


def wait_for(condition) -> None:
    """Until it is so, for two minutes at most."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_stops_saves_and_tells_how_to_go_on(here, name):
    process, number = training(), getattr(signal, name)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert b"charlstm train --run run --resume" in err and b"Traceback" not in err
    assert called(["sample", "run", "--length", "5", "--seed", "1"]) == 0
    assert not [path for path in Path("run").iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_queues_warning_saves_and_a_hangup_that_is_ignored_stays_so(here):
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from charlstm.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", ignoring, "train", "verse.txt", *SMALL[:6], "--steps", "100000", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    events = map(json.loads, process.stdout)
    next(event for event in events if event["event"] == "report")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGUSR1)
    saved = next(event for event in events if event["event"] == "saved")
    assert next(event for event in events if event["event"] == "report")["step"] > saved["step"]
    process.kill()
    process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_second_ctrl_c_ends_at_once_and_the_run_goes_on_from_its_last_save(here):
    process = training()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    process = training_again()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM and b"Traceback" not in err


def training_again() -> subprocess.Popen:
    """The run goes on; its first report is there."""
    size = Path("run/metrics.jsonl").stat().st_size
    process = started("train", "--run", "run", "--resume")
    wait_for(lambda: Path("run/metrics.jsonl").stat().st_size > size or process.poll() is not None)
    return process


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_run_that_is_being_trained_is_nobody_elses(here, capfd):
    process = training()
    for command in (["--resume"], ["verse.txt", *SMALL, "--overwrite"]):
        err = refused(capfd, ["train", "--run", "run", *command])
        assert f"run is being trained by process {process.pid}" in err
    assert called(["plot", "run"]) in (0, 2)  # reading is for all
    process.kill()
    process.communicate()
    assert called(["train", "--run", "run", "verse.txt", *SMALL, "--overwrite", "--quiet"]) == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_an_old_run_is_there_until_the_new_one_has_weights(here, capfd):
    assert called(["train", "verse.txt", "--run", "run", *SMALL, "--quiet"]) == 0
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    process = started("train", "verse.txt", *SMALL[:6], "--steps", "100000", "--run", "run", "--overwrite")
    wait_for(lambda: Path("run/.new/metrics.jsonl").exists() and Path("run/.new/metrics.jsonl").stat().st_size > 0)
    process.kill()
    process.communicate()
    assert all(path.read_bytes() == data for path, data in before.items())
    assert called(["evaluate", "run"]) == 0
    assert called(["train", "--run", "run", "--resume", "--steps", "1", "--quiet"]) == 0
    assert not Path("run/.new").exists() and not Path("run/.lock").exists()


def test_an_existing_run_is_refused_before_the_text_is_read(here, capfd):
    assert called(["train", "verse.txt", "--run", "run", *SMALL, "--quiet"]) == 0
    assert "already holds a run" in refused(capfd, ["train", "nothing.txt", "--run", "run"])


def test_a_text_that_has_moved_is_found_or_named_and_known_by_its_fingerprint(here, capfd):
    Path("there").mkdir()
    assert called(["train", "verse.txt", "--run", "there/run", *SMALL, "--quiet"]) == 0
    Path("verse.txt").rename("there/verse.txt")
    assert called(["evaluate", "there/run"]) == 0, "beside the run"
    Path("there/verse.txt").rename("poem.txt")
    err = refused(capfd, ["evaluate", "there/run"])
    assert "text is gone" in err and "--own-text" in err and "--resume" in err
    assert called(["evaluate", "there/run", "--own-text", "poem.txt"]) == 0
    Path("other.txt").write_text(VERSE.upper(), "utf-8")
    assert "is not the text" in refused(capfd, ["train", "other.txt", "--run", "there/run", "--resume", "--steps", "1"])
    assert called(["train", "poem.txt", "--run", "there/run", "--resume", "--steps", "1"]) == 0
    assert "the text is now" in capfd.readouterr().err
    assert called(["evaluate", "there/run"]) == 0, "it was remembered"


@pytest.mark.parametrize(
    ("budget", "steps"), [(["--steps", "4"], 10), (["--epochs", "0.25"], 10), (["--minutes", "0.02"], 0)]
)
def test_a_finished_run_is_prolonged_by_a_budget(here, capfd, budget, steps):
    assert called(["train", "verse.txt", "--run", "run", *SMALL, "--quiet"]) == 0
    err = refused(capfd, ["train", "--run", "run", "--resume"])
    assert "has finished" in err and "--minutes" in err
    assert called(["train", "--run", "run", "--resume", *budget, "--json"]) == 0
    *_, finished = map(json.loads, capfd.readouterr().out.splitlines())
    assert finished["step"] > 6 and steps in (0, finished["step"]) and finished["schedule"] == ""
    assert called(["evaluate", "run"]) == 0


def test_a_run_that_repeats_another_is_prolonged_too(here, capfd):
    assert called(["train", "verse.txt", *SMALL[:6], "--schedule", "0:9,2:6", "--run", "run", "--quiet"]) == 0
    assert called(["train", "--run", "run", "--resume", "--steps", "4", "--quiet"]) == 0
    assert "trained 10 steps" in capfd.readouterr().out


@pytest.mark.parametrize("budget", [["--steps", "6"], ["--minutes", "0.05"]], ids=" ".join)
def test_a_run_ends_with_the_command_that_repeats_it_exactly(here, capfd, budget):
    assert called(["train", "verse.txt", *SMALL[:4], *budget, "--dropout", "0.3", "--seed", "5", "--run", "first"]) == 0
    line = capfd.readouterr().out.splitlines()[-1].split()
    assert line[:3] == ["charlstm", "train", "verse.txt"]
    assert called([*line[1:], "--run", "second", "--quiet"]) == 0
    capfd.readouterr()
    for name in ("weights.safetensors", "checkpoints/last.safetensors"):
        these, those = (load_file(Path(run, name)) for run in ("first", "second"))
        assert all((these[key] == those[key]).all() for key in these), name


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_signal_before_there_is_anything_to_save_ends_at_once(here):
    process = started("train", "-", *SMALL, "--run", "run", stdin=subprocess.PIPE)
    spool = Path(os.environ["CHARLSTM_CACHE_DIR"], "stdin")
    wait_for(lambda: spool.exists() and list(spool.glob(f".{process.pid}*")))
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130 and not Path("run").exists()
    process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_while_a_text_is_read_leaves_nothing_and_is_said(here, name):
    program = (
        "import os, signal\nfrom charlstm.cli import main\nfrom charlstm.text.reading import Fingerprint\n"
        "real, passes = Fingerprint.blocks, []\n"
        "def blocks(self, path):\n    passes.append(path)\n    yield from real(self, path)\n"
        f"    if len(passes) == 3:\n        os.kill(os.getpid(), signal.{name})\n"
        "Fingerprint.blocks = blocks\nmain()"
    )
    command = [sys.executable, "-c", program, "train", "verse.txt", *SMALL, "--run", "run"]
    cache = here / "cache"  # in which the text is not known yet
    environment = os.environ | {"CHARLSTM_CACHE_DIR": str(cache)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 128 + getattr(signal, name)
    assert done.stderr == "interrupted while reading the text; nothing half-written is left\n"
    assert not Path("run").exists()
    assert not [*cache.rglob("*.tmp")]


# --- sample ---


def test_stdout_holds_the_prompt_and_the_drawn_text_and_nothing_else(run, capfd):
    assert called(["sample", str(run), "--prompt", "The ", "--length", "300", "--seed", "5"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("The ") and len(out) == 4 + 300 and err == ""
    assert called(["sample", str(run), "--prompt", "The ", "--length", "300", "--seed", "5", "--no-echo"]) == 0
    assert capfd.readouterr().out == out[4:]


def test_a_seed_that_was_drawn_is_shown_and_gives_the_same_text_again(run, capfd):
    assert called(["sample", str(run), "--length", "80"]) == 0
    first = capfd.readouterr()
    assert called(["sample", str(run), "--length", "80", *first.err.split()]) == 0
    assert capfd.readouterr().out == first.out


def test_the_weights_file_alone_is_enough(run, here, capfd):
    Path("alone.safetensors").write_bytes((run / "weights.safetensors").read_bytes())
    for path in (run, "alone.safetensors"):
        assert called(["sample", str(path), "--length", "50", "--seed", "1"]) == 0
    out = capfd.readouterr().out
    assert out[:50] == out[50:]


def test_a_prompt_may_come_from_a_file_and_its_unknown_characters_be_skipped(run, here, capfd):
    Path("prompt.txt").write_bytes("Thжe".encode())
    assert "'ж' (U+0436)" in refused(capfd, ["sample", str(run), "--prompt-file", "prompt.txt"])
    command = ["sample", str(run), "--prompt-file", "prompt.txt", "--unknown", "skip", "--length", "1", "--seed", "1"]
    assert called(command) == 0
    assert capfd.readouterr().out.startswith("The")


def test_bytes_are_prompted_by_any_file(here, capfdbinary):
    Path("song.mid").write_bytes(bytes(range(256)) * 8)
    assert called(["train", "song.mid", "--unit", "byte", *SMALL, "--quiet", "--run", "run"]) == 0
    capfdbinary.readouterr()
    Path("motif").write_bytes(b"\xff\0\x80")
    assert called(["sample", "run", "--prompt-file", "motif", "--length", "5", "--seed", "1"]) == 0
    out = capfdbinary.readouterr().out
    assert out.startswith(b"\xff\0\x80") and len(out) == 8


def test_a_prompt_in_another_encoding_is_refused_with_a_way_out_that_exists(run, here, capfd):
    Path("prompt.txt").write_bytes(b"na\xefve")
    err = refused(capfd, ["sample", str(run), "--prompt-file", "prompt.txt"])
    assert "byte 0xef at offset 2" in err and "UTF-8" in err and "--" not in err


@pytest.mark.skipif(os.name == "nt", reason="no SIGPIPE there")
def test_a_reader_that_goes_away_is_no_error(run):
    process = started("sample", str(run), "--length", "1000000", "--seed", "1")
    assert process.stdout and process.stderr
    with process.stdout, process.stderr:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


# --- evaluate ---


def test_an_evaluation_is_one_object_whose_figures_agree(run, capfd):
    assert called(["evaluate", str(run), "--json"]) == 0
    score = json.loads(capfd.readouterr().out)
    assert math.isclose(score["perplexity"], math.exp(score["loss"]))
    assert math.isclose(score["bits_per_character"], score["loss"] / math.log(2))
    assert math.isclose(score["bits_per_byte"], score["bits_per_character"]), "this text is ASCII"
    assert abs(score["characters"] - 0.1 * len(VERSE)) <= 2
    assert called(["evaluate", str(run), "--json", "--exact"]) == 0
    assert abs(json.loads(capfd.readouterr().out)["loss"] - score["loss"]) < 0.0005


def test_the_loss_in_the_terminal_is_that_of_the_json(run, capfd):
    assert called(["evaluate", str(run), "--json"]) == 0
    loss = json.loads(capfd.readouterr().out)["loss"]
    assert called(["evaluate", str(run)]) == 0
    assert f"{loss:.4f}" in capfd.readouterr().out


def test_everything_beside_the_score_is_in_the_same_object(run, capfd):
    assert called(["evaluate", str(run), "--json", "--windows", "32", "--baseline", "--dynamic"]) == 0
    score = json.loads(capfd.readouterr().out)
    beside = {name for name, value in score.items() if isinstance(value, dict)}
    mixtures = {"with n-grams", "dynamic with adaptive n-grams"}
    assert {"windows of 32", "dynamic", "uniform", "xz"} | mixtures <= beside
    assert all(score[name]["characters"] == score["characters"] for name in beside)


def test_unknown_characters_are_an_error_or_counted(run, here, capfd):
    Path("strange.txt").write_bytes((VERSE[:50] + "жж" + VERSE).encode())
    err = refused(capfd, ["evaluate", str(run), "strange.txt"])
    assert "'ж' (U+0436) at character 51" in err and "--unknown skip" in err
    assert called(["evaluate", str(run), "strange.txt", "--unknown", "skip", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["skipped"] == 2


def test_baselines_of_the_beginning_alone_say_so(run, capfd, monkeypatch):
    monkeypatch.setattr(baseline, "MAX_SCORED", 20)
    assert called(["evaluate", str(run), "--baseline"]) == 0
    out = capfd.readouterr().out
    assert "(xz: of the first 20 of 87 characters)" in out and "(this model" not in out
    assert "(with n-grams: of the first 20 of 87 characters)" in out


# --- what is refused ---


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no file, folder or named corpus"),
        (b"", "is empty"),
        (b"text\0text", "is a NUL"),
        (b"good so far \xff", "byte 0xff at offset 12"),
    ],
    ids=["missing", "empty", "binary", "wrongly encoded"],
)
def test_a_bad_text_is_refused_and_leaves_no_run(here, capfd, content, words):
    if content is not None:
        Path("bad.txt").write_bytes(content)
    assert words in refused(capfd, ["train", "bad.txt", *SMALL])
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ["--steps", "0"], ["--dropout", "1"], ["--minutes", "nan"], ["--learning-rate", "-1"], ["--validation", "2"],
        ["--steps", "5", "--minutes", "1"], ["--hidden-size", "0"], ["--encoding", "klingon"], ["--optimizer", "sgd9"],
        ["--resume", "--seed", "5"], ["--no-such-flag"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_flags_are_refused_by_name(here, capfd, flags):
    err = refused(capfd, ["train", "verse.txt", *flags], status=2)
    assert next(flag for flag in flags if flag.startswith("--")) in err.replace("\n", "")
    assert not Path("runs").exists()


@pytest.mark.parametrize("damage", ["truncated", "tampered", "emptied", "foreign", "newer"])
@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_damaged_weights_are_refused(run, here, capfd, damage, command):
    data = (run / "weights.safetensors").read_bytes()
    damaged = {
        "truncated": data[: len(data) // 2],
        "tampered": data[:-4] + b"\1\2\3\4",
        "emptied": b"",
        "foreign": b"not at all such a file",
        "newer": data.replace(b'\\"format\\": 1', b'\\"format\\": 9'),
    }[damage]
    assert damaged != data
    Path("damaged.safetensors").write_bytes(damaged)
    refused(capfd, [command, "damaged.safetensors"])


def test_what_is_no_run_is_named(here, capfd):
    assert "no run" in refused(capfd, ["sample"])
    assert "nowhere" in refused(capfd, ["sample", "nowhere"])
    assert "nowhere" in refused(capfd, ["train", "--run", "nowhere", "--resume"])
    Path("mine").mkdir()
    Path("mine/precious.txt").write_text("keep me", "utf-8")
    assert "not a run" in refused(capfd, ["train", "verse.txt", "--run", "mine", "--overwrite", *SMALL])
    assert Path("mine/precious.txt").exists()


def test_an_encoding_without_a_text_is_refused(run, capfd):
    assert "--encoding latin-1" in refused(capfd, ["evaluate", str(run), "--encoding", "latin-1"], status=2)


def test_a_path_that_no_system_would_take_is_refused(here, capfd):
    long = "so long a line is no name of a file " * 200
    assert "no file, folder or named corpus" in refused(capfd, ["train", long])
    assert "no run" in refused(capfd, ["sample", long])
    assert "no run" in refused(capfd, ["train", "--resume", "--run", long])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", ["sample RUN --length 10 --seed 1", "evaluate RUN", "corpora"])
def test_a_full_disk_is_an_error(run, command):
    arguments = [str(run) if word == "RUN" else word for word in command.split()]
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            [sys.executable, "-m", "charlstm", *arguments], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert process.returncode == 1
    assert process.stderr.startswith(b"error: ") and b"Traceback" not in process.stderr


# --- the rest ---


@pytest.mark.skipif(os.name == "nt", reason="pipes end in another way there")
def test_training_goes_on_when_nobody_reads_its_remarks(here):
    process = started("train", "verse.txt", *SMALL, "--run", "run")
    assert process.stderr
    process.stderr.close()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and b"trained 6 steps" in out
    assert Path("run/weights.safetensors").exists()


def test_a_model_that_cannot_be_evaluated_is_not_sent_there(here, capfd):
    assert called(["train", "verse.txt", *SMALL, "--validation", "0", "--run", "run"]) == 0
    out = capfd.readouterr().out
    assert "charlstm sample run" in out and "charlstm evaluate" not in out


def test_the_known_characters_of_another_run_are_not_listed(here, run, capfd):
    assert called(["train", "verse.txt", "--init-from", str(run), *SMALL[2:], "--run", "more"]) == 0
    assert "0 characters are new\n" in capfd.readouterr().err


def test_a_table_in_a_pipe_has_one_line_for_each_row(here):
    process = started("corpora", env={name: value for name, value in os.environ.items() if name != "COLUMNS"})
    out, _ = process.communicate(timeout=60)
    assert len(out.splitlines()) == 7 and b"tiny-shakespeare" in out


def test_names_beyond_the_encoding_of_stdout_are_spelled_out(here):
    Path("роман.txt").write_bytes(VERSE.encode())
    process = started("train", "роман.txt", *SMALL, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert rb"\u0440\u043e\u043c\u0430\u043d" in out


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no such name")
def test_names_are_shown_as_they_are(here, capfd):
    assert called(["train", "verse.txt", *SMALL, "--run", "a:x:b[red]"]) == 0
    out, err = capfd.readouterr()
    assert "a:x:b[red]: " in err and "charlstm sample 'a:x:b[red]'" in out


def test_tensorboard_has_the_reports_and_those_of_an_overwritten_run_are_gone(here):
    pytest.importorskip("tensorboardX")
    command = ["train", "verse.txt", *SMALL, "--run", "run", "--quiet", "--overwrite", "--sample-every", "3"]
    assert called([*command, "--tensorboard"]) == 0
    written = b"".join(path.read_bytes() for path in Path("run/tensorboard").iterdir())
    for tag in b"loss/validation", b"gradient_norm", b"layer_1/forget", b"layer_1/input", b"layer_1/output":
        assert tag in written
    watched = fingerprint(load_weights("run"))
    assert called(command) == 0
    assert not Path("run/tensorboard").exists()
    assert fingerprint(load_weights("run")) == watched, "a model that is watched learns the same"


def test_tensorboard_is_told_from_where_a_resumed_run_goes_on(tmp_path):
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    from charlstm.display.tensorboard import Board

    board = Board(tmp_path, 4)
    board.sample(5, "bytes that are no text: \udcc5")
    board.close()
    data, starts = next(tmp_path.iterdir()).read_bytes(), []
    while data:  # records: their length in eight bytes, its checksum, the event, its checksum
        length = int.from_bytes(data[:8], "little")
        event = event_pb2.Event.FromString(data[12 : 12 + length])
        starts += [event.step] if event.session_log.status == event_pb2.SessionLog.START else []
        data = data[length + 16 :]
    assert starts == [5]


def test_the_named_corpora_are_listed(capfd):
    assert called(["corpora"]) == 0
    out = capfd.readouterr().out
    for name in ("salt-road", "python-docs", "python-source", "tiny-shakespeare", "enwik8", "text8"):
        assert name in out


def test_the_package_is_a_program():
    process = started("--version")
    out, err = process.communicate(timeout=60)
    assert out.startswith(b"charlstm ") and err == b"" and process.returncode == 0


def test_learning_curves_are_drawn(run, here, capfd):
    assert called(["plot", str(run), "--output", "curve.png"]) == 0
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in here.iterdir()} == {"verse.txt", "curve.png"}
    assert ".xyz" in refused(capfd, ["plot", str(run), "--output", "curve.xyz"], status=2)
