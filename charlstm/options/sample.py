"""What `sample` can be asked for."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlstm.errors import ConfigError, setting
from charlstm.options.shared import NETWORK_ALONE, Unknown
from charlstm.schema import ABOVE_ZERO, COUNT, UP_TO_ALL, Bounds, check_options, check_text, from_one, option

_PROMPT, _ENDS, _SAMPLING, _SAMPLES = "Prompt", "Ends", "Sampling", "Several samples"


@dataclass(frozen=True)
class SampleOptions:
    """How a text is sampled; without a seed, one is drawn.

    First comes what may be sampled at all (`only`, `ban`), then `repetition`, then the filters in the order
    temperature, top-k, top-p, min-p, typical. `state` is what `LanguageModel.read` returned: the prompt goes on there.
    """

    prompt: str = ""
    _: dataclasses.KW_ONLY
    unknown: Unknown = option("error", "What to do with characters that the model does not know.", _PROMPT)
    dynamic: bool = option(
        False,
        "Learn from the prompt before going on from it: for long ones, such as a chapter. Needs the model's own text, "
        "and leaves the saved weights as they are.",
        _PROMPT,
    )
    network_alone: bool = option(False, NETWORK_ALONE, _SAMPLING)
    length: int = option(
        1000, "Characters to sample, not counting the prompt; 0: endless.", _ENDS, Bounds(0, 2**62, "0 or above")
    )
    until: str | list[str] | None = option(
        None, "End with the first occurrence of this text; may be given several times.", _ENDS, unset="not done"
    )
    lines: int = option(0, "End with this many line ends; 0: not done.", _ENDS, UP_TO_ALL)
    # Temperature 1 and min-p 0.01 come nearest to real text, with counts: tests/benchmarks/RESULTS.md.
    temperature: float = option(
        1.0, "Below 1 safer, above 1 wilder; 0 always takes the most likely character.", _SAMPLING,
        Bounds(0, 1e6, "from 0 to 1000000"),
    )  # fmt: skip
    top_k: int = option(0, "Sample among the k most likely characters only; 0: among all.", _SAMPLING, UP_TO_ALL)
    top_p: float = option(
        1.0, "Sample among the most likely characters that together have this probability.", _SAMPLING,
        Bounds(ABOVE_ZERO, 1, "above 0, up to 1"),
    )  # fmt: skip
    min_p: float = option(
        0.01, "Sample only what is at least this fraction as likely as the most likely character; 0: all.", _SAMPLING,
        Bounds(0, 1, "from 0 to 1"),
    )  # fmt: skip
    typical: float = option(
        1.0, "Sample among the characters nearest to the expected surprise that together have this probability.",
        _SAMPLING, Bounds(ABOVE_ZERO, 1, "above 0, up to 1"),
    )  # fmt: skip
    repetition: float = option(
        0.0,
        "Make a character that would prolong a copy less likely, by so many nats for each character beyond 12 that "
        "this copies of the last 512; 1 ends loops.",
        _SAMPLING, Bounds(0, 1e6, "from 0 to 1000000"),
    )  # fmt: skip
    only: str | None = option(
        None,
        "Sample these only, separated by commas: letters, upper, lower, digits, punctuation, spaces, newlines, ascii, "
        "or the characters themselves, if need be in quotes.",
        _SAMPLING, unset="everything",
    )  # fmt: skip
    ban: str | None = option(None, "Never sample these; written like --only.", _SAMPLING, unset="nothing")
    seed: int | None = option(
        None, "Seed of the random numbers.", _SAMPLING, Bounds(0, 2**32 - 1, "from 0 to 4294967295"), "drawn and shown"
    )
    documents: int | None = option(
        None, "End after so many documents, however long they are, instead of --length.", _ENDS, COUNT
    )
    novel: bool = option(False, "With --documents: leave out those that stand in the model's own text.", _ENDS)
    own_text: Path | str | None = option(
        None,
        "With --novel, --novelty or --dynamic: where the model's own text is now, if it has moved.",
        _ENDS,
        unset="where it was",
    )
    state: Any = None

    def __post_init__(self) -> None:
        check_options(self)
        check_text("prompt", self.prompt)
        if "" in self.ends:
            raise ConfigError(f"{setting('until')} is empty, and would end every text at once", "name what ends it")
        for name in ("only", "ban"):
            if getattr(self, name) == "":
                raise ConfigError(f"{setting(name)} is empty", "name classes or characters, or leave it out")
        if self.novel and not self.documents:
            raise ConfigError(f"{setting('novel', True)} is for {setting('documents')}, which is not given")
        if self.own_text and not (self.novel or self.dynamic):
            raise ConfigError(
                f"{setting('own_text')} is for {setting('novel')} or {setting('dynamic')}, not given here"
            )
        if self.dynamic and self.state is not None:
            raise ConfigError(
                f"{setting('dynamic', True)} learns from a prompt, of which {setting('state')} keeps only what the "
                "saved weights made of it",
                "give the prompt itself",
            )

    @property
    def ends(self) -> list[str]:
        """The texts of `until`."""
        return [self.until] if isinstance(self.until, str) else self.until or []

    @property
    def is_endless(self) -> bool:
        """Whether nothing but an interrupt ends the text."""
        return not (self.length or self.ends or self.lines or self.documents)


@dataclass(frozen=True)
class SamplesOptions(SampleOptions):
    """How many texts are sampled at once: `count` of each of the `prompts` or, if there are none, of the one `prompt`.

    The first text of all has the seed `seed`, the next one `seed` + 1, and so on.
    """

    count: int = option(
        1,
        "Samples of each prompt; the first has the seed --seed, the next one a seed larger by 1, and so on.",
        _SAMPLES,
        from_one(65_536),
    )
    prompts: Sequence[str] = dataclasses.field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.prompts, str):
            raise ConfigError(f"prompts is {self.prompts!r}, but must be a list of strings")
        for prompt in self.prompts:
            check_text("a prompt", prompt)
        if self.is_endless and max(1, len(self.prompts)) * self.count > 1:
            raise ConfigError(f"{setting('length', 0)} is endless, and can be of one sample only", "give it an end")
