"""Several real processes that train one run: the same losses, one voice, and what happens when one of them is lost."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from charlstm.errors import ConfigError
from charlstm.options import TrainOptions

TRAIN = [
    *(
        "--hidden-size",
        "12",
        "--batch-size",
        "8",
        "--sequence-length",
        "16",
        "--precision",
        "float32",
        "--dropout",
        "0.2",
    ),
    *("--weight-drop", "0.1", "--network-alone", "--sample-every", "0"),
]
QUICKLY = {"CHARLSTM_CPU_DEVICES": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # compiled in the shortest time
LIMIT = 8  # seconds without a sign of life; on a busy machine a second thread may not come to its turn for some


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def start(
    count: int,
    *arguments: str,
    own: Callable[[int], list[str]] = lambda number: [],
    at: str = "127.0.0.1",
    within: Callable[[int], list[str]] = lambda number: [],
) -> list[subprocess.Popen]:
    """Processes of one device each that train a run together, process 0 `at` an address.

    `own` are arguments of one of them, `within` is the command that runs it.
    """
    together = ["--coordinator", f"{at}:{free_port()}", "--processes", str(count), "--host-timeout", str(LIMIT)]
    program = [sys.executable, "-m", "charlstm", "train", *arguments, *together]
    return [
        subprocess.Popen(
            [*within(number), *program, "--process", str(number), *own(number)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | QUICKLY,
        )
        for number in range(count)
    ]  # fmt: skip


def finish(processes: list[subprocess.Popen], seconds: float = 600) -> list[tuple[int, str, str]]:
    """Their exit statuses, and what they have written."""
    ends = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=seconds)
            ends.append((process.returncode, out, err))
    finally:
        for process in processes:
            process.kill()
    return ends


def losses(run: Path) -> np.ndarray:
    return np.array([json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()])


def wait_for_steps(run: Path, process: subprocess.Popen) -> None:
    """Wait until a run reports, and so until all its processes are making steps."""
    while process.poll() is None:
        for metrics in (run / "metrics.jsonl", run / ".new" / "metrics.jsonl"):
            if metrics.exists() and metrics.stat().st_size:
                return
        time.sleep(0.1)
    raise AssertionError(process.stderr and process.stderr.read())


@pytest.fixture
def text(tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The short text, in the folder that all commands of a test work in."""
    monkeypatch.chdir(tmp_path)
    Path("verse.txt").write_bytes(text_file.read_bytes())
    return "verse.txt"


def test_two_processes_train_the_run_that_one_trains_and_one_of_them_speaks(text):
    (first, second) = finish(start(2, text, "--run", "two", "--steps", "6", *TRAIN, "--json"))
    assert first[0] == 0, first[2]
    assert second == (0, "", "")
    events = [json.loads(line) for line in first[1].splitlines()]
    assert [event["event"] for event in events[:2]] == ["joined", "started"] and events[-1]["event"] == "finished"
    alone = [sys.executable, "-m", "charlstm", "train", text, "--run", "one", "--steps", "6", *TRAIN, "--quiet"]
    subprocess.run(alone, check=True, capture_output=True)
    np.testing.assert_allclose(losses(Path("two")), losses(Path("one")), rtol=1e-5)


@pytest.mark.slow
def test_four_processes_stop_all_when_one_is_told_to_and_two_go_on(text):
    processes = start(4, text, "--run", "four", "--steps", "4000", *TRAIN)
    wait_for_steps(Path("four"), processes[0])
    processes[2].send_signal(signal.SIGTERM)
    ends = finish(processes)
    assert [status for status, _, _ in ends] == [0, 0, 128 + signal.SIGTERM, 0], ends
    assert "continue with" in ends[0][2] and [out for _, out, _ in ends[1:]] == [""] * 3
    done = len(losses(Path("four")))
    two = finish(start(2, "--run", "four", "--resume", "--steps", "40"))
    assert [status for status, _, _ in two] == [0, 0], two
    assert "rounded in another order" in two[0][2] and len(losses(Path("four"))) > done


