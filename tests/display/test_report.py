"""A report, as a browser that shows it without an error and without asking anybody for anything has it."""

import dataclasses
import json
import math
import re
import shutil
import subprocess
from xml.etree.ElementTree import Element

import numpy as np
import pytest

import charlstm
from charlstm.config import ModelConfig
from charlstm.display.inside import (
    Painted,
    Strip,
    gates_section,
    gradients_section,
    neurons_section,
    time_constants_section,
)
from charlstm.display.page import document, element
from charlstm.display.report import page_of
from charlstm.display.svg import Line
from charlstm.display.visible import visible
from charlstm.errors import ConfigError, CorpusError, StorageError, VocabularyError
from charlstm.model.parameters import initial_parameters
from charlstm.overview import Sampled
from charlstm.runs.weights import Weights
from charlstm.text.vocabulary import Vocabulary

# Of a short text no neurons are found: that is said as what cannot be seen.
SECTIONS = [
    "curves", "samples", "passage", "gates", "time-constants", "gradients", "left-out", "baselines", "card"
]  # fmt: skip
EVIL = (
    "</style></script><script>alert(1)</script><!--<img src=x onerror=alert(2)>&amp;\"'\x00\x1b[31m\r\t\u202e\ud800\n"
)


# What a reader does, and what there is then: the test's own script, at the end of a copy of the page.
_LOOK = """
const letters = [...document.querySelectorAll("#passage-text span")];
const panel = () => [...document.querySelectorAll("#likeliest strong, #likeliest li")].map((each) => each.textContent);
const found = {scripts: document.scripts.length, strange: document.querySelectorAll("img, b, link, iframe").length,
  letters: letters.map((each) => [each.textContent, each.dataset.facts]), before: panel(), sections:
  [...document.querySelectorAll("section")].map((each) => each.id), samples:
  [...document.querySelectorAll("pre")].map((each) => each.textContent), figures:
  [...document.querySelectorAll("dd")].map((each) => each.textContent),
  scores: document.querySelector("#baselines").innerText, title: document.title, wide:
  document.documentElement.scrollWidth > innerWidth, paths: document.querySelectorAll(".chart .line").length};
letters[3].dispatchEvent(new MouseEvent("mouseover", {bubbles: true}));
found.hover = panel();
letters[5].focus();
found.focus = panel();
letters[5].dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
found.arrow = panel();
found.reachable = letters.filter((each) => each.tabIndex === 0).length;
const out = document.createElement("template");
out.id = "found";
out.dataset.found = JSON.stringify(found);
document.body.append(out);
"""


