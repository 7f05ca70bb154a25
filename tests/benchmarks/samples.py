"""How like real text samples are: `uv run python tests/benchmarks/samples.py RUN [--setting min_p=0.05]`.

For each setting, what it does not name being off, passages are drawn and measured beside passages of the same length
from the validation part:

- surprise: nats per character by a 7-gram of the training part. Less than real text has is too tame, more too wild.
- reverse: nats per character of the *validation part* by a 7-gram of what was drawn: what is missing there costs as
  much as what is wrong. Beside it stands the figure of a 7-gram of as much of the training part.
- invented: words, of all, that stand neither in the training nor in the validation part; of the validation part those
  that are not in the training part. The words that a passage begins and ends with do not count: they may be cut.
- distance: the mean of how far these three are from real text, either way: |ln ratio| of the perplexities, which is
  the difference of their nats, and of the shares.
- distinct, of words: 4-grams of a passage, of characters and of words, that are different ones, of all.
- repeated: 20-grams of characters that have occurred before in their passage.
- copied, longest: 20-grams of characters that stand in the training part, and the longest span that does.

`--read N` prints N passages of each setting instead.
"""

import argparse
import dataclasses
import json
import re
from collections.abc import Iterable, Sequence

import numpy as np

from charlstm import LanguageModel, load
from charlstm.evaluation.baseline import ORDER, kneser_ney
from charlstm.evaluation.novelty import novelty
from charlstm.runs.texts import own_text

NOTHING = {"temperature": 1.0, "min_p": 0.0}  # the model as it is, whatever `sample` does by default
GRID: list[dict[str, float]] = [
    *({"temperature": each} for each in (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)),
    *({"top_p": each} for each in (0.9, 0.95, 0.98)),
    *({"typical": each} for each in (0.9, 0.95)),
    *({"min_p": each} for each in (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.15)),
    *({"temperature": each, "top_p": most} for each, most in ((0.8, 0.95), (0.9, 0.95), (0.9, 0.98))),
    *({"temperature": 0.9, "min_p": each} for each in (0.01, 0.02, 0.05)),
    *({"temperature": 0.95, "min_p": each} for each in (0.02, 0.03, 0.05)),
    *({"temperature": 1.1, "min_p": each} for each in (0.05, 0.07, 0.1)),
    *(
        {"temperature": each, "min_p": least}
        for each, least in ((0.7, 0.02), (0.8, 0.02), (0.85, 0.02), (1.2, 0.1), (1.3, 0.15))
    ),
    {"temperature": 0.9, "typical": 0.95},
    {"temperature": 0.9, "repetition": 0.5},
    {"top_k": 10},
]
COLUMNS = {
    "surprise": "{:.3f}", "reverse": "{:.3f}", "invented": "{:.1%}", "distance": "{:.3f}", "distinct": "{:.1%}",
    "of words": "{:.1%}", "repeated": "{:.2%}", "copied": "{:.1%}", "longest": "{:.0f}",
}  # fmt: skip
LEAST = 0.001  # of invented words: smaller shares are taken for this one, as zero has no logarithm


