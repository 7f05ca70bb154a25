"""metrics.jsonl: the reports of a run, a line of JSON each, with a checksum."""

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlstm.errors import RunError
from charlstm.files import parse_json, require_file, storage_errors, sync, write_text

_CHECKSUM = "crc32"  # of the line without it
# What every line holds. One with more was written later, so if it has no checksum, this was damaged.
KEYS = {
    "step", "epoch", "characters", "loss", "validation_loss", "learning_rate", "gradient_norm",
    "characters_per_second", "elapsed_seconds",
}  # fmt: skip
_NEVER_NULL = {"step", "epoch", "characters"}
_LONGEST_LINE = 1 << 16  # bytes; ours have 400
_HIGHEST = 1e39  # float32 ends at 3.4e38


@dataclass(frozen=True)
class Metrics:
    """The reports in the file `path`."""

    path: Path

    def append(self, reports: Sequence[dict[str, Any]]) -> None:
        """Add reports: all of them or, if there is no room, none.

        Raises:
            StorageError: they cannot be written.
        """
        data = "".join(map(_line_of, reports)).encode()
        with storage_errors(self.path), self.path.open("ab", buffering=0) as file:
            size = file.seek(0, 2)
            try:
                while data:
                    data = data[file.write(data) :]
                sync(file.fileno())
            except OSError:
                file.truncate(size)
                raise

    def read(self) -> list[dict[str, Any]]:
        """The reports so far, without lines that are damaged or, by a crash, half-written.

        Raises:
            RunError: the file cannot be read.
        """
        if not self.path.exists():
            return []
        reports: list[dict[str, Any]] = []
        try:
            require_file(self.path)
            with self.path.open("rb") as file:
                while line := file.readline(_LONGEST_LINE):
                    if (report := _report_of(line)) is not None:
                        reports.append(report)
        except OSError as error:
            raise RunError(f"cannot read {self.path}: {error.strerror or error}") from error
        return reports

    def cut(self, step: int) -> None:
        """Forget reports after `step`, which resuming makes anew."""
        write_text(self.path, "".join(_line_of(report) for report in self.read() if report["step"] <= step))


def _line_of(report: dict[str, Any]) -> str:
    plain = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in report.items()
    }
    return json.dumps(plain | {_CHECKSUM: zlib.crc32(json.dumps(plain).encode())}) + "\n"


def _report_of(line: bytes) -> dict[str, Any] | None:
    """The report on a line, if it is whole; lines of earlier versions have no checksum."""
    try:
        report = parse_json(line)
    except ValueError:
        return None
    if not isinstance(report, dict):
        return None
    checksum = report.pop(_CHECKSUM, None)
    if not set(report) >= KEYS or not all(_is_sound(name, value) for name, value in report.items() if name in KEYS):
        return None
    if checksum is None:
        return report if set(report) == KEYS else None
    return report if checksum == zlib.crc32(json.dumps(report).encode()) else None


def _is_sound(name: str, value: Any) -> bool:
    """Whether this is a number, or null for one that was not finite."""
    if name in ("step", "characters") and not isinstance(value, int):
        return False
    if value is None:
        return name not in _NEVER_NULL
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _HIGHEST
