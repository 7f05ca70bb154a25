"""Bars and spinners for what takes its time; silent where stderr is no terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from charlstm.display.console import err


@contextmanager
def busy(text: str) -> Iterator[None]:
    """A spinner."""
    if err.is_terminal:
        with err.status(text):
            yield
    else:
        yield


@contextmanager
def scoring_bar(what: str, characters: int) -> Iterator[Callable[[int], None]]:
    """A function to tell how many characters are scored."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(what, total=characters)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def download_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A function to tell of bytes that came: `tell(name, done, total)`."""
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        tasks = {}

        def tell(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(f"fetching {name}", total=total)
            bar.update(tasks[name], completed=done)

        yield tell
