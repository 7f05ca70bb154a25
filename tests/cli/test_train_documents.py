"""Texts that are made of documents, from `train` to `sample`."""

import json
from pathlib import Path

import pytest
from calling import called
from safetensors.numpy import load_file

import charlstm

NAMES = [
    f"{first}{last}" for first in ("Ma", "Ho", "Ti", "Ber", "Lu") for last in ("ren", "b", "sa", "na", "ke", "dor")
]
SMALL = ["--hidden-size", "16", "--batch-size", "4", "--sequence-length", "16", "--precision", "float32", "--quiet"]
# The texts have 17 characters where they are whole and 18 with their boundary: two programs for all.


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned names; look, do not touch."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "names.txt").write_bytes("\r\n".join(NAMES).encode())
    train = ["train", str(folder / "names.txt"), "--documents", "lines", "--run", str(folder / "run"), *SMALL]
    assert called([*train, "--steps", "200", "--learning-rate", "0.03"]) == 0
    return folder / "run"


def corpus_of(run: str | Path) -> dict:
    return json.loads(Path(run, "config.json").read_text("utf-8"))["corpus"]


def test_lines_are_learned_and_sampled_one_by_one(run, capfd):
    assert corpus_of(run)["documents"] == "lines"
    assert json.loads((run / "vocabulary.json").read_text("utf-8"))["symbols"] == "".join(sorted(set("".join(NAMES))))
    for count in (1, 5):
        assert called(["sample", str(run), "--documents", str(count), "--seed", "1"]) == 0
        out = capfd.readouterr().out
        assert out.count("\n") == count and out.endswith("\n") and "\r" not in out
    assert called(["sample", str(run), "--length", "100", "--seed", "1"]) == 0
    longer = capfd.readouterr().out
    assert len(longer) == 100 and longer.startswith(out[:100]), "without --documents it goes on over boundaries"
    assert called(["sample", str(run), "--documents", "1", "--prompt", "Maren\nHo", "--seed", "1"]) == 0
    assert capfd.readouterr().out.startswith("Maren\nHo"), "a line end in a prompt is a boundary"


def test_documents_come_in_several_samples_and_as_json(run, capfd):
    command = ["sample", str(run), "--seed", "5", "--documents", "3", "--novel", "--temperature", "1.2"]
    alone = []
    for seed in ("5", "6"):
        assert called([*command, "--seed", seed]) == 0
        alone.append(capfd.readouterr().out)
    assert called([*command, "--count", "2"]) == 0
    assert capfd.readouterr().out == f"--- seed 5 ---\n{alone[0]}\n\n--- seed 6 ---\n{alone[1]}\n"
    assert called([*command, "--count", "2", "--json"]) == 0
    samples = list(map(json.loads, capfd.readouterr().out.splitlines()))
    assert [each["text"] for each in samples] == alone
    assert all(each["ended"] == "documents" for each in samples)
    assert all(len(each["log_probabilities"]) == len(each["text"]) for each in samples)


def test_novel_ones_do_not_stand_in_the_text(run, capfd):
    command = ["sample", str(run), "--seed", "1", "--temperature", "1.2", "--documents", "20"]
    assert called(command) == 0
    assert set(capfd.readouterr().out.split()) & set(NAMES)
    assert called([*command, "--novel"]) == 0
    drawn = capfd.readouterr().out.split("\n")
    assert len(drawn) == 21 and not set(drawn) & set(NAMES)


def test_an_evaluation_counts_characters_and_boundaries(run, capfd, here):
    Path("more.txt").write_bytes(b"Maren\n\nHob\r\nTisa\n")
    assert called(["evaluate", str(run), "more.txt", "--json"]) == 0
    score = json.loads(capfd.readouterr().out)
    assert score["characters"] == 5 + 3 + 4 + 3 and score["boundaries"] == 3
    assert score["bits_per_byte"] == pytest.approx(score["bits_per_character"]), "a line end is a byte"
    assert called(["evaluate", str(run), "more.txt"]) == 0
    assert "characters 12 and 3 boundaries scored of more.txt" in " ".join(capfd.readouterr().out.split())
    assert called(["evaluate", str(run), "--baseline"]) == 0
    assert "boundaries scored of the validation part" in capfd.readouterr().out


