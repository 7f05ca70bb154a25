"""Closing what the user left open, by measuring the machine and the very steps that are chosen for it."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from charlstm.config import ModelConfig, TrainingConfig
from charlstm.errors import ConfigError, setting
from charlstm.options import Precision, TrainOptions
from charlstm.runtime.hosts import ALONE, Hosts
from charlstm.runtime.memory import available_memory
from charlstm.training.choices import SIZES, Plan, choose, is_timed
from charlstm.training.division import idle_devices, in_parts, to_fit
from charlstm.training.footprint import require_step_memory, step_memory
from charlstm.training.machine import Machine, measure_machine, training_speed

_MEASUREMENTS, _MEASURED_SECONDS = 3, 0.4


def resolve(
    options: TrainOptions,
    characters: int,
    vocabulary_size: int,
    devices: int,
    based_on: ModelConfig | None = None,
    machine: Machine | None = None,
    rare: int = 0,
    measure: Callable[[ModelConfig, TrainingConfig], float] | None = None,
    hosts: Hosts = ALONE,
) -> Plan:
    """Settings for a training part of `characters` on a machine of `devices`, which is measured unless it is given.

    It is measured by the very steps that are chosen, as products alone promise what steps do not keep: where these are
    faster or slower than was reckoned with, the choice is made again. `measure` tells the characters per second of
    settings; it is the clock unless the machine is given.

    `devices` are those of all processes, which make the measured steps together.
    `based_on` is the model whose weights the run starts from: its shape is given. `rare` symbols of the vocabulary are
    not told apart.

    Raises:
        ConfigError: settings contradict each other or the text.
        MemoryLimitError: what was asked for needs more memory than there is.
    """
    began = time.perf_counter()
    options = _in_all(options, devices)

    def choose_up_to(machine: Machine, most: int) -> Plan:
        plan = choose(options, characters, vocabulary_size, devices, based_on, rare, hosts.processes, machine, most)
        if machine.memory is None:
            return plan
        parts = options.accumulate, options.chunk_length
        training = in_parts(plan.model, plan.training, machine.memory, *parts, hosts.processes)
        return replace(plan, training=training, notes=[*to_fit(plan.training, training), *plan.notes])

    def needed(plan: Plan) -> int:
        return step_memory(plan.model, plan.training, hosts.processes)

    def choose_to_fit(machine: Machine) -> Plan:
        largest = plan = choose_up_to(machine, SIZES[-1])
        for most in reversed(SIZES):
            if machine.memory is None or needed(plan) <= machine.memory:
                break
            plan = choose_up_to(machine, most)
        if plan.model == largest.model:
            return plan
        return replace(plan, notes=[f"no more than {plan.model.hidden_size} units fit into the memory", *plan.notes])

    if machine is None:
        # Nothing is tried, not even to measure the machine, before it is known that the smallest choice fits.
        precision = "bfloat16" if options.precision == "auto" else options.precision
        smallest = choose_to_fit(Machine(precision, 1.0, available_memory()))
        require_step_memory(smallest.model, smallest.training, hosts.processes)
        machine = measure_machine(options.hidden_size, options.precision)
        machine = machine._replace(speed=machine.speed * hosts.processes)
        measure = measure or partial(training_speed, seconds=_MEASURED_SECONDS, rounds=1, hosts=hosts)
    plan = choose_to_fit(machine)
    for _ in range(_MEASUREMENTS if measure and (_depends_on_speed(options) or machine.rival) else 0):
        assert measure

        def measure_in(precision: Precision, plan: Plan = plan) -> float:
            return measure(plan.model, replace(plan.training, precision=precision))

        machine = machine.as_measured(measure_in, plan.speed)
        measured, plan = plan, choose_to_fit(machine)
        if _shape(plan) == _shape(measured):
            break
    if machine.memory is not None:
        require_step_memory(plan.model, plan.training, hosts.processes)
    return replace(
        plan, notes=[*plan.notes, *idle_devices(plan.training, devices)], seconds=time.perf_counter() - began
    )


def _in_all(options: TrainOptions, devices: int) -> TrainOptions:
    """The batch of a device as a batch of all of them."""
    if options.batch_per_device is None:
        return options
    try:
        return replace(options, batch_size=options.batch_per_device * devices, batch_per_device=None)
    except ConfigError as error:
        raise ConfigError(
            f"{setting('batch_per_device')} is {options.batch_per_device}, and there are {devices} devices: "
            f"{error.raw_message}"
        ) from None


def _depends_on_speed(options: TrainOptions) -> bool:
    """Whether anything that is left open depends on how much can be read in the time."""
    open_sizes = (options.hidden_size, options.batch_size, options.sequence_length)
    return None in open_sizes or (is_timed(options) and None in (options.dropout, options.weight_drop))


def _shape(plan: Plan) -> tuple[int, ...]:
    """What decides how fast a step is."""
    return plan.model.layers, plan.model.hidden_size, plan.training.batch_size, plan.training.sequence_length