@dataclasses.dataclass
class Text:
    """What samples are measured beside: at most `count` passages of each part of a model's own text."""

    model: LanguageModel
    training: np.ndarray
    validation: np.ndarray
    length: int
    count: int

    def __post_init__(self) -> None:
        self.V = len(self.model.vocabulary)
        self.real, self.learned = self._cut(self.validation), self._cut(self.training)
        self.training_words = set(words_of(self.text_of(self.training)))
        self.known_words = self.training_words | set(words_of(self.text_of(self.validation)))

    def text_of(self, ids: np.ndarray) -> str:
        """Ids as a text."""
        vocabulary = self.model.vocabulary
        return vocabulary.text_of(vocabulary.decode(ids))

    def _cut(self, ids: np.ndarray) -> np.ndarray:
        """Evenly spaced passages without an overlap: `[count, length]`."""
        starts = np.linspace(0, len(ids) - self.length, min(self.count, len(ids) // self.length)).astype(int)
        return ids[starts[:, None] + np.arange(self.length)]

    def draw(self, count: int, seed: int, setting: dict[str, float]) -> np.ndarray:
        """Passages that are sampled without a prompt: `[count, length]`."""
        samples = self.model.samples(count=count, length=self.length, seed=seed, **NOTHING | setting)
        return np.array([sample.ids for sample in samples], self.model.vocabulary.id_type)

    def surprise(self, passages: np.ndarray) -> float:
        """Nats per character, but for a passage's first characters, which have no context of their own."""
        nats = kneser_ney(self.training, passages.ravel(), self.V)
        return float(np.concatenate([[0.0], nats]).reshape(passages.shape)[:, ORDER - 1 :].mean())

    def reverse(self, passages: np.ndarray) -> float:
        """Nats per character of the validation part, by what stands in `passages`."""
        return float(kneser_ney(passages.ravel(), self.validation, self.V).mean())

    def invented(self, passages: np.ndarray) -> float:
        """The share of words that nobody knows."""
        known = self.training_words if passages is self.real else self.known_words
        return mean(word not in known for ids in passages for word in words_of(self.text_of(ids))[1:-1])

    def figures(self, passages: np.ndarray) -> dict[str, float]:
        """What the table says of `passages` `[count, length]`."""
        surprise, reverse, invented = self.surprise(passages), self.reverse(passages), self.invented(passages)
        texts = [self.text_of(ids) for ids in passages]
        copies = novelty(passages.ravel(), self.training, self.model.vocabulary)
        shares = [max(share, LEAST) for share in (invented, self.invented(self.real))]
        apart = surprise - self.surprise(self.real), reverse - self.reverse(self.learned), np.log(shares[0] / shares[1])
        return {
            "surprise": surprise,
            "reverse": reverse,
            "invented": invented,
            "distance": mean(map(abs, apart)),
            "distinct": mean(distinct(text, 4) for text in texts),
            "of words": mean(distinct(words_of(text)[1:-1], 4) for text in texts),
            "repeated": mean(1 - distinct(text, 20) for text in texts),
            "copied": 1 - copies.new_20_grams,
            "longest": copies.longest,
        }


def mean(values: Iterable[float]) -> float:
    """Of at least one value."""
    return float(np.mean(list(values)))


def row(name: str, figures: dict[str, float], left_out: Sequence[str] = ()) -> str:
    """A row of the table."""
    cells = ["" if column in left_out else form.format(figures[column]) for column, form in COLUMNS.items()]
    return f"| {' | '.join([name, *cells])} |"


def words_of(text: str) -> list[str]:
    """Words, without their case."""
    return re.findall(r"\w+(?:'\w+)*", text.lower())


def distinct(items: Sequence[str], n: int) -> float:
    """The share of the n-grams that are different ones."""
    grams = [tuple(items[i : i + n]) for i in range(len(items) - n + 1)]
    return len(set(grams)) / max(1, len(grams))


def read_setting(text: str) -> dict[str, float]:
    """`temperature=0.9,min_p=0.05`."""
    return {name: json.loads(value) for name, value in (pair.split("=") for pair in text.split(","))}


def in_words(setting: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', '-')} {value:g}" for name, value in setting.items())


def main() -> None:
    """Draw, measure and print a table, or print passages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--setting", type=read_setting, action="append", help="instead of the grid; may be repeated")
    parser.add_argument("--passages", type=int, default=200)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--read", type=int, default=0, metavar="N", help="print N passages of each setting")
    options = parser.parse_args()
    model = load(options.run)
    corpus, _ = own_text(model.weights)
    parts = map(np.asarray, corpus.split(model.config.training.validation))
    text = Text(model, *parts, options.length, options.passages)
    settings = options.setting or GRID
    if options.read:
        for setting in settings:
            for passage in text.draw(options.read, options.seed, setting):
                print(f"--- {in_words(setting)} ---\n{text.text_of(passage)}")
        return
    count = len(text.learned)
    print(f"{count} passages of {text.length:,} characters a setting, {len(text.real)} of the validation part\n")
    print(f"| | {' | '.join(COLUMNS)} |\n{'| --- ' * (1 + len(COLUMNS))}|")
    print(row("validation part", text.figures(text.real), left_out=["reverse", "distance"]))
    print(row("training part", text.figures(text.learned), left_out=["surprise", "distance", "copied", "longest"]))
    for setting in settings:
        print(row(in_words(setting), text.figures(text.draw(count, options.seed, setting))), flush=True)


if __name__ == "__main__":
    main()
