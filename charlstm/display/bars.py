"""Bars and spinners for what takes its time; silent where stderr is no terminal."""

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from charlstm.display.console import err, note, on_terminal


class Bars:
    """Shows what is being done and how far it is, one line at a time: a bar, or a spinner if the end is not known.

    It is called as `bars(what, done, total)`, and vanishes when its block ends; if a signal ended it, that is said.
    """

    def __init__(self, enabled: bool = True) -> None:
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(),
            TextColumn("{task.fields[share]}"), TimeRemainingColumn(), console=err, transient=True,
            disable=not (enabled and on_terminal(err) and err.is_interactive),
        )  # fmt: skip
        self._task = self._progress.add_task("", total=None, visible=False, share="")
        self._what = ""

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        what = self._what
        self.close()
        if what and isinstance(error, KeyboardInterrupt | SystemExit):
            note(f"interrupted while {what}; nothing half-written is left")

    def close(self) -> None:
        """Clear the line; a second time does nothing."""
        self._progress.stop()
        self._what = ""

    def refresh(self) -> None:
        """Draw it now, and not at the next tenth of a second."""
        self._progress.refresh()

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
        if what != self._what:
            self._what = what
            self._progress.reset(self._task, total=total or None, description=what, visible=True)
        share = f"{done / total:4.0%}" if total else ""
        self._progress.update(self._task, completed=done, total=total or None, share=share)
