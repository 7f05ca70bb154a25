"""What the gates do: `charlstm inspect --gates`."""

from typing import TYPE_CHECKING, Any

from charlstm.errors import ConfigError
from charlstm.language_model import load
from charlstm.options import InspectOptions

if TYPE_CHECKING:
    from charlstm.cli.inspect import Output
    from charlstm.inspection.gates import Gates


def show(run: str | None, options: InspectOptions, output: "Output") -> None:
    """The gates of a run over a text: on the terminal, as JSON, or as files."""
    from charlstm.display import gates as shown
    from charlstm.display.bars import Bars
    from charlstm.display.console import result, write_json
    from charlstm.files import is_no_file, user_path

    files = {kind: user_path(name) for kind in ("png", "svg", "npz") if (name := getattr(output, kind)) is not None}
    for path in files.values():
        if is_no_file(path):
            raise ConfigError(f"{path} is not a file", "name one")
    model = load(run)
    chosen: dict[str, Any] = dict(vars(options))
    with Bars() as bars:
        chosen["on_progress"] = bars
        found = model.gates(**chosen)
    names = _names(found, output.gate)
    if npz := files.get("npz"):
        found.save(npz)
    if pictures := {kind: path for kind, path in files.items() if kind != "npz"}:
        from charlstm.display.gateplots import draw_gates
        from charlstm.display.plots import save_figure

        figure = draw_gates(found, names[-1], output.units)
        for kind, path in pictures.items():
            save_figure(figure, path, kind)
    if output.as_json:
        write_json(found.to_dict())
    elif files:
        for path in files.values():
            result(str(path))
    else:
        shown.show_gates(found, names, output.units)


def _names(found: "Gates", wanted: str | None) -> list[str]:
    """What the heat maps show: by default what is kept, and below it the memory in which it is."""
    if wanted is None:
        return [found.keeps, found.memory] if found.keeps else [found.memory]
    names = list(next(iter(found.layers.values())).arrays)
    if wanted not in names:
        raise ConfigError(f"--gate {wanted}: the model has none of that name", f"it has {', '.join(names)}")
    return [wanted]
