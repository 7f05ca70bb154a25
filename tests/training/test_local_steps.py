"""Local steps and their averaging, in threads instead of processes; real ones are in tests/cli/test_hosts.py."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

from charlstm.config import ModelConfig, TrainingConfig
from charlstm.runtime.hosts import ALONE, Hosts
from charlstm.text.batches import Windows
from charlstm.training import local_steps
from charlstm.training.averaging import outer_step
from charlstm.training.local_steps import LocalStepper, make_stepper
from charlstm.training.optimizer import Schedule
from charlstm.training.steps import Stepper, initial_state

SCHEDULE = Schedule(5e-3, 2, 20)
SECONDS = 300  # after which a thread is waited for in vain


class Post:
    """What is given, until it is taken; those who are lost give nothing."""

    def __init__(self) -> None:
        self.given: dict[tuple[int, str], bytes] = {}
        self.lost: dict[int, str] = {}
        self.arrived = threading.Condition()


class Thread(Hosts):
    """One of several processes, which is a thread."""

    def __init__(self, post: Post, process: int, processes: int) -> None:
        self.post, self.process, self.processes, self.round = post, process, processes, 0

    @property
    def left_out(self) -> dict[int, str]:
        return self.post.lost

    def begin_round(self) -> None:
        self.round += 1

    def give(self, name: str, data: bytes) -> None:
        with self.post.arrived:
            self.post.given[self.round, name] = data
            self.post.arrived.notify_all()

    def take(self, name: str, giver: int = 0) -> bytes | None:
        key = self.round, name
        with self.post.arrived:
            assert self.post.arrived.wait_for(lambda: key in self.post.given or giver in self.post.lost, SECONDS)
            return None if giver in self.post.lost else self.post.given[key]


def in_threads(count: int, work: Callable[[Hosts], object]) -> list:
    """What comes of `work` in each of so many processes."""
    post = Post()
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, (Thread(post, number, count) for number in range(count))))


@pytest.fixture
def settings(make_run) -> tuple[ModelConfig, TrainingConfig]:
    """With dropout of units and weights; the outer optimizer takes the mean."""
    config = make_run(batch_size=8, average_every=2).config
    return config.model, config.training


def stepper_of(hosts: Hosts, settings: tuple[ModelConfig, TrainingConfig], ids: np.ndarray) -> Stepper:
    model, training = settings
    windows = Windows(ids, training.batch_size, 16, hosts.own(training.batch_size))
    return make_stepper(model, training, windows, initial_state(model, training), hosts)


def make(stepper: Stepper, first: int, count: int) -> None:
    for step in range(first, first + count):
        stepper.dispatch(step, 1, SCHEDULE)


def numbers(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.device_get(tree))])


def test_after_an_averaging_all_have_the_parameters_that_the_outer_step_makes(settings, corpus):
    def work(hosts: Hosts):
        stepper = stepper_of(hosts, settings, corpus.ids)
        first = numbers(stepper.params)
        make(stepper, 0, 2)
        apart = numbers(stepper.params)
        done = stepper.average()
        return first, apart, numbers(stepper.params), done

    ends = in_threads(2, work)
    (first, one, together, done), (_, other, also, _) = ends
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(together, also)
    expected, _ = outer_step(first, np.zeros_like(first), [first - one, first - other])
    np.testing.assert_array_equal(together, expected)
    assert done.steps == 4  # of both


@pytest.mark.slow
def test_two_processes_that_read_the_same_end_where_one_does(settings, corpus, monkeypatch):
    model, training = replace(settings[0], dropout=0.0, weight_drop=0.0), settings[1]
    monkeypatch.setattr(local_steps, "outer_step", partial(outer_step, rate=1.0, decay=0.0))
    half = corpus.ids[: len(corpus.ids) // 2]
    ids = np.concatenate([half, half, half[:1]])  # stream b + 4 reads what stream b does

    def work(hosts: Hosts) -> tuple[np.ndarray, np.ndarray]:
        stepper = stepper_of(hosts, (model, training), ids)
        for first in (0, 2, 4):
            make(stepper, first, 2)
            stepper.average()
        return numbers(stepper.params), numbers(stepper.whole_state().states)

    (both, states), _ = in_threads(2, work)
    alone = Stepper(
        model,
        replace(training, batch_size=4),
        Windows(ids, 8, 16, range(4)),
        initial_state(model, replace(training, batch_size=4)),
    )
    make(alone, 0, 6)
    alone.collect(0)
    np.testing.assert_allclose(both, numbers(alone.params), atol=1e-5)
    assert states.size == 2 * numbers(alone.state.states).size


def test_masks_are_those_of_the_streams_as_if_all_were_read_together(settings, corpus):
    """The gradient of a step is then the mean of those of its halves; and so is what plain steps move by, nearly."""
    model, training = settings
    states = [
        numbers(found.states)
        for found in in_threads(2, lambda hosts: first_step(stepper_of(hosts, settings, corpus.ids)))
    ]
    whole = Stepper(model, training, Windows(corpus.ids, 8, 16), initial_state(model, training))
    expected = jax.tree.leaves(jax.device_get(first_step(whole).states))
    np.testing.assert_allclose(np.concatenate([each.ravel() for each in expected]), states[0], atol=1e-5)


def first_step(stepper: Stepper):
    make(stepper, 0, 1)
    return stepper.whole_state()


def test_who_is_lost_is_left_out_of_the_mean_and_its_states_are_zeros(settings, corpus):
    post = Post()

    def leads(hosts: Hosts):
        stepper = stepper_of(hosts, settings, corpus.ids)
        first = numbers(stepper.params)
        make(stepper, 0, 2)
        own = numbers(stepper.params)
        post.lost[1] = "gone"
        stepper.average()
        return first, own, numbers(stepper.params), jax.device_get(stepper.whole_state().states)

    first, own, after, states = leads(Thread(post, 0, 2))
    np.testing.assert_array_equal(after, outer_step(first, np.zeros_like(first), [first - own])[0])
    for leaf in jax.tree.leaves(states):
        assert leaf[:4].any() and not leaf[4:].any()


def test_alone_it_goes_on_from_a_saved_state_bit_for_bit(settings, corpus):
    stepper = stepper_of(ALONE, settings, corpus.ids)
    make(stepper, 0, 2)
    stepper.average()
    saved = jax.device_get(stepper.whole_state())
    make(stepper, 2, 2)
    stepper.average()
    expected = jax.device_get(stepper.whole_state())
    assert np.asarray(saved.momentum).any()
    again = stepper_of(ALONE, settings, corpus.ids)
    again.go_on_from(saved)
    make(again, 2, 2)
    again.average()
    np.testing.assert_array_equal(numbers(again.whole_state()), numbers(expected))


def test_averaging_again_without_steps_changes_nothing(settings, corpus):
    stepper = stepper_of(ALONE, settings, corpus.ids)
    assert isinstance(stepper, LocalStepper)
    make(stepper, 0, 1)
    stepper.average()
    before = numbers(stepper.params)
    assert not stepper.average().steps
    np.testing.assert_array_equal(numbers(stepper.params), before)
