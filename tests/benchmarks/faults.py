"""What a run survives: `uv run python tests/benchmarks/faults.py [--kills 100] [--damages 3000]`; minutes.

Kills: a process that trains and saves all the time is killed at random moments and resumed, until the run is done; its
files must be those of a run that was never disturbed, bit for bit. Signals: the same through the command line, with
those that can be handled, and with a terminal that is closed.
Faults: system calls under the saves fail at random. Damage: bytes of every file of a run are flipped, or its end is cut
off; what is read then is an error of ours, or the very thing that was written. Long: memory, open files and the folder
of a run do not grow with the steps made and the characters sampled. Prints a table. The tests run short forms of kills,
faults and damage.
"""

import argparse
import errno
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np
from safetensors.numpy import load_file

from charlstm.config import CorpusConfig, ModelConfig, RunConfig, TrainingConfig
from charlstm.errors import CharLSTMError
from charlstm.language_model import LanguageModel
from charlstm.runs.checkpoints import load_checkpoint, load_facts
from charlstm.runs.folder import Run, create_run, open_run, settle
from charlstm.runs.lock import lock
from charlstm.runs.weights import load_weights
from charlstm.text.corpus import open_corpus
from charlstm.training.loop import train
from charlstm.training.steps import initial_state

FILES = {
    "config.json", "vocabulary.json", "weights.safetensors", "metrics.jsonl", "checkpoints/last.safetensors",
    "checkpoints/previous.safetensors",
}  # fmt: skip
_CLOCK = ("elapsed_seconds", "characters_per_second")
_VERSE = "The salt road runs from hill to sea,\nand who goes out comes home to tea.\n"


def make_run(folder: Path, name: str, steps: int) -> Run:
    """A small run, and the text that it reads."""
    text = folder / "verse.txt"
    text.write_bytes("".join(_VERSE.replace("tea", f"tea {n}") for n in range(10)).encode())
    corpus = open_corpus([text])
    model = ModelConfig(
        vocabulary_size=len(corpus.vocabulary), layers=1, hidden_size=12, embedding_size=8, dropout=0.2, weight_drop=0.1
    )
    training = TrainingConfig(
        batch_size=4, sequence_length=16, optimizer="muon", learning_rate=5e-3, weight_decay=0.1, clip=1.0, warmup=2,
        steps=steps, minutes=None, validation=0.1, patience=None, precision="float32", seed=0, sample_every=0,
    )  # fmt: skip
    about = CorpusConfig(
        sources=[str(text)], unit="character", encoding="utf-8", fingerprint=corpus.fingerprint, characters=len(corpus)
    )
    return create_run(folder / name, RunConfig(model=model, training=training, corpus=about), corpus.vocabulary)


def finish(run: Run, resume: bool = False, save_every: float = 60.0) -> None:
    """Train a run to its end."""
    for _ in trained(run, resume, save_every):
        pass


def trained(run: Run, resume: bool, save_every: float) -> Iterator[Any]:
    """Train a run to its end; its events."""
    corpus = open_corpus([Path(run.config.corpus.sources[0])])
    return train(run, corpus, resume=resume, save_every=save_every)


def has_begun(run: Path) -> bool:
    """Whether there is anything to resume."""
    return any((run / name).exists() for name in FILES if name.startswith("checkpoints"))


def differences(one: Path, other: Path) -> list[str]:
    """In what the files of two runs differ, the clock aside; a file too many or too few is a difference, too."""
    found = [
        f"{path}: {name}"
        for path in (one, other)
        for name in {each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file()} ^ FILES
    ]
    for name in ("weights.safetensors", "checkpoints/last.safetensors"):
        these, those = load_file(one / name), load_file(other / name)
        found += [f"{name}: {key}" for key in these if not np.array_equal(these[key], those[key])]
    reports = [
        [{key: value for key, value in report.items() if key not in _CLOCK} for report in open_run(run).metrics.read()]
        for run in (one, other)
    ]
    return found + [f"metrics: {one} {other}" for one, other in itertools.zip_longest(*reports) if one != other][:3]


