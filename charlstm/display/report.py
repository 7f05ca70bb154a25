"""A report: everything about a model on one page that needs nothing else, for a browser, a phone or a printer."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

import numpy as np

from charlstm import __version__
from charlstm.config import last_part
from charlstm.display.card import settings_in_words, symbols_in_words
from charlstm.display.console import count, duration, nats, percent
from charlstm.display.gates import full_name
from charlstm.display.heatmap import LEVELS, level_of
from charlstm.display.inside import (
    Painted,
    Strip,
    gates_section,
    gradients_section,
    neurons_section,
    time_constants_section,
)
from charlstm.display.page import add, document, element, figure, in_line, section, table
from charlstm.display.sparkline import usual_range
from charlstm.display.svg import Axis, Line, line_chart
from charlstm.files import write_text

if TYPE_CHECKING:
    from charlstm.inspection.gradients import GradientFlow
    from charlstm.inspection.neurons import Neurons
    from charlstm.overview import Letter, Overview, Sampled
    from charlstm.runs.card import Card
    from charlstm.score import Score

_UNITS = 16  # of each layer, whose gates are shown
_BITS = [least for least, *_ in LEVELS]  # of each tint, at least
_SURPRISING = 12  # characters of the passage that are told of in a table
_CONTEXT = 24  # characters before them


def write_report(found: "Overview", path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    write_text(path, page_of(found))


def page_of(found: "Overview") -> str:
    """The page as HTML."""
    card = found.card
    sections = [
        curves_section(card.reports), samples_section(found.samples), passage_section(found.letters, found.where),
        *inside_sections(found), scores_section(found.scores, found.no_scores), card_section(card),
    ]  # fmt: skip
    contents = [element("li", element("a", each.findtext("h2") or "", href=f"#{each.get('id')}")) for each in sections]
    name = in_line(last_part(card.name))
    made_by = ", ".join(f"{name} {version}" for name, version in card.config.versions.items())
    return document(
        f"{name} - charlstm",
        _header(card),
        element("nav", element("ul", *contents), aria_label="Contents"),
        element("main", *sections),
        element("footer", f"Made by charlstm {__version__}. {f'Trained with {made_by}.' if made_by else ''}"),
    )


def inside_sections(found: "Overview") -> Iterator[Element]:
    """What happens inside of the model while it reads."""
    gates = found.gates
    strips = [
        Strip(f"Layer {number}, {full_name(name)}", array[:, units], units, name in layer.closed)
        for number, layer in gates.layers.items()
        for units in [layer.varying(gates.memory, _UNITS)]
        for name, array in layer.arrays.items()
    ]
    yield gates_section(
        gates.symbols, strips, gates.unit, f"the first {count(len(gates.symbols), gates.unit)} of the passage"
    )
    longer, neurons, flow, reasons = found.inside
    if longer and longer.keeps:
        constants = [
            (f"Layer {number}", layer.time_constants)
            for number, layer in longer.layers.items()
            if layer.time_constants is not None
        ]
        yield time_constants_section(constants, longer.keeps, longer.unit, longer.where)
    if found.paintings and neurons:
        painted = [
            Painted(f"Unit {each.layer}.{each.unit}", each.meaning, np.array([part.value for part in each.characters]))
            for each in found.paintings
        ]
        letters = [part.text for part in found.paintings[0].characters]
        yield neurons_section(letters, painted, _scored_neurons(neurons))
    if flow:
        yield flow_section(flow)
    if reasons:
        yield section("left-out", "What cannot be seen", *(element("p", f"{reason}.") for reason in reasons))


def _scored_neurons(neurons: "Neurons") -> Element:
    """Of each feature the unit that follows it best."""
    rows = [
        (each.feature.name, f"{each.layer}.{each.unit}", f"{each.score:.3f} {each.measure}", f"{each.luck:.3f}",
         f"{each.untrained:.3f}", each.meaning if each.follows else "(no more than luck)")
        for each in neurons.neurons
    ]  # fmt: skip
    headings = ("feature", "unit", "held-out score", "by luck", "untrained", "what it holds")
    rests_on = f"learned from the first half and scored on the second of {neurons.where}"
    return table(f"The unit that follows each feature best, {rests_on}", headings, rows, "context")


def flow_section(flow: "GradientFlow") -> Element:
    """Gradients by lag, of the last layer: of the cell state where there is one."""
    curves, growth = list[Line](), list[tuple[str, float, float]]()
    for model in flow.flows:
        name = f"{model.model.cell.upper()}, {'trained' if model is flow.flows[0] else model.name}"
        last = {curve.part: curve for curve in model.curves if curve.layer == model.model.layers}
        curve = last.get("cell", last["hidden"])
        lags = list(range(1, len(curve.relative) + 1))
        curves.append(Line(name, lags, np.exp(curve.relative).tolist()))
        growth.append((name, model.growth, model.growth_error))
    windows = count(flow.flows[0].windows, "window")
    what = f"the state of the last layer, beside that at lag 1, geometric mean of {windows}"
    return gradients_section(curves, growth, what, flow.where)


def _header(card: "Card") -> Element:
    model, last = card.config.model, card.reports[-1] if card.reports else None
    unit, figures = card.vocabulary.unit, dict[str, str]()
    if card.best:
        best = card.best.to_dict()
        figures[f"validation, bits per {unit}"] = f"{best['bits_per_character']:.3f}"
        figures["validation, perplexity"] = f"{best['perplexity']:.3f}"
    figures |= {"parameters": f"{card.parameters:,}", f"{unit}s known": f"{len(card.vocabulary.symbols):,}"}
    if last and last["elapsed_seconds"] is not None:
        figures["training time"] = duration(last["elapsed_seconds"])
    read = f" that has read {last['characters']:,} {unit}s, {last['epoch']:.3g} epochs" if last else ""
    lead = element("p", f"{model.words}{read}.", class_="lead")
    parts = (element("div", element("dt", name), element("dd", value)) for name, value in figures.items())
    return element("header", element("h1", last_part(card.name)), lead, element("dl", *parts, class_="figures"))


def curves_section(reports: Sequence[dict[str, Any]]) -> Element:
    """The losses over characters read and over time."""
    made = section("curves", "Learning curves")
    if not reports:
        return add(made, element("p", "There are no reports: a weights file has none, and a new run none yet."))
    for key, label, size in (("characters", "characters read", 1.0), ("elapsed_seconds", "time (minutes)", 60.0)):
        known = [report for report in reports if report[key] is not None]
        lines = [_losses(known, name, key, size) for name in ("loss", "validation_loss")]
        lines = [line for line in lines if line.x]
        if not lines:
            continue
        low, high = usual_range([loss for line in lines for loss in line.y])
        ways = [f"{line.name} from {line.y[0]:.4f} to {line.y[-1]:.4f} nats per character" for line in lines]
        x = Axis(label, 0, max(line.x[-1] for line in lines))
        y = Axis("loss (nats per character)", max(0, low - 0.05 * (high - low)), high)
        title = f"Loss over {label.split(' (')[0]}"
        chart = line_chart(title, "; ".join(ways), lines, x, y)
        add(made, figure(chart, f"{title}: {'; '.join(ways)}."))
    best = [(report["validation_loss"], report["step"]) for report in reports if report["validation_loss"] is not None]
    if best:
        loss, step = min(best)
        add(made, element("p", f"Best validation: {nats(loss)}, at step {step:,}.", class_="note"))
    return made


def _losses(reports: Sequence[dict[str, Any]], name: str, key: str, size: float) -> Line:
    known = [report for report in reports if report[name] is not None]
    x, y = [report[key] / size for report in known], [report[name] for report in known]
    return Line("validation" if name != "loss" else "training", x, y, dots=name != "loss")


def samples_section(samples: "Sequence[Sampled]") -> Element:
    """What the model writes, calm and wild."""
    made = section("samples", "Samples")
    for each in samples:
        heading = element("h3", f"Temperature {each.temperature:g}")
        about = f"{count(len(each.text), 'character')}, seed {each.seed}, nothing filtered."
        text = element("pre", "\n", each.text, lang="")  # browsers leave out a line end that a <pre> begins with
        add(made, heading, text, element("p", about, class_="note"))
    return made


def passage_section(letters: "Sequence[Letter]", where: str) -> Element:
    """A text, tinted by how much each character surprised the model, and what it had expected."""
    known = [letter.bits for letter in letters if not math.isnan(letter.bits)]
    mean = f", on average {sum(known) / len(known):.3f} bits" if known else ""
    scale = [element("li", _level_in_words(k), class_=f"t{k}") for k in range(len(_BITS))]
    text = element("p", *(part for letter in letters for part in _tinted(letter)), id="passage-text", lang="",
                   class_="passage")  # fmt: skip
    return section(
        "passage", "Where it is surprised",
        element("p", "The stronger the tint, the more bits a character cost, as the model had expected others."),
        element("ul", *scale, class_="scale", aria_label="Tints, in bits"),
        figure(text, f"{where}, read from a zero state{mean}. The first has no prediction."),
        element("output", "The surprise of each character is in its tooltip.", id="likeliest", class_="likeliest",
                aria_live="polite"),
        _surprising(letters),
    )  # fmt: skip


def _level_in_words(k: int) -> str:
    low = _BITS[k]
    return f"{low:g} bits or more" if k == len(_BITS) - 1 else f"{low:g} to {_BITS[k + 1]:g}"


def _tinted(letter: "Letter") -> Iterator[Element | str]:
    """A character with its facts; a line end is shown, and ends the line."""
    shown = in_line(letter.text) or "▯"
    tint = f"t{LEVELS.index(level_of(0.0 if math.isnan(letter.bits) else letter.bits))}"
    yield element("span", shown, class_=f"{tint} end" if "\n" in letter.text else tint, title=_facts(letter))
    if "\n" in letter.text:
        yield "\n"


def _facts(letter: "Letter") -> str:
    """`e: 2.10 bits`, and on a line each what was likeliest."""
    name = in_line(letter.text, True)
    if math.isnan(letter.bits):
        return f"{name}: nothing predicts it"
    return "\n".join([f"{name}: {letter.bits:.2f} bits", *_chances(letter)])


def _chances(letter: "Letter") -> list[str]:
    return [f"{in_line(name, True)} {percent(chance)}" for name, chance in letter.likeliest]


def _surprising(letters: "Sequence[Letter]") -> Element:
    """The characters that cost most, with what came before them and what was expected."""
    order = sorted((k for k, each in enumerate(letters) if each.bits > 0), key=lambda k: -letters[k].bits)
    rows = [
        (
            in_line("".join(each.text for each in letters[max(0, k - _CONTEXT) : k])),
            element("strong", in_line(letters[k].text, True)), f"{letters[k].bits:.2f}",
            element("span", *(element("span", each) for each in _chances(letters[k])), class_="chances"),
        )
        for k in order[:_SURPRISING]
    ]  # fmt: skip
    caption = f"The {len(rows)} characters that surprised it most"
    return table(caption, ("after", "came", "bits", "likeliest were"), rows, "context")


def scores_section(scores: "dict[str, Score]", reason: str) -> Element:
    """What the network is worth, beside methods without one."""
    made = section("baselines", "What the network is worth")
    if not scores:
        return add(made, element("p", f"There are no scores: {reason}."))
    longest = max(each.characters for each in scores.values())
    worst = max(each.loss for each in scores.values()) or 1.0  # of a vocabulary of one symbol all are 0
    rows = [
        (name, f"{each.bits_per_character:.4f}", f"{each.loss:.4f}", f"{each.perplexity:.3f}", _bar(each.loss / worst))
        for name, each in sorted(scores.items(), key=lambda item: item[1].loss)
    ]
    caption = f"Scores of {longest:,} characters of the validation part, the best first"
    headings = ("", "bits per character", "nats per character", "perplexity", "")
    error = scores["this model"].standard_error
    about = "" if math.isnan(error) else f"Standard error of this model's loss: {error:.4f} nats per character. "
    return add(
        made, table(caption, headings, rows),
        element("p", f"{about}The n-grams count in the training part, xz has read it.", class_="note"),
    )  # fmt: skip


def _bar(share: float) -> Element:
    bar = element("rect", width=f"{100 * share:.1f}", height=10)
    return element("svg", bar, class_="bar", viewBox="0 0 100 10", preserveAspectRatio="none", aria_hidden="true")


def card_section(card: "Card") -> Element:
    """Everything that defines the run."""
    corpus = card.config.without_paths().corpus
    held_out = f"{card.config.training.validation:.0%} held out for validation"
    shapes = [(t.name, " x ".join(map(str, t.shape)), f"{t.count:,}", f"{t.share:.1%}") for t in card.tensors]
    text = [
        ("from", ", ".join(corpus.sources) or "a place that is not known"),
        ("size", f"{count(corpus.characters, corpus.unit)}, {held_out}"),
        ("documents", corpus.documents), ("encoding", corpus.encoding), ("SHA-256", corpus.fingerprint),
    ]  # fmt: skip
    symbols = " ".join(in_line(symbol, True) for symbol in card.vocabulary.symbols)
    files = [(name, f"{size:,}") for name, size in card.files.items()]
    return section(
        "card", "The card",
        table(f"{count(card.parameters, 'parameter')}", ("tensor", "shape", "count", "share"), shapes),
        table("Training", ("setting", "value"), settings_in_words(card.config.training), "words"),
        table("Text", ("", ""), text, "words"),
        element("h3", f"Vocabulary: {symbols_in_words(card.vocabulary)}"),
        element("p", symbols, class_="symbols", lang=""),
        table("Files", ("file", "bytes"), files) if files else None,
    )  # fmt: skip