@pytest.mark.slow
def test_a_folder_is_files_unless_it_is_to_be_whole(here, capfd):
    for number in range(12):
        Path("notes").mkdir(exist_ok=True)
        Path(f"notes/{number}.txt").write_bytes(f"note {number % 5}, of some days".encode())
    assert called(["train", "notes", *SMALL[:-1], "--steps", "6", "--run", "files"]) == 0
    out, err = capfd.readouterr()
    assert corpus_of("files")["documents"] == "files" and "12 documents, in random order" in err
    assert "--documents files" in out.splitlines()[-1], "the command that repeats it"
    assert called(["train", "notes", *SMALL, "--steps", "6", "--run", "whole", "--documents", "whole"]) == 0
    assert "boundary" not in Path("whole/vocabulary.json").read_text("utf-8")
    capfd.readouterr()
    assert called(["evaluate", "files", "notes", "--json"]) == 0
    score, characters = (
        json.loads(capfd.readouterr().out),
        sum(len(p.read_text("utf-8")) for p in Path("notes").iterdir()),
    )
    assert called(["sample", "files", "--length", "100", "--seed", "1", "--novelty"]) == 0
    out, err = capfd.readouterr()
    assert "\n" in out and "longest span" in err, "though it writes a boundary as a character that it does not know"
    assert score["boundaries"] == 12 and score["characters"] == characters + 12
    ratio = score["bits_per_byte"] / score["bits_per_character"]
    assert ratio == pytest.approx((characters + 12) / characters), "the end of a file takes no bytes"


def test_a_single_file_stays_whole(here):
    Path("names.txt").write_text("\n".join(NAMES), "utf-8")
    assert called(["train", "names.txt", *SMALL, "--steps", "6", "--run", "run"]) == 0
    assert corpus_of("run")["documents"] == "whole"


@pytest.mark.slow
def test_a_moved_text_is_resumed_and_scored_in_the_same_order(here, capfd):
    Path("poems.txt").write_text("\n\n".join(f"{name}\n{name[::-1]}" for name in NAMES), "utf-8")
    train = ["train", "poems.txt", *SMALL, "--documents", "blank-lines", "--seed", "4"]
    assert called([*train, "--steps", "8", "--run", "run"]) == 0
    assert called([*train, "--steps", "8", "--run", "again"]) == 0
    these, those = (load_file(f"{name}/weights.safetensors") for name in ("run", "again"))
    assert all((these[key] == those[key]).all() for key in these)
    capfd.readouterr()
    assert called(["evaluate", "run", "--json"]) == 0
    before = capfd.readouterr().out
    Path("there").mkdir()
    Path("poems.txt").rename("there/poems.txt")
    assert called(["evaluate", "run", "--own-text", "there/poems.txt", "--json"]) == 0
    assert capfd.readouterr().out == before
    assert called(["train", "there/poems.txt", "--run", "run", "--resume", "--steps", "4", "--quiet"]) == 0
    assert corpus_of("run")["documents"] == "blank-lines" and corpus_of("run")["order_seed"] == 4


@pytest.mark.slow
def test_a_run_without_documents_goes_on_with_them_and_back(here, capfd):
    Path("names.txt").write_text("\n".join(NAMES), "utf-8")
    common = [*SMALL[-3:], "--steps", "4"]
    assert called(["train", "names.txt", *SMALL, "--steps", "4", "--run", "whole"]) == 0
    assert (
        called(["train", "names.txt", *common, "--init-from", "whole", "--documents", "lines", "--run", "lines"]) == 0
    )
    assert called(["train", "names.txt", *common, "--init-from", "lines", "--run", "back"]) == 0
    capfd.readouterr()
    for name in ("lines", "back"):
        assert called(["sample", name, "--length", "30", "--seed", "1"]) == 0
    assert charlstm.load("lines").vocabulary.boundary == len(charlstm.load("whole").vocabulary)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "names.txt", "--documents", ""], "is empty"),
        (["train", "names.txt", "--documents", "line"], "not 'lines'"),
        (["train", "names.txt", "--documents", "%%"], "does not occur in the text"),
        (["sample", "RUN", "--novel"], "is for --documents"),
        (["sample", "RUN", "--documents", "2", "--own-text", "names.txt"], "--own-text is for --novel"),
        (["sample", "RUN", "--documents", "0"], "--documents is 0"),
        (["sample", "RUN", "--documents", "2", "--novel", "--own-text", "names.txt"], "is not the text"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else each,
)
def test_what_cannot_be_is_one_sentence(here, run, capfd, arguments, words):
    Path("names.txt").write_text("other\nnames\n", "utf-8")
    assert called([str(run) if each == "RUN" else each for each in arguments])
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("error: ") and words in err
    assert not Path("runs").exists()
