"""Rows for programs, on stdout as they come: JSON lines or CSV."""

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from charlstm.display.console import finite, on_terminal, out
from charlstm.display.visible import visible


def write_rows(rows: Iterable[dict[str, Any]], names: Sequence[str], as_csv: bool) -> None:
    """Write rows, each with the columns `names`: an object a line or, after a line with the names, CSV.

    What is not finite is null, or an empty field.
    """
    if not as_csv:
        for row in rows:
            sys.stdout.write(json.dumps(finite(row)) + "\n")
        return
    show = visible if on_terminal(out) else str
    writer = csv.writer(_Lines())
    writer.writerow(names)
    for row in rows:
        writer.writerow([show(value) if isinstance(value, str) else value for value in finite(row).values()])


class _Lines:
    """Standard output for `csv`, which in Python 3.11 quotes a carriage return only if its own line end has one."""

    def write(self, line: str) -> None:
        sys.stdout.write(line.removesuffix("\r\n") + "\n")
