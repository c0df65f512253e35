"""The command that looks into a member's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumor.inspect import main
from rumor.snapshot import LEFT, MAGIC, MINE, OWNER, SEEN, pack

DATA = MAGIC + pack([(OWNER, "c", "ada"), (SEEN, "bob", "10.0.0.2", 7946), (MINE, 3, 9), (LEFT,)])


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (DATA, 0, ["'ada' of cluster 'c'", "incarnation 3, clock 9", "bob  10.0.0.2:7946", "left"]),
        (DATA, 0, ["ok: 4 records, 1 members to ask"]),
        (
            DATA[:-1],
            1,
            ["incarnation 3", "damaged: a record was not written to its end", "9 bytes"],
        ),
        (DATA[:-1] + b"x", 1, ["damaged: a record does not fit its checksum"]),
        (b"hello", 1, ["damaged: not a member snapshot"]),
        (MAGIC, 0, ["ok: 0 records"]),
        (b"", 0, ["ok: an empty file"]),
    ],
)
def test_a_file_is_described_with_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, status: int, words: list[str]
) -> None:
    """And is not changed."""
    path = tmp_path / "ada"
    path.write_bytes(data)

    assert main([str(path)]) == status
    out = capsys.readouterr().out
    assert all(word in out for word in words)
    assert path.read_bytes() == data


def test_no_file_is_nothing_to_look_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, and the reason."""
    assert main([str(tmp_path / "none")]) == 2
    assert "No such file" in capsys.readouterr().err
