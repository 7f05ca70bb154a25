"""Texts that need memory, held against checkers that know nothing of how they are made."""

import re
from collections import Counter
from random import Random

import pytest

from charlstm.inspection.tasks import MAX_DISTANCE, TASKS, Example, make_text

DISTANCES = 8, 9, 20, 77, 512


def check_copy(line: str, example: Example) -> None:
    before, after = line.split("=")
    assert before[:3] == after and set(before[3:]) <= {"."}
    assert [line[place - example.distance] for place in example.places] == [line[place] for place in example.places]


def check_brackets(line: str, example: Example) -> None:
    (place,), left = example.places, line
    inside = line[1:-1]
    while (less := re.sub(r"\(\w*\)|\[\w*\]|\{\w*\}|<\w*>", "", inside)) != inside:
        inside = less
    assert re.fullmatch(r"\w*", inside)  # all that was opened inside is closed there
    assert line[place - example.distance] + line[place] in ("()", "[]", "{}", "<>") and left[place + 1 :] == ""


def check_agreement(line: str, example: Example) -> None:
    found = re.fullmatch(r"the [a-z]+?(s?)( who the .*| (near|behind|beside|with) the .*)? (has|have) won", line)
    assert found and (found[1] == "s") == (found[4] == "have")
    (place,) = example.places
    assert line[:place].endswith(" ha") and line[place - example.distance :].startswith("s") == (found[1] == "s")


CHECKS = {"copy": check_copy, "brackets": check_brackets, "agreement": check_agreement}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_example_is_right(task):
    numbers, right = Random(0), Counter[str]()
    for distance in DISTANCES * 60:
        example = task.make(numbers, distance)
        assert example.text.endswith("\n") and 0 < example.distance <= distance
        CHECKS[task.name](example.text[:-1], example)
        right.update(example.text[place] for place in example.places)
    assert set(right) == set(task.choices)
    # Binomial: a choice that is as likely as the others is 5 standard deviations off once in a million.
    total, share = sum(right.values()), task.chance
    assert all(abs(n - share * total) < 5 * (share * (1 - share) * total) ** 0.5 for n in right.values())


def test_what_stands_between_tells_nothing_of_the_verb():
    """Whoever agrees with the last noun is right half of the time."""
    numbers, agreeing = Random(1), []
    for _ in range(2000):
        line = TASKS[2].make(numbers, 100).text
        last = re.findall(r" the ([a-z]+)", line)[-1]
        agreeing.append(last.endswith("s") == (" have " in line))
    assert abs(sum(agreeing) - 1000) < 5 * 500**0.5


def test_a_text_has_questions_of_all_tasks_at_all_distances():
    text, questions = make_text(Random(2), 60_000)
    assert len(text) == 60_000
    for number, task in enumerate(TASKS):
        own = [question for question in questions if question.task == number]
        assert all(text[place] in task.choices for question in own for place in question.places)
        assert min(q.distance for q in own) < 16 and MAX_DISTANCE / 2 < max(q.distance for q in own) <= MAX_DISTANCE
        # Even on a log scale: about as many below the geometric mean of 8 and 512 as above.
        near = sum(question.distance <= 64 for question in own) / len(own)
        assert 0.4 < near < 0.65
    assert max(question.distance for question in make_text(Random(2), 20_000, 32)[1]) <= 32


def test_the_same_seed_makes_the_same_text():
    assert make_text(Random(3), 5000) == make_text(Random(3), 5000) != make_text(Random(4), 5000)