@pytest.mark.slow
@pytest.mark.parametrize(("number", "sent"), [(1, signal.SIGKILL), (1, signal.SIGSTOP), (0, signal.SIGKILL)])
def test_a_lost_process_ends_all_with_a_sentence_and_the_run_goes_on(text, number, sent):
    processes = start(2, text, "--run", "run", "--steps", "1000000", *TRAIN)
    wait_for_steps(Path("run"), processes[0])
    processes[number].send_signal(sent)
    other = processes[1 - number]
    _, err = other.communicate(timeout=8 * LIMIT)
    assert other.returncode == 1
    assert "resume" in err and f"process {number} on " in err, err
    processes[number].kill()
    processes[number].communicate()
    (resumed,) = finish(start(1, "--run", "run", "--resume", "--steps", "5"))
    assert resumed[0] == 0, resumed[2]


@pytest.mark.slow
def test_with_local_steps_the_lost_are_left_out_and_fewer_go_on(text):
    arguments = (text, "--run", "run", "--average-every", "3", "--steps", "40000", *TRAIN)
    processes = start(4, *arguments)
    wait_for_steps(Path("run"), processes[0])
    processes[2].kill()
    processes[3].send_signal(signal.SIGSTOP)
    said = processes[0].stderr
    assert said
    lost = {line[:10] for line in islice((line for line in said if "without its 1/4 of the text" in line), 2)}
    assert lost == {"process 2 ", "process 3 "}
    processes[3].send_signal(signal.SIGCONT)  # it finds that it was left out
    processes[3].wait(8 * LIMIT)
    processes[0].send_signal(signal.SIGTERM)
    first, second, _, left_out = finish(processes)
    assert first[0] == 128 + signal.SIGTERM and "continue with" in first[2], first
    assert second == (0, "", "")
    assert left_out[0] == 1 and left_out[2].startswith("error: process 0 goes on without this one"), left_out
    done = len(losses(Path("run")))
    two = finish(start(2, "--run", "run", "--resume", "--steps", "9"))
    assert [status for status, _, _ in two] == [0, 0], two
    assert "Gloo" not in two[0][1] + two[1][1]  # its collectives would wait for who is lost
    assert "saved by 4 processes, now 2" in two[0][2] and len(losses(Path("run"))) > done


BOTH_WAYS = """
import sys, charlstm
shape = dict(hidden_size=8, batch_size=4, sequence_length=8, steps=4, network_alone=True)
hosts = dict(coordinator=sys.argv[1], processes=2, process=int(sys.argv[2]))
charlstm.train("verse.txt", run="apart", average_every=2, **shape, **hosts)
try:
    charlstm.train("verse.txt", run="together", **shape, **hosts)
except charlstm.CharLSTMError as error:
    print(error)
"""


