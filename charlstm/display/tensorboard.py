"""Reports, samples and gates for TensorBoard; importing this without tensorboardX is a `ConfigError`."""

from pathlib import Path
from typing import TYPE_CHECKING

from charlstm.display.visible import visible
from charlstm.errors import ConfigError, setting
from charlstm.events import Report

try:
    from tensorboardX import SummaryWriter
except ImportError as error:
    hint = "install it with `pip install 'charlstm[tensorboard]'`"
    raise ConfigError(f"{setting('tensorboard')} needs tensorboardX", hint) from error

if TYPE_CHECKING:
    from charlstm.inspection.gates import Gates


class Board:
    """Writes event files into `folder`; of those of a run that is resumed, what came after `step` no longer counts."""

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def show(self, report: Report) -> None:
        """Add the figures of a report."""
        figures = {
            "loss/training": report.loss,
            "loss/validation": report.validation_loss,
            "learning rate": report.learning_rate,
            "gradient norm": report.gradient_norm,
            "characters per second": report.characters_per_second,
        }
        for name, value in figures.items():
            if value is not None:
                self._writer.add_scalar(name, value, report.step)

    def sample(self, step: int, text: str) -> None:
        """Add a sample, as it stands; of bytes that are no text, their escapes."""
        self._writer.add_text("sample", "    " + visible(text).replace("\n", "\n    "), step)

    def gates(self, step: int, gates: "Gates") -> None:
        """Add a histogram of each gate of each layer, over all units and characters; in an RNN of the hidden state."""
        for number, layer in gates.layers.items():
            for name in layer.closed or ("hidden",):
                self._writer.add_histogram(f"layer {number}/{name}", layer.arrays[name], step)

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()
