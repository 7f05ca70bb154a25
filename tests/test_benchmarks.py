"""What the benchmarks say: samples measured beside real text, and the picture of loss against minutes."""

from types import SimpleNamespace
from xml.etree import ElementTree

import minutes
import numpy as np
import pytest
import samples

from charlstm.text.vocabulary import Vocabulary

WORDS = ["the", "tide", "comes", "in", "goes", "out", "and", "maren", "waits", "for", "salt", "upon", "a", "road"]


@pytest.fixture(scope="module")
def text() -> samples.Text:
    """Words at random, in lines of five; training and validation part have the same source."""
    rng = np.random.default_rng(0)
    whole = "\n".join(" ".join(rng.choice(WORDS, 5)) for _ in range(3200))
    vocabulary = Vocabulary.of_characters(whole + "#")
    ids = vocabulary.encode(whole)
    model = SimpleNamespace(vocabulary=vocabulary)
    return samples.Text(model, ids[:50_000], ids[50_000:], length=500, count=30)  # type: ignore[arg-type]


def measured(text: samples.Text, written: str) -> dict[str, float]:
    ids = text.model.vocabulary.encode(written[: 30 * 500])
    return text.figures(ids.reshape(30, 500))


def test_a_text_of_the_same_source_is_near(text):
    rng = np.random.default_rng(1)
    found = measured(text, "\n".join(" ".join(rng.choice(WORDS, 5)) for _ in range(1000)))
    assert abs(found["distance"]) < 0.05
    assert found["invented"] == 0 and found["repeated"] < 0.05


def test_what_is_too_tame_and_what_is_too_wild_is_far(text):
    loop = measured(text, "the tide comes in and " * 1000)
    rng = np.random.default_rng(1)
    noise = measured(text, "".join(rng.choice(sorted(set(" ".join(WORDS) + "\n")), 15_000)))
    real = text.figures(text.real)
    assert loop["surprise"] < real["surprise"] < noise["surprise"]
    assert loop["distance"] > 0.5 < noise["distance"]
    assert loop["repeated"] > 0.9 > 0.1 > noise["repeated"]
    assert loop["distinct"] < real["distinct"] < noise["distinct"]
    assert loop["invented"] == 0 < 0.5 < noise["invented"]


def test_copies_are_found(text):
    found = text.figures(text.learned)
    assert found["copied"] > 0.95 and found["longest"] >= 500


def test_the_measure_of_a_hand_made_case():
    assert samples.distinct("abababab", 2) == 2 / 7
    assert samples.words_of("I'll go, MAREN: 'tis late") == ["i'll", "go", "maren", "tis", "late"]
    assert samples.read_setting("temperature=0.9,top_k=5") == {"temperature": 0.9, "top_k": 5}


def test_the_picture_shows_each_run_where_it_is():
    curves = [(1.0, [[0.01, 3.0], [0.5, 1.7], [1.0, 1.45]]), (1.0, [[0.5, 1.6], [1.0, 1.43]]), (5.0, [[5.0, 1.38]])]
    runs = [
        {"minutes": budget, "seconds": 60 * budget, "curve": curve, "losses": {"static": curve[-1][1], "7-gram": 1.522}}
        for budget, curve in curves
    ]
    picture = ElementTree.fromstring(minutes.draw(runs))
    name = "{http://www.w3.org/2000/svg}"
    dots = [(float(each.get("cx", "")), float(each.get("cy", ""))) for each in picture.iter(f"{name}circle")]
    assert dots[0][0] == dots[1][0] < dots[2][0] and dots[0][1] < dots[1][1] < dots[2][1]
    drawn = [each.get("d", "") for each in picture.iter(f"{name}path") if each.get("class") == "curve"]
    for (x, y), line in zip(dots, drawn, strict=True):
        assert line.endswith(f"{x} {y}")  # a curve ends at its score
    words = [each.text for each in picture.iter(f"{name}text")]
    assert words.count("1.440") == 1 and words.count("1.380") == 1  # the mean of those with as many minutes
    assert any("7-gram: 1.522" in str(each) for each in words)
