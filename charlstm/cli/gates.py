"""What the gates do: `charlstm inspect --gates`."""

from typing import TYPE_CHECKING

from charlstm.cli.outcome import Output, bring_out, files_of, named
from charlstm.errors import ConfigError
from charlstm.language_model import load
from charlstm.options import InspectOptions

if TYPE_CHECKING:
    from charlstm.inspection.gates import Gates


def show(run: str | None, options: InspectOptions, output: Output) -> None:
    """The gates of a run over a text: on the terminal, as JSON, or as files."""
    from charlstm.display import gateplots, gates
    from charlstm.display.bars import Bars

    files, model = files_of(output), load(run)
    with Bars() as bars:
        found = model.gates(**named(options, bars))
    names = _names(found, output.gate)
    bring_out(
        files, found.to_dict() if output.as_json else None,
        lambda: gateplots.draw_gates(found, names[-1], output.units), found.save,
        lambda: gates.show_gates(found, names, output.units),
    )  # fmt: skip


def _names(found: "Gates", wanted: str | None) -> list[str]:
    """What the heat maps show: by default what is kept, and below it the memory in which it is."""
    if wanted is None:
        return [found.keeps, found.memory] if found.keeps else [found.memory]
    names = list(next(iter(found.layers.values())).arrays)
    if wanted not in names:
        raise ConfigError(f"--gate {wanted}: the model has none of that name", f"it has {', '.join(names)}")
    return [wanted]
