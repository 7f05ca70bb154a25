"""The shape of the package: imports go down only, and the slow ones stay out of the way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import charlstm

PACKAGE = Path(charlstm.__file__).parent

# Each room or module may import those of the floors below it, and its own files. A new one needs a place here.
FLOORS = [
    {"errors", "score"},
    {"schema", "files"},
    {"arguments", "options"},
    {"config"},
    {"events", "text"},
    {"runtime"},
    {"model"},
    {"runs"},
    {"evaluation"},
    {"sampling"},
    {"compression", "export", "training"},
    {"inspection"},
    {"benchmark", "overview"},
    {"display"},
    {"language_model"},
    {"studies", "trainer"},
    {"cli"},
    {"__init__", "__main__"},
]
UPWARDS = {("events", "runs")}  # the type of what an event carries
NEEDS_JAX = {"inspection", "model", "sampling", "training", "benchmark", "overview"}
FILES_THAT_NEED_JAX = {
    "compression/coder.py", "compression/learner.py", "compression/packing.py", "compression/walk.py",
    "evaluation/comparison.py", "evaluation/dynamic.py", "evaluation/files.py", "evaluation/report.py",
    "evaluation/states.py", "evaluation/static.py",
    "evaluation/surprise.py", "runs/card.py", "runs/checkpoints.py", "runs/weights.py", "runtime/mesh.py",
}  # fmt: skip
WITH_TERMINAL = {"cli", "display"}


def modules() -> dict[str, list[Path]]:
    """Module or room -> its files."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        found.setdefault(path.relative_to(PACKAGE).with_suffix("").parts[0], []).append(path)
    return found


def needs_jax(path: Path) -> bool:
    """Whether a file may load JAX when it is imported."""
    place = path.relative_to(PACKAGE)
    return path.name != "__init__.py" and (
        place.with_suffix("").parts[0] in NEEDS_JAX or place.as_posix() in FILES_THAT_NEED_JAX
    )


def file_of(name: str) -> Path | None:
    """The file of a dotted name of this package, if it is that of a module."""
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


def imports(path: Path, at_load_only: bool) -> set[str]:
    """Dotted names that a file imports: all, or only those outside of functions and of `if TYPE_CHECKING`."""
    names: set[str] = set()

    def walk(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if at_load_only and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if at_load_only and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                names.update(alias.name for alias in child.names)
            if isinstance(child, ast.ImportFrom) and child.module:
                names.add(child.module)
                names.update(f"{child.module}.{alias.name}" for alias in child.names)
            walk(child)

    walk(ast.parse(path.read_text("utf-8")))
    return names


def own(names: set[str]) -> set[str]:
    """The modules of this package among dotted names."""
    return {name.split(".")[1] for name in names if name.startswith("charlstm.")} & set(modules())


def floor(module: str) -> int:
    for number, names in enumerate(FLOORS):
        if module in names:
            return number
    raise AssertionError(f"{module} has no place yet: put it on a floor of FLOORS, above what it imports")


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_go_down_only(module):
    for path in modules()[module]:
        for other in own(imports(path, at_load_only=False)) - {module}:
            assert floor(other) < floor(module) or (module, other) in UPWARDS, f"{path} imports {other}"


@pytest.mark.parametrize("module", sorted(modules()))
def test_only_the_edge_knows_the_terminal(module):
    for path in modules()[module]:
        tops = {name.split(".")[0] for name in imports(path, at_load_only=False)}
        assert module in WITH_TERMINAL or not tops & {"typer", "rich", "prompt_toolkit"}, path


def test_only_what_needs_it_loads_the_prompt():
    for path in PACKAGE.rglob("*.py"):
        loaded = imports(path, at_load_only=True)
        assert path.name in ("interactive.py", "writer.py") or not {
            name
            for name in loaded
            if name.startswith(("prompt_toolkit", "charlstm.cli.interactive", "charlstm.cli.writer"))
        }, path


@pytest.mark.parametrize("module", sorted(modules()))
def test_what_must_be_quick_does_not_load_jax(module):
    for path in modules()[module]:
        if needs_jax(path):
            continue
        loaded = imports(path, at_load_only=True)
        assert not {name.split(".")[0] for name in loaded} & {"jax", "flax", "optax"}, path
        files = filter(None, (file_of(name) for name in loaded if name.startswith("charlstm.")))
        assert not [file for file in files if needs_jax(file)], path


@pytest.mark.parametrize(
    "room", sorted({path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}), ids=lambda r: r.name
)
def test_a_room_says_what_happens_there_and_names_its_files(room):
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text("utf-8"))) or ""
    for path in room.glob("*.py"):
        assert path.name == "__init__.py" or room.name == "cli" or f"{path.stem} " in text, path


def test_readme_names_every_file():
    readme = (PACKAGE.parent / "README.md").read_text("utf-8")
    for path in PACKAGE.rglob("*.py"):
        if path.name not in ("__init__.py", "__main__.py"):
            assert f"`{path.name}`" in readme, path


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["corpora"]], ids=" ".join)
def test_help_leaves_what_is_slow_unloaded(arguments):
    program = (
        "import sys, charlstm, charlstm.cli\n"
        "try:\n    charlstm.cli.main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "assert not {'jax', 'prompt_toolkit'} & set(sys.modules), 'it was loaded'"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