@pytest.fixture
def look(tmp_path, browser):
    """A function that opens a page in a browser: what there is, and what the browser complained of."""

    def look(page: str) -> tuple[dict, list[str]]:
        (path := tmp_path / "page.html").write_text(
            page.replace("</body>", f"<script>{_LOOK}</script></body>"), "utf-8"
        )
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--enable-logging=stderr",
            "--v=0",
            "--dump-dom",
        ]
        own = [f"--user-data-dir={tmp_path / 'browser'}", "--window-size=500,900"]
        done = subprocess.run(
            [browser, *flags, *own, path.as_uri()], capture_output=True, encoding="utf-8", timeout=120, check=False
        )
        facts = re.search(r'data-found="([^"]*)"', done.stdout)
        assert facts, done.stderr[-2000:]
        plain = facts[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        return json.loads(plain), [line for line in done.stderr.splitlines() if ":CONSOLE" in line]

    return look


@pytest.fixture(scope="module")
def page(trained_run, text_file, tmp_path_factory) -> str:
    """The report of a small run."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    charlstm.load(trained_run.path).report(path, length=60, passage=200, own_text=text_file)
    return path.read_text("utf-8")


def test_a_browser_shows_the_right_numbers(page, look, trained_run, text_file, tmp_path):
    found, complaints = look(page)
    assert complaints == [] and not found["strange"] and not found["wide"]
    assert found["scripts"] == 2  # its own, and the test's
    assert found["sections"] == SECTIONS
    model, card = charlstm.load(trained_run.path), charlstm.card(trained_run.path)
    assert card.best and f"{card.best.loss / math.log(2):.3f}" in found["figures"]
    assert f"{card.parameters:,}" in found["figures"] and found["paths"] == 8  # 2 x 2 losses, 4 gradients
    assert found["samples"] == [visible(model.sample(length=60, temperature=t, seed=0)) for t in (0.6, 1.0, 1.3)]
    score = model.evaluate(own_text=text_file, baseline=True)
    for each in (score, *score.beside.values()):
        assert f"{each.bits_per_character:.4f}\t{each.loss:.4f}\t{each.perplexity:.3f}" in found["scores"]

    held_out = text_file.read_text("utf-8")[len(text_file.read_text("utf-8")) * 9 // 10 :]
    (passage := tmp_path / "passage.txt").write_text(held_out, encoding="utf-8")
    bits = [each.bits for each in model.per_character(passage)][1:]
    shown = [facts.split("\n")[0] for _, facts in found["letters"]][1:]
    assert len(shown) == len(bits)
    assert all(f"{cost:.2f} bits" in facts for cost, facts in zip(bits, shown, strict=True))

    symbols = model.next_characters(held_out[:3], top=5)
    assert found["before"] == [] and found["hover"][0] == found["letters"][3][1].split("\n")[0]
    assert [each.split(" ")[0] for each in found["hover"][1:]] == [
        {" ": "␣", "\n": "↵"}.get(symbol, symbol) for symbol, _ in symbols
    ]
    assert [found["focus"][0], found["arrow"][0]] == [shown[4], shown[5]]
    assert found["reachable"] == 1  # of all letters one is on the way of the tabulator


def test_every_text_stays_text(look, weights_of, trained_run):
    vocabulary = Vocabulary.of_characters(EVIL)
    shape = ModelConfig(vocabulary_size=len(vocabulary), layers=1, hidden_size=4, embedding_size=4, dropout=0.0)
    weights = weights_of(shape, vocabulary, initial_parameters(shape, 0))
    corpus = dataclasses.replace(weights.config.corpus, sources=[EVIL], documents=EVIL)
    config = dataclasses.replace(weights.config, corpus=corpus, versions={EVIL: EVIL}, init_from=EVIL)
    model = charlstm.LanguageModel(Weights(config, vocabulary, weights.params))
    found = model.overview(text=EVIL, length=100, inside=False)
    found = dataclasses.replace(found, card=dataclasses.replace(found.card, name=EVIL), where=EVIL, no_scores=EVIL)
    found = dataclasses.replace(found, samples=[Sampled(1.0, 0, f"\n{EVIL}")])
    facts, complaints = look(page_of(found))
    assert complaints == [] and not facts["strange"] and facts["scripts"] == 2
    assert facts["samples"] == [visible(f"\n{EVIL}")]
    shown = "".join(text for text, _ in facts["letters"])
    assert "</style></script><script>alert(1)</script>" in shown and "\\u202e\\ud800" in shown and "\x1b" not in shown
    assert facts["title"].startswith("script>")  # what stands before the last slash is a folder


def test_without_a_script_all_is_there_and_nothing_from_elsewhere(page):
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">') and page.count("<script>") == 1
    assert "default-src 'none'" in page
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {f"#{each}" for each in SECTIONS}
    assert "url(" not in page and "@import" not in page
    assert len(re.findall(r'<span class="t\d[^"]*" title="[^"]*bits\n', page)) > 50
    charts = re.findall(r"<svg[^>]*>", page)
    described = [each for each in charts if 'role="img"' in each]
    assert page.count("<desc>") == len(described) and all("aria-label" in each for each in described)
    assert all('aria-hidden="true"' in each for each in charts if each not in described)
    assert page.count("<table") == page.count("<caption>")


def test_a_weights_file_has_a_report_of_what_is_known(trained_run, tmp_path):
    model = charlstm.load(shutil.copy(trained_run.weights_path, tmp_path))
    model.report(tmp_path / "report.html", length=50, temperature=[0.0], inside=False)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "There are no reports" in page and "There are no scores: the run" in page
    assert "of the first sample, for want of the model's own text" in page and page.count("<pre") == 1


@pytest.mark.parametrize("file", [None, "own.txt"])
def test_no_folder_of_this_machine_is_on_a_page(file, trained_run, text_file, tmp_path):
    """A page may be published: not where its text is, where it was, or where the model's own text is missing."""
    weights = charlstm.load(trained_run.path).weights
    corpus = dataclasses.replace(weights.config.corpus, sources=[str(tmp_path / "my texts" / "gone.txt")])
    gone = dataclasses.replace(weights, run=None, config=dataclasses.replace(weights.config, corpus=corpus))
    source = file and shutil.copy(text_file, tmp_path / file)
    found = charlstm.LanguageModel(gone).overview(length=20, file=source, baseline=not file, inside=not file)
    page = page_of(dataclasses.replace(found, card=dataclasses.replace(found.card, name=str(tmp_path / "run"))))
    assert (file or "named corpus 'gone.txt'") in page and "<td>gone.txt</td>" in page and "<h1>run</h1>" in page
    assert str(tmp_path) not in page and "my texts" not in page


def test_a_character_of_bytes_and_a_boundary_have_their_surprise(weights_of, tmp_path):
    vocabulary, text = Vocabulary.of_bytes().with_boundary("\n\n"), "aé€\udcff\n\nb"
    shape = ModelConfig(vocabulary_size=257, layers=1, hidden_size=4, embedding_size=4, dropout=0.0)
    model = charlstm.LanguageModel(weights_of(shape, vocabulary, initial_parameters(shape, 0)))
    found = model.overview(text=text, length=20, inside=False)
    first, *letters = found.letters  # a document begins with a boundary, which nothing predicts
    assert math.isnan(first.bits) and [each.text for each in letters] == ["a", "é", "€", "\udcff", "\n\n", "b"]
    assert [each.bits for each in letters] == pytest.approx([math.log2(257) * size for size in (1, 2, 3, 1, 1, 1)])
    symbols = found.gates.symbols
    assert len(symbols) == 10 and symbols[0] == symbols[-2] == "\n"
    assert "\\xff" in page_of(found)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"temperature": [-1.0]}, ConfigError),
        ({"length": 0}, ConfigError),
        ({"passage": 1}, ConfigError),
        ({"text": "a", "file": "b"}, ConfigError),
        ({"encoding": "utf-8"}, ConfigError),
        ({"text": ""}, CorpusError),
        ({"text": "жж"}, VocabularyError),
        ({"file": "none.txt"}, CorpusError),
    ],
)
def test_what_is_wrong_is_said_and_the_old_page_stays(options, error, trained_run, tmp_path):
    (path := tmp_path / "report.html").write_text("old", encoding="utf-8")
    with pytest.raises(error):
        charlstm.load(trained_run.path).report(path, **{"length": 10} | options)
    assert path.read_text("utf-8") == "old"


