"""The shape of the package: imports go down only, and the slow ones stay out of the way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import charlstm

PACKAGE = Path(charlstm.__file__).parent

# Each module may import those of its own floor's allowance and of the floors below. A new module needs a place here.
FLOORS = [
    {"__init__", "errors"},
    {"files", "config", "score"},
    {"vocabulary", "download", "batching"},
    {"text"},
    {"corpus", "runtime", "lstm", "sharding", "events"},
    {"model", "muon", "plots", "tensorboard", "advice", "baseline"},
    {"optimizer", "runs"},
    {"journal", "sampling", "evaluation"},
    {"training", "dynamic"},
    {"speed"},
    {"sizing"},
    {"benchmark"},
    {"display"},
    {"cli"},
    {"__main__"},
]
SIDEWAYS = {("files", "errors"), ("config", "errors"), ("corpus", "download")}
WITHOUT_JAX = {
    "__init__", "errors", "files", "config", "score", "vocabulary", "download", "batching", "text", "corpus", "events",
    "plots", "tensorboard", "advice", "baseline", "display", "cli", "__main__",
}  # fmt: skip
WITH_TERMINAL = {"cli", "display"}


def modules() -> dict[str, list[Path]]:
    """Module or subpackage -> its files."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        found.setdefault(path.relative_to(PACKAGE).with_suffix("").parts[0], []).append(path)
    return found


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
            assert floor(other) < floor(module) or (module, other) in SIDEWAYS, f"{path.name} imports {other}"


@pytest.mark.parametrize("module", sorted(modules()))
def test_only_the_edge_knows_the_terminal(module):
    for path in modules()[module]:
        tops = {name.split(".")[0] for name in imports(path, at_load_only=False)}
        assert module in WITH_TERMINAL or not tops & {"typer", "rich"}, path


@pytest.mark.parametrize("module", sorted(WITHOUT_JAX))
def test_what_must_be_quick_does_not_load_jax(module):
    for path in modules()[module]:
        loaded = imports(path, at_load_only=True)
        assert not {name.split(".")[0] for name in loaded} & {"jax", "flax", "optax"}, path
        assert own(loaded) <= WITHOUT_JAX, f"{path} loads {own(loaded) - WITHOUT_JAX}"


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["corpora"]], ids=" ".join)
def test_help_leaves_jax_unloaded(arguments):
    program = (
        "import sys, charlstm.cli\n"
        "try:\n    charlstm.cli.main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "assert 'jax' not in sys.modules, 'jax was loaded'"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
