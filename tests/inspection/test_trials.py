"""Questions of memory put to who knows, to who guesses, and to who forgets."""

from random import Random

import numpy as np
import pytest

from charlstm.inspection.memory import LIMITS, Answers, Recall, ask
from charlstm.inspection.tasks import TASKS, make_text


@pytest.fixture(scope="module")
def texts():
    """Texts with questions, and their alphabet."""
    numbers = Random(0)
    texts = [make_text(numbers, 4000) for _ in range(24)]
    return texts, sorted(set("".join(text for text, _ in texts)))


def test_who_knows_is_right_and_who_guesses_is_right_by_chance(texts):
    numbers = np.random.default_rng(0)
    known = ask(*texts, lambda ids: np.eye(len(texts[1]))[ids])
    guessed = ask(*texts, lambda ids: numbers.random((*ids.shape, len(texts[1]))))
    asked = 0
    for task, right, guess in zip(TASKS, known, guessed, strict=True):
        assert (right.reach, guess.reach) == (LIMITS[-1], 0)
        for of_right, of_guess in zip(right.answers, guess.answers, strict=True):
            assert of_right.right == of_right.count == of_guess.count > 0
            # Five standard deviations: a false alarm in 100,000 runs, and the seed is fixed.
            assert abs(of_guess.accuracy - task.chance) < 5 * (task.chance * (1 - task.chance) / of_guess.count) ** 0.5
            asked += of_right.count
    assert asked == sum(len(question.places) for _, questions in texts[0] for question in questions)


def test_who_forgets_after_some_distance_reaches_no_further(texts):
    """A reader who knows each character but those whose answer is more than 64 away."""
    known = {
        (place, number): question.distance <= 64
        for number, (_, questions) in enumerate(texts[0])
        for question in questions
        for place in question.places
    }

    def scores(ids: np.ndarray) -> np.ndarray:
        found = np.eye(len(texts[1]))[ids]
        for (place, number), is_known in known.items():
            found[place, number] *= 1 if is_known else -1
        return found

    assert [recall.reach for recall in ask(*texts, scores)] == [64, 64, 64]


@pytest.mark.parametrize(
    ("right", "reach"), [([9, 9, 9], 64), ([9, 6, 9], 16), ([6, 9, 9], 0), ([10, 7, 3], 32)], ids=str
)
def test_the_reach_ends_where_less_than_half_of_what_chance_leaves_is_right(right, reach):
    answers = [Answers(limit, each, 10, 10) for limit, each in zip((16, 32, 64), right, strict=True)]
    assert Recall("copy", "", 0.25, answers).reach == reach
