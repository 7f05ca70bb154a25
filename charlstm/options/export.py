"""What an export can be asked for."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from charlstm.errors import ConfigError
from charlstm.schema import check_options, option


@dataclass(frozen=True)
class ExportOptions:
    """The file of a model for other programs, and how it has the weights."""

    path: Path | str
    _: dataclasses.KW_ONLY
    int8: bool = option(False, "Keep weights in 8 bits: a quarter of the size, for some 0.0001 nats per character.")
    overwrite: bool = option(False, "Replace files that are there already.")

    def __post_init__(self) -> None:
        check_options(self)
        if not str(self.path).endswith(".onnx"):
            raise ConfigError(f"the name {self.path} does not end in .onnx", "as that of model.onnx does")
