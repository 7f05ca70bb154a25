"""What a user can ask for: every option once, with its default, its bounds and its help.

The command line makes its flags of these fields (cli/options.py), the Python API its keyword arguments (arguments.py).

shared     names and types that several options have in common
schedule   the lengths of a run, by which it is repeated
train      `TrainOptions`
sample     `SampleOptions`, and `SamplesOptions` of several texts
complete   `CompleteOptions`
evaluate   `ReadOptions`, and `EvaluateOptions` of what is scored
compress   `CompressOptions`
export     `ExportOptions`
inspect    `InspectOptions`, and `MemoryOptions` of what needs no run
compare    `CompareOptions`
report     `ReportOptions`
"""

from charlstm.options.compare import CompareOptions
from charlstm.options.complete import CompleteOptions, To
from charlstm.options.compress import CompressOptions
from charlstm.options.evaluate import EvaluateOptions, ReadOptions
from charlstm.options.export import ExportOptions
from charlstm.options.inspect import InspectOptions, MemoryOptions
from charlstm.options.report import ReportOptions
from charlstm.options.sample import SampleOptions, SamplesOptions
from charlstm.options.schedule import format_schedule, is_schedule, parse_schedule
from charlstm.options.shared import (
    BUNDLED,
    DEFAULT_MINUTES,
    DOCUMENTS,
    Cell,
    OnProgress,
    Optimizer,
    Precision,
    PrecisionOption,
    Texts,
    Unit,
    Unknown,
)
from charlstm.options.train import RESUMED_WITH, TrainOptions, cannot_resume_with

__all__ = [
    "BUNDLED",
    "DEFAULT_MINUTES",
    "DOCUMENTS",
    "RESUMED_WITH",
    "Cell",
    "CompareOptions",
    "CompleteOptions",
    "CompressOptions",
    "EvaluateOptions",
    "ExportOptions",
    "InspectOptions",
    "MemoryOptions",
    "OnProgress",
    "Optimizer",
    "Precision",
    "PrecisionOption",
    "ReadOptions",
    "ReportOptions",
    "SampleOptions",
    "SamplesOptions",
    "Texts",
    "To",
    "TrainOptions",
    "Unit",
    "Unknown",
    "cannot_resume_with",
    "format_schedule",
    "is_schedule",
    "parse_schedule",
]
