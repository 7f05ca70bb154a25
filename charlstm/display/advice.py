"""What the curves of a finished run say, in plain language, and what to try next."""

from collections.abc import Sequence
from typing import Any

from charlstm.config import RunConfig
from charlstm.errors import setting

# Nats per character. Twenty validations of a run differ by less than 0.005 from noise alone, so twice as much is news.
_NEWS = 0.01
_NARROW, _WIDE = 0.06, 0.25  # gaps between validation and training loss
# For about so many epochs a text is as good as new (Muennighoff et al. 2023): a gap that is wide before that does not
# come from overfitting, but from a validation part that is unlike the rest.
_FRESH_EPOCHS = 4


def advise(reports: Sequence[dict[str, Any]], config: RunConfig) -> str:
    """One or two sentences about the reports of metrics.jsonl; empty where they say nothing."""
    validations = [(r["step"], r["validation_loss"]) for r in reports if r["validation_loss"] is not None]
    if len(validations) < 2 or reports[-1]["loss"] is None:
        return ""
    best_step, best = min(validations, key=lambda each: each[1])
    last_step, last = validations[-1]
    gap = last - reports[-1]["loss"]
    higher_dropout = setting("dropout", f"{min(0.7, config.model.dropout + 0.15):.2g}")
    if last > best + _NEWS:
        return (
            f"Overfitting since step {best_step:,}: the validation loss rose from {best:.3f} to {last:.3f} while the "
            f"training loss fell on. The weights of step {best_step:,} are kept. More text helps most; else try "
            f"{higher_dropout} or a smaller {setting('hidden_size')}."
        )
    if config.training.minutes and last_step >= config.training.steps and gap <= _WIDE:
        return "Learned well, in as many epochs as pay: more text would help now, more time would not."
    minutes = config.training.minutes
    longer = setting("minutes", f"{2 * minutes:g}") if minutes else setting("steps", 2 * last_step)
    if gap < _NARROW:
        return (
            f"Still improving: the validation loss is within {max(gap, 0):.2f} of the training loss, so the text has "
            f"more to teach. Try {longer}: the model grows with the time it is given."
        )
    if gap > _WIDE and reports[-1]["epoch"] < _FRESH_EPOCHS:
        return (
            f"The validation part, the end of the text, is unlike the rest: its loss is {gap:.2f} nats above the "
            f"training loss, after {reports[-1]['epoch']:.2g} epochs. {longer} would still gain."
        )
    if gap > _WIDE:
        return (
            f"The text is small for this model: it knows its training part {gap:.2f} nats better than new text. More "
            f"text helps most; {higher_dropout} may help a little; more time will not."
        )
    return f"Learned well, without overfitting. {longer} would gain a little more."
