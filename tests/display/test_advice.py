"""Advice: what each shape of the curves is said to mean."""

from dataclasses import replace

import pytest

from charlstm.display.advice import advise
from charlstm.display.console import as_flag
from charlstm.errors import worded


def said(run, losses, validations, epochs=10.0, **training):
    """The advice after reports of these training and validation losses, ten steps apart."""
    config = replace(run.config, training=replace(run.config.training, **training))
    count = len(losses)
    reports = [
        {"step": 10 * k, "epoch": epochs * k / count, "loss": loss, "validation_loss": validation}
        for k, (loss, validation) in enumerate(zip(losses, validations, strict=True), 1)
    ]
    return worded(advise(reports, config), as_flag)


@pytest.mark.parametrize(
    ("losses", "validations", "message"),
    [
        ([2.0, 1.5, 1.0], [2.1, 1.8, 1.9], "Overfitting since step 20"),
        ([2.0, 1.5, 1.4], [2.1, 1.5, 1.42], "Still improving"),
        ([2.0, 1.5, 1.0], [2.1, 1.5, 1.40], "The text is small for this model"),
        ([2.0, 1.5, 1.3], [2.1, 1.5, 1.42], "Learned well, without overfitting"),
    ],
)
def test_a_curve_is_read(make_run, losses, validations, message):
    assert said(make_run(), losses, validations).startswith(message)


def test_more_time_is_not_advised_to_a_run_that_read_all_it_may(make_run):
    curves = [2.0, 1.5, 1.4], [2.1, 1.5, 1.42]
    assert "`--minutes 10`" in said(make_run("long"), *curves, minutes=5.0, steps=31)
    assert "more text would help" in said(make_run("short"), *curves, minutes=5.0, steps=30)


def test_a_gap_after_two_epochs_is_not_overfitting(make_run):
    curves = [2.0, 1.5, 1.0], [2.1, 1.5, 1.40]
    assert said(make_run("seldom"), *curves, epochs=2.2).startswith(
        "The validation part, the end of the text, is unlike"
    )
    assert said(make_run("often"), *curves, epochs=8.0).startswith("The text is small")


def test_one_validation_says_nothing(make_run):
    assert said(make_run(), [2.0], [2.1]) == ""