# --- kills and signals ---

_WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from faults import has_begun, trained
from charlstm.runs.folder import open_run, settle
from charlstm.runs.lock import lock
from charlstm.training import steps
steps._DISPATCH_SECONDS = 0.0  # one step at a time, and a save after each
path = Path(sys.argv[1])
print("up", flush=True)
with lock(path):
    settle(path)
    for event in trained(open_run(path), has_begun(path), 0.0):
        print("event", flush=True)
print("done", flush=True)
"""


def kill_until_done(folder: Path, kills: int, steps: int, numbers: random.Random) -> tuple[int, list[str]]:
    """Kill a training again and again; how often it was, and in what its files differ from those of an unbroken one."""
    whole, broken = make_run(folder, "whole", steps), make_run(folder, "broken", steps)
    finish(whole)
    worker = folder / "worker.py"
    worker.write_text(_WORKER.format(here=str(Path(__file__).parent)), "utf-8")
    killed = 0
    while True:
        process = subprocess.Popen([sys.executable, str(worker), str(broken.path)], stdout=subprocess.PIPE)
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        seen = b""
        if killed < kills:
            # Before the first step, as it is compiled, and anywhere in a step, a report or a save.
            seen = b"".join(itertools.islice(process.stdout, numbers.choice([0, 2, 5, 20, 50])))
            time.sleep(numbers.random() * numbers.choice([0.01, 0.1, 1.0]))
            process.kill()
        seen += process.stdout.read()
        process.stdout.close()
        process.wait()
        if seen.endswith(b"done\n"):
            return killed, differences(whole.path, broken.path)
        killed += 1


_FLAGS = (
    *("--steps", "10000", "--hidden-size", "12", "--batch-size", "4", "--sequence-length", "16"),
    *("--precision", "float32", "--sample-every", "0"),
)
# What is sent, and the exit status that follows; of SIGUSR1 a run only takes note.
_SIGNALS = {
    "SIGTERM": 143, "SIGINT": 130, "SIGINT SIGINT": 130, "SIGHUP": 129, "SIGUSR1": 0, "SIGUSR1 SIGTERM": 143,
    "terminal closed": 129,
}  # fmt: skip


def interrupt_and_resume(folder: Path) -> tuple[int, list[str]]:
    """Send each signal to a training of the command line, and resume it; unexpected ends, and differences."""
    text, wrong = folder / "verse.txt", list[str]()
    text.write_bytes("".join(_VERSE.replace("tea", f"tea {n}") for n in range(10)).encode())

    def start(*words: object, **more: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "charlstm", "train", *map(str, words), "--run", name]
        return subprocess.Popen(command, cwd=folder, start_new_session=True, **more)

    name = "whole"
    with start(text, *_FLAGS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        pass
    for sent, status in _SIGNALS.items():
        name = sent.replace(" ", "-")
        if sent == "terminal closed":
            found = _close_terminal(lambda **more: start(text, *_FLAGS, **more))
        else:
            with start(text, *_FLAGS, "--json", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                assert process.stdout
                next(line for line in process.stdout if b'"report"' in line)
                for each in sent.split():
                    process.send_signal(getattr(signal, each))
                    time.sleep(0.05)
                process.stdout.read()
            found = process.returncode
        found = 128 - found if found < 0 else found  # as a shell has it
        if found != status:
            wrong.append(f"{sent}: ended with {found} instead of {status}")
        if status:
            with start("--resume", "--quiet", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
                assert process.stderr
                if said := process.stderr.read():
                    wrong.append(f"{sent}: resuming said {said.decode()}")
        wrong += [f"{sent}: {each}" for each in differences(folder / "whole", folder / name)]
    return len(_SIGNALS), wrong


def _close_terminal(start: Callable[..., subprocess.Popen[bytes]]) -> int:
    """Close the terminal of a training as soon as it shows its first loss; the exit status."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    own_it = partial(fcntl.ioctl, 0, termios.TIOCSCTTY, 0)
    with start(stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=own_it) as process:
        os.close(theirs)
        seen = b""
        while b"nats" not in seen:
            seen += os.read(ours, 4096)
        os.close(ours)
    return process.returncode


