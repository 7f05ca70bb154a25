"""Reports and passages for TensorBoard; importing this without tensorboardX is a `ConfigError`."""

import shutil
from pathlib import Path

from charlstm.errors import ConfigError
from charlstm.events import Report

try:
    from tensorboardX import SummaryWriter
except ImportError as error:
    hint = "install it with `pip install 'charlstm[tensorboard]'`"
    raise ConfigError("--tensorboard needs tensorboardX", hint) from error


class Board:
    """Writes event files into `folder`, after those of a run that is resumed."""

    def __init__(self, folder: Path, resume: bool) -> None:
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)  # of the run that was overwritten
        self._writer = SummaryWriter(str(folder))

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

    def passage(self, step: int, text: str) -> None:
        """Add what the model wrote, as it stands."""
        self._writer.add_text("passage", "    " + text.replace("\n", "\n    "), step)

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()
