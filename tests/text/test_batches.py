"""Windows: every pair once an epoch, streams without a gap, and nothing to remember."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charlstm.text.batches import Windows

SHAPES = st.tuples(st.integers(2, 300), st.integers(1, 7), st.integers(1, 9))


def windows_of(shape: tuple[int, int, int]) -> Windows:
    length, streams, window = shape
    return Windows(np.arange(length, dtype=np.uint16), streams, window)


@given(SHAPES, st.integers(0, 50))
def test_targets_are_the_characters_that_follow(shape, step):
    inputs, targets = windows_of(shape).window(step)
    assert inputs.shape == targets.shape == (shape[2], shape[1])
    np.testing.assert_array_equal(targets, inputs + 1)


@given(SHAPES, st.integers(0, 50))
def test_every_stream_goes_on_where_it_was(shape, step):
    windows = windows_of(shape)
    _, targets = windows.window(step)
    following, _ = windows.window(step + 1)
    pairs = shape[0] - 1
    np.testing.assert_array_equal(following[0], targets[-1] % pairs)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5))
def test_an_epoch_reads_every_pair_exactly_once(streams, window, steps):
    windows = Windows(np.arange(streams * window * steps + 1, dtype=np.uint16), streams, window)
    read = np.concatenate([windows.window(step)[0].ravel() for step in range(steps)])
    assert sorted(read.tolist()) == list(range(streams * window * steps))
    assert windows.epoch(steps) == 1


@given(SHAPES)
def test_no_pair_is_read_twice_before_its_time_nor_left_out(shape):
    """Also where the streams do not divide the text: their shares differ by one pair at most."""
    length, streams, _ = shape
    windows = Windows(np.arange(length, dtype=np.uint16), streams, 1)
    share, rest = divmod(length - 1, streams)
    inputs = [windows.window(step)[0].ravel() for step in range(share + bool(rest))]
    early = np.concatenate([*inputs[:share], np.zeros(0, int)])
    assert len(set(early.tolist())) == len(early)
    assert set(np.concatenate(inputs).tolist()) == set(range(length - 1))


@given(SHAPES)
def test_every_stream_reads_the_whole_ring_in_turn(shape):
    length, streams, window = shape
    windows = windows_of(shape)
    read = np.concatenate([windows.window(step)[0] for step in range(length - 1)])  # window times round
    for stream in range(streams):
        assert (np.bincount(read[:, stream], minlength=length - 1) == window).all()


def test_places_far_into_a_long_run_are_exact():
    windows = Windows(np.arange(252, dtype=np.uint8), 3, 4)
    inputs, _ = windows.window(10**12 + 7)
    assert inputs[:, 0].tolist() == [(4 * (10**12 + 7) + t) % 251 for t in range(4)] and inputs.dtype == np.uint8


def test_a_dispatch_holds_the_windows_of_its_steps_and_nothing_behind():
    windows = windows_of((100, 3, 4))
    inputs, targets = windows.windows(5, count=2, max_steps=4)
    for k in range(2):
        np.testing.assert_array_equal((inputs[k], targets[k]), windows.window(5 + k))
    assert not inputs[2:].any() and not targets[2:].any()
