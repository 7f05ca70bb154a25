"""The picture of quality.py: loss against minutes, as an SVG that is light or dark as its reader's screen is."""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np

from charlstm.display.page import element
from charlstm.display.svg import Axis

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 706, 12, 346  # of the field
TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600]  # minutes
MARGIN = 0.06  # nats below the best loss and above the highest level
# On tiny Shakespeare, the same split, as its README has them.
NANOGPT = {"nanoGPT, 3 minutes of a CPU": 1.88, "nanoGPT, 3 minutes of an A100": 1.4697}
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #555 }
.x, .score { text-anchor: middle } .y, .of { text-anchor: end }
.score { font-weight: 600; fill: #0a58ca } .of { fill: #8f4a00 }
path { fill: none; stroke: #888 } circle { fill: #0a58ca }
.grid { stroke-opacity: .25 } .level { stroke: #d08030; stroke-dasharray: 6 4 }
.curve { stroke: #4d8fe8; stroke-width: 1.6; stroke-opacity: .7; stroke-linejoin: round }
@media (prefers-color-scheme: dark) {
text { fill: #bbb } .score { fill: #79b8ff } circle { fill: #79b8ff } .of { fill: #f0b070 }
}
"""


def draw(runs: Sequence[dict[str, Any]]) -> str:
    """The learning curve of each run, the score of those that had as many minutes, their mean, and what others reach.

    `runs` are the lines that quality.py writes: `curve` has pairs of minutes and loss, `losses` the final ones.
    """
    levels = NANOGPT | {"7-gram": runs[0]["losses"]["7-gram"]}
    losses = [run["losses"]["static"] for run in runs]
    x = Axis("minutes of training", 0.1, 1.25 * max(run["seconds"] for run in runs) / 60, log=True)
    y = Axis("validation loss (nats per character)", min(losses) - MARGIN, max(levels.values()) + MARGIN)

    def across(minutes: float) -> float:
        return round(LEFT + x.place(minutes) * (RIGHT - LEFT), 1)

    def down(loss: float) -> float:
        return round(BOTTOM - y.place(loss) * (BOTTOM - TOP), 1)

    def text(kind: str, left: float, top: float, words: str, **more: str) -> ElementTree.Element:
        return element("text", words, x=left, y=top, class_=kind, **more)

    parts: list[ElementTree.Element] = []
    for tick in (tick for tick in TICKS if x.low <= tick <= x.high):
        parts.append(element("path", d=f"M{across(tick)} {TOP}V{BOTTOM}", class_="grid"))
        parts.append(text("x", across(tick), BOTTOM + 20, f"{tick:g}"))
    for tick in y.ticks():
        parts.append(element("path", d=f"M{LEFT} {down(tick)}H{RIGHT}", class_="grid"))
        parts.append(text("y", LEFT - 8, down(tick) + 4, f"{tick:.1f}"))
    for name, loss in levels.items():
        parts.append(element("path", d=f"M{LEFT} {down(loss)}H{RIGHT}", class_="level"))
        parts.append(text("of", RIGHT - 6, down(loss) - 6, f"{name}: {loss:.3f}"))
    for run in runs:
        curve = [(minutes, loss) for minutes, loss in run["curve"] if minutes >= x.low and loss <= y.high]
        line = "L".join(f"{across(minutes)} {down(loss)}" for minutes, loss in curve)
        parts.append(element("path", d=line and f"M{line}", class_="curve"))
        parts.append(element("circle", cx=across(run["seconds"] / 60), cy=down(run["losses"]["static"]), r="3.5"))
    for minutes in dict.fromkeys(run["minutes"] for run in runs):
        those = [run for run in runs if run["minutes"] == minutes]
        time = np.mean([run["seconds"] for run in those]) / 60
        loss = np.mean([run["losses"]["static"] for run in those])
        parts.append(text("score", across(time), down(loss) + 20, f"{loss:.3f}"))
    middle = (TOP + BOTTOM) / 2
    parts.append(text("x", (LEFT + RIGHT) / 2, HEIGHT - 10, x.label))
    parts.append(text("x", 16, middle, y.label, transform=f"rotate(-90 16 {middle:g})"))
    about = "; ".join(f"{run['seconds'] / 60:.1f} minutes: {run['losses']['static']:.4f}" for run in runs)
    head = [element("title", "Loss against minutes of training"), element("desc", about), element("style", STYLE)]
    picture = element(
        "svg", *head, *parts,
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {HEIGHT}", width=WIDTH, height=HEIGHT, role="img",
    )  # fmt: skip
    ElementTree.indent(picture)
    return ElementTree.tostring(picture, "unicode") + "\n"