def test_where_nothing_can_be_written_it_is_said(trained_run, tmp_path):
    with pytest.raises(StorageError, match="cannot write"):
        charlstm.load(trained_run.path).report(
            tmp_path / "none" / "report.html", length=10, baseline=False, inside=False
        )


def test_text_is_escaped_by_construction():
    page = document(EVIL, element("p", EVIL), element("p", "a", element("i", "b"), "c", None, "d"))
    assert page.count("<script") == 1 and "<img" not in page and "\x00" not in page
    assert "<p>a<i>b</i>cd</p>" in page
    page.encode("utf-8")


def test_what_happens_inside_is_drawn_with_its_figures(numbers):
    letters = list("the salt\nroad")
    gate = np.concatenate([np.full((13, 1), 0.05), np.full((13, 3), 0.95)], axis=1)
    section = gates_section(letters, [Strip("forget", gate, [3, 5, 7, 9], True)], "character", "13 characters")
    text = "".join(section.itertext())
    assert "had read that character." in text
    assert "4 units over 13 characters, on average 0.73, 25% nearly closed (below 0.1), 75% nearly open" in text

    section = neurons_section(letters, [Painted("in a line", "follows it", np.linspace(-1, 1, 13))], Element("table"))
    spans = list(section.iter("span"))
    assert [each.get("class") for each in spans][:: len(spans) - 1] == ["d0", "d7"]
    assert [each.get("title") for each in spans][:2] == ["t -1.00", "h -0.83"] and spans[8].tail == "\n"

    constants = numbers.lognormal(2, 1, 300)
    layers = [("layer 1", np.append(constants, [np.inf, np.nan]))]
    section = time_constants_section(layers, "forget", "byte", "13 bytes")
    counts = [int(each.text.split(": ")[1]) for each in section.iter("title") if each.text and ": " in each.text]
    assert sum(counts) == 300 and f"median {np.median(constants):.2g}" in (text := "".join(section.itertext()))
    assert "time constant (bytes)" in text and "character" not in text

    lags = np.arange(65)
    curves = [Line("trained", lags, 0.9**lags), Line("at initialisation", lags, np.where(lags < 9, 0.1**lags, 0))]
    section = gradients_section(
        curves, [("trained", -0.1054, np.nan), ("at initialisation", -2.3026, 0.5)], "the cell", "4 windows"
    )
    paths = [each.get("d") or "" for each in section.iter("path") if (each.get("class") or "").startswith("line")]
    assert paths[0].count("L") == 64 and paths[1].count("L") == 8
    text = "|".join(section.itertext())
    assert "trained from 1 to 0.0012" in text and "trained|-0.1054|at initialisation|-2.3026|0.5000" in text


@pytest.mark.parametrize("values", [np.full((3, 2), np.nan), np.zeros((3, 2))])
def test_nothing_to_draw_is_no_error(values):
    gates_section(list("abc"), [Strip("cell", values, range(values.shape[1]), False)], "byte", "")
    time_constants_section([("layer 1", values.ravel())], "forget", "byte", "")
    gradients_section([Line("x", list(range(values.size)), values.ravel().tolist())], [], "", "")
