"""Every file of a run, damaged anywhere: noticed, or without effect. The long form is in tests/benchmarks/faults.py."""

import random

import faults


def test_damage_is_noticed_or_without_effect(tmp_path):
    cases, unnoticed = faults.damage_files(tmp_path, 204, random.Random(0))
    assert cases > 160 and unnoticed == []
