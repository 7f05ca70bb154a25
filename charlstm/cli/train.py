"""`charlstm train`."""

from contextlib import suppress
from typing import Annotated, Any

import typer

from charlstm import events
from charlstm.cli.options import TEXT_HELP, options_of
from charlstm.cli.signals import Signals
from charlstm.errors import CharLSTMError
from charlstm.language_model import LanguageModel
from charlstm.options import BUNDLED, RESUMED_WITH, TrainOptions, cannot_resume_with
from charlstm.trainer import train as train_model

_SAMPLE_LENGTH = 384


def _watching(text: str, *flags: str) -> Any:
    return typer.Option(*flags, help=text, rich_help_panel="Watching")


@options_of(TrainOptions)
def train(
    chosen: dict[str, Any],
    context: typer.Context,
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help=TEXT_HELP, show_default=BUNDLED)] = None,
    tensorboard: Annotated[
        bool,
        _watching("Also write event files for TensorBoard, with histograms of gates; needs the extra `tensorboard`."),
    ] = False,
    quiet: Annotated[bool, _watching("Show the result only.")] = False,
    as_json: Annotated[bool, _watching("Print events as JSON lines.", "--json")] = False,
) -> None:
    """Train a model on a text, for about three minutes unless told otherwise."""
    if chosen["resume"]:
        _refuse_settings(context)
    from charlstm.display.advice import advise
    from charlstm.display.repeat import repeat_command
    from charlstm.display.watcher import Watcher
    from charlstm.runs.folder import open_run, tensorboard_path

    Board = None
    if tensorboard:
        from charlstm.display.tensorboard import Board

    board = None

    def show(event: events.Event) -> None:
        nonlocal board
        if isinstance(event, events.Joined) and event.process > 0:
            signals.note()  # process 0 is told, and saves; nothing else is shown here
            return
        watcher.show(event)
        match event:
            case events.Started():  # until then Ctrl-C has nothing to save, and ends the program at once
                signals.note()
            case events.Compiling() if Board and watcher.started:
                board = Board(tensorboard_path(watcher.started.run), event.step)
            case events.Report() if board:
                board.show(event)
            case events.SampleDue() if board or not quiet:
                model = LanguageModel(event.weights)
                text = model.sample(length=_SAMPLE_LENGTH, seed=event.step)
                watcher.sample(event.step, text)
                if board:
                    board.sample(event.step, text)
                    with suppress(CharLSTMError):  # such as weights that are not finite: the run goes on or back
                        board.gates(event.step, model.gates(event.excerpt, unknown="skip", shown=20_000))
            case _:
                pass

    with Watcher(as_json, quiet) as watcher, Signals() as signals:
        told = {"on_event": show, "should_stop": signals.should_stop, "should_save": signals.should_save}
        train_model(texts or BUNDLED, **chosen, **told)
    if board:
        board.close()
    if watcher.started is None:  # process 0 shows what has come of it
        if signals.stopped_by:
            raise typer.Exit(128 + signals.stopped_by)
        return
    assert watcher.finished
    run = open_run(watcher.started.run)
    repeat = repeat_command(run.config, watcher.finished.schedule)
    watcher.finish(advise(run.metrics.read(), run.config), repeat)
    if watcher.finished.reason == "stopped" and signals.stopped_by:
        raise typer.Exit(128 + signals.stopped_by)


def _refuse_settings(context: typer.Context) -> None:
    """`TrainOptions` refuses values that are not the defaults; a flag that names a default is refused here."""
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name not in (*RESUMED_WITH, "tensorboard", "quiet", "as_json") and source and source.name == "COMMANDLINE":
            raise cannot_resume_with(name)
