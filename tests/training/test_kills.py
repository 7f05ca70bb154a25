"""A run that is killed, or whose saves fail, ends as one that never was. The long form: tests/benchmarks/faults.py."""

import random

import faults
import pytest


@pytest.mark.slow
def test_a_run_that_is_killed_and_resumed_is_the_run_that_never_was(tmp_path):
    killed, different = faults.kill_until_done(tmp_path, 3, 60, random.Random(1))
    assert killed and different == []


@pytest.mark.parametrize("seed", range(3))
def test_a_run_whose_saves_fail_is_the_run_whose_saves_never_did(tmp_path, seed):
    failed, different = faults.train_under_faults(tmp_path, 20, random.Random(seed), 0.05)
    assert failed and different == []
