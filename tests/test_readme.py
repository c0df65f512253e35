"""The README and the docs are true: examples run as written, what they point at exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import quorum
import rumor

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def example(name: str) -> str:
    """The Python block that follows this marker."""
    found = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)```", README, re.DOTALL)
    assert found, f"the README has an example named {name}"
    return found[1]


@pytest.mark.parametrize(
    ("name", "printed"),
    [("counter", "together: 40 42\n"), ("catalog", "web is at [8080]\n")],
)
def test_the_examples_run_as_written(name, printed):
    """In a process of their own, warnings being errors."""
    line = [sys.executable, "-W", "error", "-c", example(name)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(printed)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    """Relative links name files that are there."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_the_map_beside_the_paper_names_what_is_there():
    """Each `file: name` in the table is a definition in that file."""
    text = (ROOT / "docs" / "beside-the-paper.md").read_text()
    places = re.findall(r"`((?:quorum/|rumor/)?[a-z_]+(?:/[a-z_]+)*\.py)(?:: ([\w.]+))?`", text)
    assert len(places) > 25
    for file, name in places:
        package = "" if file.startswith(("quorum/", "rumor/")) else "quorum/"
        path = ROOT / "src" / f"{package}{file}"
        assert path.exists(), file
        if name:
            assert re.search(rf"\b{name.split('.')[-1]}\b", path.read_text()), f"{file}: {name}"


def test_every_setting_and_error_named_in_the_docs_exists():
    """`Config.x` is a field; an error in the tables is an error of the package."""
    text = "".join(path.read_text() for path in DOCS)
    for field in re.findall(r"`Config\.([a-z_]+)`", text):
        assert hasattr(quorum.Config(), field) or hasattr(rumor.Config(), field), field
    table = (ROOT / "docs" / "guarantees.md").read_text()
    for error in re.findall(r"^\| `([A-Z]\w+)", table, re.MULTILINE):
        assert hasattr(quorum, error), error