@pytest.mark.slow
def test_gradients_are_refused_in_a_program_that_has_made_local_steps(text):
    address = f"127.0.0.1:{free_port()}"
    ends = finish(
        [
            subprocess.Popen(
                [sys.executable, "-c", BOTH_WAYS, address, str(number)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | QUICKLY,
            )
            for number in range(2)
        ],
        100,
    )  # fmt: skip
    assert all("an earlier run of this program made local steps" in out for _, out, _ in ends), ends
    assert Path("apart", "config.json").exists() and not Path("together").exists()


@pytest.mark.slow
def test_a_late_process_is_waited_for_and_one_with_another_text_is_refused_by_its_host(text):
    Path("other.txt").write_text("another text\n" * 50)
    arguments = ("--run", "run", "--steps", "3", *TRAIN)
    port = free_port()
    processes = []
    for number, name in enumerate((text, "other.txt")):
        time.sleep(5 * number)
        command = ["train", name, *arguments, "--coordinator", f"127.0.0.1:{port}", "--processes", "2"]
        command += ["--process", str(number), "--host-timeout", str(LIMIT)]
        processes.append(
            subprocess.Popen([sys.executable, "-m", "charlstm", *command], stderr=subprocess.PIPE, text=True)
        )
    for status, _, err in finish(processes):
        assert status == 1 and f"process 1 on {socket.gethostname()}" in err and "other.txt" in err, err
    assert not Path("run").exists()


@pytest.mark.slow
def test_a_process_with_other_settings_is_refused_by_its_host(text):
    arguments = (text, "--run", "run", "--steps", "3", *TRAIN)
    for status, _, err in finish(start(2, *arguments, own=lambda number: ["--seed", str(number)])):
        named = rf"process 1 on {socket.gethostname()} has (--)?seed 1"  # in plain words where it waited in C++
        assert status == 1 and re.search(named, err), err


@pytest.fixture
def namespaces():
    """Two network namespaces, named, that are connected: to a program in one of them it is a machine of its own."""
    names = [f"charlstm-{os.getpid()}-{number}" for number in range(2)]
    commands = [f"netns add {name}" for name in names]
    commands += [f"link add host0 netns {names[0]} type veth peer name host1 netns {names[1]}"]
    for number, name in enumerate(names):
        commands += [f"-n {name} addr add 10.93.7.{number + 1}/24 dev host{number}"]
        commands += [f"-n {name} link set {device} up" for device in ("lo", f"host{number}")]
    try:
        for command in commands:
            done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"no network namespaces here: {done.stderr}")
        yield names
    except FileNotFoundError:
        pytest.skip("there is no ip")
    finally:
        for name in names if shutil.which("ip") else []:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.mark.slow
def test_two_machines_train_the_run_that_one_trains(text, namespaces):
    """The name of a machine stands for none of its addresses there, by which Gloo would listen."""
    arguments = (text, "--run", "two", "--steps", "6", *TRAIN)
    enter = [["ip", "netns", "exec", name] for name in namespaces]
    ends = finish(start(2, *arguments, at="10.93.7.1", within=lambda number: enter[number]))
    assert [status for status, _, _ in ends] == [0, 0], ends
    alone = [sys.executable, "-m", "charlstm", "train", text, "--run", "one", "--steps", "6", *TRAIN, "--quiet"]
    subprocess.run(alone, check=True, capture_output=True)
    np.testing.assert_allclose(losses(Path("two")), losses(Path("one")), rtol=1e-5)


@contextmanager
def taken_port():
    with socket.create_server(("", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_taken_and_one_where_nobody_answers_are_said_in_a_sentence(text):
    with taken_port() as port:
        ends = [called(text, port, 0), called("verse.txt", free_port(), 1)]
    assert f"cannot listen at port {port}" in ends[0]
    assert "process 0 cannot be reached at 127.0.0.1" in ends[1]


def called(text: str, port: int, process: int) -> str:
    place = ["--coordinator", f"127.0.0.1:{port}", "--processes", "2", "--process", str(process)]
    command = [sys.executable, "-m", "charlstm", "train", text, *place, "--host-timeout", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 2 and not done.stdout, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"coordinator": "host", "processes": 2, "process": 0}, "no HOST:PORT"),
        ({"coordinator": "host:0", "processes": 2, "process": 0}, "no HOST:PORT"),
        ({"coordinator": "host:70000", "processes": 2, "process": 0}, "no HOST:PORT"),
        ({"coordinator": "::1:5000", "processes": 2, "process": 0}, "no HOST:PORT"),
        ({"coordinator": "host:5000", "processes": 2, "process": 2}, "numbered from 0 to 1"),
        ({"coordinator": "host:5000", "processes": 2}, "do not say where"),
        ({"process": 1}, "does not say where"),
        ({"distributed": True, "processes": 2}, "contradict"),
        ({"distributed": True, "texts": "-"}, "standard input"),
        ({"average_every": 8}, "8` is for several processes"),
        ({"average_every": 0, "distributed": True}, "must be"),
    ],
)
def test_what_does_not_say_where_the_others_are_is_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        TrainOptions(**given)
