"""`charlstm inspect --gradients`."""

from typing import TYPE_CHECKING

from charlstm.options import InspectOptions

if TYPE_CHECKING:
    from charlstm.cli.inspect import Output


def show(run: str | None, options: InspectOptions, output: "Output") -> None:
    """How gradients flow back in a run, beside others."""
    import numpy as np

    from charlstm.display import console, gradients, plots
    from charlstm.display.bars import Bars
    from charlstm.files import atomic_write, user_path
    from charlstm.language_model import load

    pictures = {kind: path for kind, path in (("png", output.png), ("svg", output.svg)) if path}
    if pictures:
        plots.new_figure()  # or it is said at once that they cannot be drawn
    model = load(run)
    with Bars() as bars:
        bars("following gradients")
        found = model.gradient_flow(**vars(options))
    if output.as_json:
        console.write_json(found.to_dict())
    else:
        gradients.show_gradients(found)
    for kind, path in pictures.items():
        gradients.draw_gradients(found, user_path(path), kind)
    if output.npz:
        with atomic_write(user_path(output.npz)) as file:
            np.savez_compressed(file, allow_pickle=False, **found.arrays())
