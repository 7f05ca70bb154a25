"""How a view of `charlstm inspect` comes out: on the terminal, as JSON, or as files."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from charlstm.errors import ConfigError
from charlstm.options import InspectOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from charlstm.display.bars import Bars


class Output(NamedTuple):
    """As what a view is to come out: as JSON, as files of these names; and what a heat map of gates shows."""

    as_json: bool
    png: str | None
    svg: str | None
    npz: str | None
    units: int
    gate: str | None


def files_of(output: Output) -> dict[str, Path]:
    """The files that are asked for, by their kinds.

    Raises:
        ConfigError: one cannot be a file, or matplotlib is missing.
    """
    from charlstm.files import is_no_file, user_path

    files = {kind: user_path(name) for kind in ("png", "svg", "npz") if (name := getattr(output, kind)) is not None}
    for path in files.values():
        if is_no_file(path):
            raise ConfigError(f"{path} is not a file", "name one")
    if "png" in files or "svg" in files:
        from charlstm.display.plots import new_figure

        new_figure()  # or it is said at once that there can be none
    return files


def named(options: InspectOptions, bars: "Bars") -> dict[str, Any]:
    """The options as keyword arguments, their progress shown."""
    return vars(options) | {"on_progress": bars}


def bring_out(
    files: dict[str, Path],
    as_json: dict[str, Any] | None,
    draw: "Callable[[], Figure]",
    save: Callable[[Path], None],
    show: Callable[[], None],
) -> None:
    """Write the files, drawing only if there are pictures; then JSON, or the files' names or, without any, `show`.

    Raises:
        ConfigError: there is nothing to draw.
        StorageError: a file cannot be written.
    """
    from charlstm.display.console import result, write_json

    if npz := files.get("npz"):
        save(npz)
    if pictures := {kind: path for kind, path in files.items() if kind != "npz"}:
        from charlstm.display.plots import save_figure

        figure = draw()
        for kind, path in pictures.items():
            save_figure(figure, path, kind)
    if as_json is not None:
        write_json(as_json)
    elif files:
        for path in files.values():
            result(str(path))
    else:
        show()
