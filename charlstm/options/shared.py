"""Names and types that several options have in common."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

# How texts are cut into documents, and what then stands between these; any other name is taken for a separator.
DOCUMENTS = {"whole": "", "files": "", "lines": "\n", "blank-lines": "\n\n"}

Cell = Literal["lstm", "gru", "rnn"]
Unit = Literal["character", "byte"]
Unknown = Literal["error", "skip"]
Precision = Literal["float32", "bfloat16"]
PrecisionOption = Literal["float32", "bfloat16", "auto"]
Optimizer = Literal["muon", "adamw"]
Texts = str | Path | Sequence[str | Path]
OnProgress = Callable[[str, int, int], None]  # told what is done, how much of it, and of how much: 0 if unknown

BUNDLED = "salt-road"  # the text that comes with the program
DEFAULT_MINUTES = 3.0

GROUP_TEXT = "Text"
NETWORK_ALONE = "Leave out the counts of n-grams that stand beside the network."