# --- faults under a save ---


@contextmanager
def failing_calls(numbers: random.Random, share: float) -> Iterator[list[str]]:
    """In this block a `share` of all calls that write fails; the list says which did."""
    failed: list[str] = []

    def failing(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def maybe(*arguments: Any, **options: Any) -> Any:
            if numbers.random() < share:
                failed.append(name)
                number = numbers.choice([errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT])
                raise OSError(number, os.strerror(number))
            return call(*arguments, **options)

        return maybe

    with (
        mock.patch("os.fsync", failing("fsync", os.fsync)),
        mock.patch("pathlib.Path.replace", failing("replace", Path.replace)),
        mock.patch("pathlib.Path.chmod", failing("chmod", Path.chmod)),
        mock.patch("tempfile.mkstemp", failing("mkstemp", tempfile.mkstemp)),
    ):
        yield failed


def train_under_faults(folder: Path, steps: int, numbers: random.Random, share: float) -> tuple[int, list[str]]:
    """Train while saves fail, resuming where that ends training; faults, and differences to an undisturbed run."""
    whole, run = make_run(folder, "whole", steps), make_run(folder, "disturbed", steps)
    finish(whole)
    faults = 0
    # The last save may be complete, and yet the program has ended with an error.
    while not (has_begun(run.path) and load_facts(run)["ended"]):
        with suppress(CharLSTMError), failing_calls(numbers, share) as failed, lock(run.path):
            settle(run.path)
            finish(open_run(run.path), has_begun(run.path), save_every=0.0)
        faults += len(failed)
        share /= 2  # else it would not end
        settle(run.path)
    return faults, differences(whole.path, run.path)


# --- damage ---


def damages(data: bytes, numbers: random.Random) -> Iterator[bytes]:
    """A file with a byte changed, a piece zeroed, its end cut off or lengthened, all over the file, for ever."""
    for kind in itertools.cycle(range(4)):
        place = numbers.randrange(max(1, len(data)))
        if numbers.random() < 0.5:
            place = numbers.randrange(min(len(data), 2000) or 1)  # headers are short, and most can go wrong there
        if kind == 0:
            yield data[:place] + bytes([(data[place] if data else 0) ^ numbers.randrange(1, 256)]) + data[place + 1 :]
        elif kind == 1:
            yield data[:place] + bytes(min(512, len(data) - place)) + data[place + 512 :]
        elif kind == 2:
            yield data[:place]
        else:
            yield data + numbers.randbytes(1 + place % 50)


def read_all(path: Path) -> list[Any]:
    """Everything that is read of a run: each as a value that can be compared, or the error that it is refused with."""
    found: list[Any] = []

    def read(what: Callable[[], Any]) -> None:
        try:
            found.append(what())
        except CharLSTMError as error:
            found.append(error)

    def weights() -> Any:
        loaded = load_weights(path)
        return loaded.config.without_paths(), loaded.vocabulary, [*map(np.asarray, jax.tree.leaves(loaded.params))]

    def checkpoint() -> Any:
        run = open_run(path)
        like = jax.eval_shape(lambda: initial_state(run.config.model, run.config.training))
        loaded = load_checkpoint(run, like)
        return loaded.facts["step"], jax.tree.leaves(loaded.state)

    read(weights)
    read(checkpoint)
    read(lambda: open_run(path).metrics.read())
    return found


def is_right(found: Any, wanted: list[Any]) -> bool:
    """Whether what was read is an error of ours, or one of the things that were written."""
    return isinstance(found, CharLSTMError) or any(_same(found, each) for each in wanted)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return one == other


def damage_files(folder: Path, count: int, numbers: random.Random) -> tuple[int, list[str]]:
    """Damage every file of a run in `count` ways; how many cases there were, and those that were not noticed."""
    run = make_run(folder, "whole", 20)
    finish(run)
    before = read_all(run.path)
    older = shutil.copytree(run.path, folder / "older")
    (older / "checkpoints/last.safetensors").unlink()  # so that the one before it is read
    right = [[one, other] for one, other in zip(before, read_all(older), strict=True)]
    unnoticed: list[str] = []
    cases = 0
    for name in sorted(FILES):
        file = run.path / name
        data = file.read_bytes()
        for harm in itertools.islice(damages(data, numbers), count // len(FILES)):
            if harm == data:
                continue
            file.write_bytes(harm)
            cases += 1
            for found, wanted in zip(read_all(run.path), right, strict=True):
                # Of the reports damaged lines are missing; nothing else may be.
                lines = isinstance(found, list) and name == "metrics.jsonl" and all(line in wanted[0] for line in found)
                if not lines and not is_right(found, wanted):
                    unnoticed.append(f"{name}: {found!r:.200}")
        file.write_bytes(data)
    return cases, unnoticed


# --- long runs ---


def _usage(folder: Path) -> dict[str, float]:
    """What this process and the folder of its run take, on Linux."""
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    return {
        "MB of memory": pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        "open files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "KB of the run": sum(path.stat().st_size for path in folder.rglob("*")) / 1e3,
    }


def go_on_for_long(folder: Path, steps: int) -> tuple[int, list[str]]:
    """Train and then sample for long; what has grown between a tenth of it and its end."""
    run, wrong = make_run(folder, "long", steps), list[str]()
    corpus = open_corpus([Path(run.config.corpus.sources[0])])

    def compare(what: str, progress: Iterator[int], total: int) -> None:
        first: dict[str, float] = {}
        for done in progress:
            if not first and done >= total / 10:
                first = _usage(run.path)
        for name, last in _usage(run.path).items():
            print(f"  {what}: {first[name]:.1f} {name} at a tenth, {last:.1f} at the end", file=sys.stderr)
            # A hundred reports are 40 KB.
            if last > first[name] + {"MB of memory": 20, "open files": 0, "KB of the run": 60}[name]:
                wrong.append(f"{what}: {first[name]:.1f} {name} became {last:.1f}")

    compare("training", (event.step for event in train(run, corpus, save_every=1.0) if hasattr(event, "step")), steps)
    pieces = LanguageModel(load_weights(run.path)).stream(length=1_000_000, seed=0)
    compare("sampling", itertools.accumulate(map(len, pieces)), 1_000_000)
    return steps, wrong


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--damages", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    numbers = random.Random(options.seed)
    print("| what | cases | not as it should be | seconds |\n| --- | --- | --- | --- |")

    def row(what: str, trial: Callable[[Path], tuple[int, list[str]]]) -> None:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            cases, wrong = trial(Path(folder))
        print(f"| {what} | {cases:,} | {len(wrong)} | {time.monotonic() - began:.0f} |", flush=True)
        for each in wrong[:20]:
            print(f"  {each}", file=sys.stderr)

    if os.name != "nt":
        row("signals", interrupt_and_resume)
    if sys.platform == "linux":
        row("steps, flat", lambda folder: go_on_for_long(folder, options.steps))
    row("kills", lambda folder: kill_until_done(folder, options.kills, 40 * options.kills, numbers))

    def under_faults(folder: Path) -> tuple[int, list[str]]:
        total, wrong = 0, []
        for each in range(options.rounds):
            (folder / str(each)).mkdir()
            faults, found = train_under_faults(folder / str(each), 40, numbers, 0.05)
            total, wrong = total + faults, wrong + found
        return total, wrong

    row("faults under a save", under_faults)
    row("damaged files", lambda folder: damage_files(folder, options.damages, numbers))


if __name__ == "__main__":
    main()
