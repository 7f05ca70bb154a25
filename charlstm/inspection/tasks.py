"""Texts that can only be continued rightly by who remembers: made on the spot, as many as are wanted.

Each example is a line. At one place of it, or a few, one of a few choices comes next, and which one depends on a
character that stands a known distance before; what stands between tells nothing of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

MIN_DISTANCE, MAX_DISTANCE = 8, 512  # about; distances in between are even on a log scale


class Example(NamedTuple):
    """A line; the offsets in it that are asked for; and how far before each of them its answer stands."""

    text: str
    places: list[int]
    distance: int


@dataclass(frozen=True)
class Task:
    """Each of the `choices` is right as often as the others, so guessing is right once in so many.

    `make(numbers, distance)` is an example whose answer stands at most so many characters before.
    """

    name: str
    about: str
    choices: str
    make: Callable[[Random, int], Example]

    @property
    def chance(self) -> float:
        """How often a guess is right."""
        return 1 / len(self.choices)


_LETTERS = "abcdefgh"
_COPIED = 3


def _copy(numbers: Random, distance: int) -> Example:
    """`dga......=dga`: some letters, filler, and after a mark the same letters again."""
    letters = "".join(numbers.choices(_LETTERS, k=_COPIED))
    before = letters + "." * (distance - _COPIED - 1) + "="
    return Example(f"{before}{letters}\n", [len(before) + k for k in range(_COPIED)], len(before))


_OPENING, _CLOSING = "([{<", ")]}>"


def _brackets(numbers: Random, distance: int) -> Example:
    """`[ab(c){d}e]`: a bracket that is closed at the end, and inside others that have been closed."""
    inside, kind = _balanced(numbers, distance - 1), numbers.randrange(len(_OPENING))
    return Example(f"{_OPENING[kind]}{inside}{_CLOSING[kind]}\n", [distance], distance)


def _balanced(numbers: Random, length: int) -> str:
    """Letters and brackets in pairs, at most three deep."""
    pieces, kinds = list[str](), list[int]()
    for left in range(length, 0, -1):
        if kinds and (left == len(kinds) or numbers.random() < 0.3):
            pieces.append(_CLOSING[kinds.pop()])
        elif left > len(kinds) + 1 and len(kinds) < 3 and numbers.random() < 0.15:
            kinds.append(numbers.randrange(len(_OPENING)))
            pieces.append(_OPENING[kinds[-1]])
        else:
            pieces.append(numbers.choice(_LETTERS))
    return "".join(pieces)


_NOUNS = "doctor", "judge", "baker", "sailor", "teacher", "farmer", "singer", "lawyer"
_VERBS = "saw", "met", "knew", "liked", "asked", "found"
_PREPOSITIONS = "near", "behind", "beside", "with"


def _agreement(numbers: Random, distance: int) -> Example:
    """`the doctors who the judge saw near the bakers have won`: the verb agrees with the first noun, and with no other.

    What is asked for is the letter that tells `has` from `have`; its answer is the one after `doctor`. The past tense
    of the verbs between does not tell one from several.
    """

    def noun() -> str:
        return numbers.choice(_NOUNS) + numbers.choice(("", "s"))

    subject = f"the {numbers.choice(_NOUNS)}"
    ending, verb = numbers.choice([("", "has"), ("s", "have")])
    between = ""
    while True:
        clause = f" who the {noun()} {numbers.choice(_VERBS)}"
        phrase = numbers.choice([clause, f" {numbers.choice(_PREPOSITIONS)} the {noun()}"])
        if len(f"{ending}{between}{phrase} ha") > distance:
            break
        between += phrase
    before = f"{subject}{ending}{between} ha"
    return Example(f"{before}{verb[2:]} won\n", [len(before)], len(before) - len(subject))


TASKS = (
    Task("copy", f"{_COPIED} letters, the same again after a delay", _LETTERS, _copy),
    Task("brackets", "which kind of bracket is closed", _CLOSING, _brackets),
    Task("agreement", "the doctor(s) who ... has or have won", "sv", _agreement),
)


class Question(NamedTuple):
    """Places in a text where one of the choices of the task number `task` comes next, decided `distance` before."""

    places: list[int]
    distance: int
    task: int


def make_text(numbers: Random, length: int, longest: int = MAX_DISTANCE) -> tuple[str, list[Question]]:
    """`length` characters, about as many of each task, with distances up to `longest`, and the questions in them."""
    lines, questions, total, written = list[str](), list[Question](), 0, [0] * len(TASKS)
    while total < length:
        number = written.index(min(written))
        distance = round(MIN_DISTANCE * (longest / MIN_DISTANCE) ** numbers.random())
        example = TASKS[number].make(numbers, distance)
        questions.append(Question([total + place for place in example.places], example.distance, number))
        lines.append(example.text)
        written[number] += len(example.text)
        total += len(example.text)
    if questions[-1].places[-1] >= length:
        questions.pop()
    return "".join(lines)[:length], questions
