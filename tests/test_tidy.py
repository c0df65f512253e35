"""What a reviewer should not have to say: lint, types, import contracts, sizes, mirrors."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))

FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70
IMPURE = {
    "trio",
    "socket",
    "os",
    "time",
    "random",
    "logging",
    "threading",
    "asyncio",
    "cbor2",
    "cattrs",
}


def is_test(name: str) -> bool:
    return name.startswith("test_")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy"],
        ["importlinter.cli", "lint"],
    ],
    ids=["ruff", "format", "mypy", "import-linter"],
)
def test_tools_have_nothing_to_say(command):
    """As configured in pyproject.toml, and nowhere else."""
    module, *arguments = command
    if module == "importlinter.cli":
        line = [str(Path(sys.executable).parent / "lint-imports")]
    else:
        line = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_and_functions_fit_the_mind(path):
    """One file, one reason to exist; a function fits a screen; no debts left in comments."""
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES_MAX
    assert not re.search(r"\b(TODO|FIXME|XXX)\b|NotImplementedError", text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{node.name} has {length} lines"


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if "core" in path.parts or "simulation" in path.parts],
    ids=name_of,
)
def test_cores_and_simulators_are_deterministic(path):
    """No clock, no global chance, no sets iterated where order could reach an effect."""
    tree = ast.parse(path.read_text())
    allowed = {"random", "time", "os"} if path.name == "__main__.py" else set()
    if "simulation" in path.parts:
        allowed |= {"random", "cbor2", "cattrs"}
    if "catalog" in path.parts:  # its simulator runs whole agents, in loops with clocks of its own
        allowed |= {"trio", "logging"}
    for node in tree.body:
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        assert not {module.split(".")[0] for module in modules} & (IMPURE - allowed)
    for node in ast.walk(tree):
        if isinstance(node, ast.For | ast.comprehension):
            assert not isinstance(node.iter, ast.Set | ast.SetComp), "order depends on hashes"


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_every_test_says_what_fact_it_shows(path):
    """One sentence, in its docstring."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_test(node.name):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


@pytest.mark.parametrize("package", ["quorum", "rumor"])
def test_each_file_of_a_core_has_its_test_file(package):
    """Who changes core/log.py finds tests/…/test_log.py."""
    exempt = {"__init__", "state"}  # a state is covered by every rule that works on it
    for path in (ROOT / "src" / package / "core").glob("*.py"):
        if path.stem not in exempt:
            assert (ROOT / "tests" / package / f"test_{path.stem}.py").exists(), path.name


def test_public_names_are_those_in_all():
    """Each package says what it offers."""
    for package in ("quorum", "rumor", "catalog"):
        module = __import__(package)
        assert module.__doc__
        assert all(hasattr(module, name) for name in module.__all__)
