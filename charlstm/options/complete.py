"""What `complete` can be asked for."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from charlstm.options.shared import NETWORK_ALONE, Unknown
from charlstm.schema import check_options, check_text, from_one, option

To = Literal["word", "line"]


@dataclass(frozen=True)
class CompleteOptions:
    """Which continuations of a prompt are looked for.

    `state` is what `LanguageModel.read` returned: the prompt goes on there.
    """

    prompt: str = ""
    _: dataclasses.KW_ONLY
    top: int = option(10, "How many, the most probable ones.", bounds=from_one(1000))
    to: To = option("word", "Up to the end of the next word, or of the line.")
    expansions: int = option(
        4096, "Read at most this many beginnings of continuations; more find rarer ones.", bounds=from_one(16_384)
    )
    unknown: Unknown = option("error", "What to do with characters that the model does not know.")
    network_alone: bool = option(False, NETWORK_ALONE)
    state: Any = None

    def __post_init__(self) -> None:
        check_options(self)
        check_text("prompt", self.prompt)
