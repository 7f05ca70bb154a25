"""What a prediction rests on, on a terminal: the characters before it, tinted by what they contribute."""

import math
from typing import TYPE_CHECKING

from charlstm.display.console import percent, result, show
from charlstm.display.signed import show_legend, show_signed, signed_scale
from charlstm.display.visible import visible_in_line

if TYPE_CHECKING:
    from charlstm.inspection.attribution import Attribution
    from charlstm.inspection.painting import Tinted

SMALL = 0.02  # nats
NATS = signed_scale("nats for it, or below 0 against it", SMALL, 0.1, 0.5)


def show_attributions(found: "list[Attribution]") -> None:
    """Both answers for each prediction."""
    for number, each in enumerate(found):
        if number:
            show()
        result(headline(each))
        show_legend(NATS)
        for title, text in rows(each):
            show()
            result(title)
            show_signed(text, NATS)


def headline(found: "Attribution") -> str:
    """Of what the prediction is."""
    why = "comes next" if found.is_next else "is the likeliest next"
    place = f"after character {found.at:,} of {found.where}"
    chance = f"{percent(math.exp(found.log_probability))}, {found.log_probability:.3f} nats"
    return f"'{visible_in_line(found.target)}' {why}, {place}: {chance}"


def rows(found: "Attribution") -> "list[tuple[str, list[Tinted]]]":
    """Each way to explain it with the sum of its numbers."""
    ways = {"gradient x input": found.gradient_x_input, "leaving each character out": found.left_out}
    return [(f"{name}: {_total(text):+.3f} nats in all", text) for name, text in ways.items()]


def _total(text: "list[Tinted]") -> float:
    return math.fsum(each.value for each in text if not math.isnan(each.value))
