"""`charlstm train`."""

import signal
from typing import Annotated, Any

import typer

from charlstm import events
from charlstm.cli.options import TEXT_HELP, options_of
from charlstm.language_model import LanguageModel
from charlstm.language_model import train as train_model
from charlstm.options import BUNDLED, TrainOptions, cannot_resume_with

_SAMPLE_LENGTH = 384


def _watching(text: str, *flags: str) -> Any:
    return typer.Option(*flags, help=text, rich_help_panel="Watching")


@options_of(TrainOptions)
def train(
    chosen: dict[str, Any],
    context: typer.Context,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help=TEXT_HELP, show_default=BUNDLED)
    ] = None,
    tensorboard: Annotated[
        bool, _watching("Also write event files for TensorBoard; needs the extra `tensorboard`.")
    ] = False,
    quiet: Annotated[bool, _watching("Show the result only.")] = False,
    as_json: Annotated[bool, _watching("Print events as JSON lines.", "--json")] = False,
) -> None:
    """Train a model on a text, for about three minutes unless told otherwise."""
    if chosen["resume"]:
        _refuse_settings(context)
    from charlstm.display.advice import advise
    from charlstm.display.watcher import Watcher
    from charlstm.runs.folder import open_run

    Board = None
    if tensorboard:
        from charlstm.display.tensorboard import Board

    board = None

    def show(event: events.Event) -> None:
        nonlocal board
        watcher.show(event)
        match event:
            case events.Started():  # until then Ctrl-C has nothing to save, and ends the program at once
                _note_signals(received)
            case events.Compiling() if Board and watcher.started:
                board = Board(open_run(watcher.started.run).tensorboard_path, event.step)
            case events.Report() if board:
                board.show(event)
            case events.SampleDue() if board or not quiet:
                text = LanguageModel(event.weights).sample(length=_SAMPLE_LENGTH, seed=event.step)
                watcher.sample(event.step, text)
                if board:
                    board.sample(event.step, text)
            case _:
                pass

    received: list[int] = []
    with Watcher(as_json, quiet) as watcher:
        train_model(texts or BUNDLED, **chosen, on_event=show, should_stop=lambda: bool(received))
    if board:
        board.close()
    assert watcher.started and watcher.finished
    run = open_run(watcher.started.run)
    watcher.finish(advise(list(run.read_metrics()), run.config))
    if watcher.finished.reason == "stopped":
        raise typer.Exit(128 + received[0])


def _refuse_settings(context: typer.Context) -> None:
    """`TrainOptions` refuses values that are not the defaults; a flag that names a default is refused here."""
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        allowed = ("run", "resume", "tensorboard", "quiet", "as_json")
        if name not in allowed and source and source.name == "COMMANDLINE":
            raise cannot_resume_with(name)


def _note_signals(received: list[int]) -> None:
    """From now on Ctrl-C and SIGTERM are noted in the list; a second Ctrl-C ends the program at once."""

    def note(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
