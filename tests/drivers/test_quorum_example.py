"""The opening example of the package runs as it is printed."""

from __future__ import annotations

import textwrap

import quorum


def test_the_opening_example_runs_as_written(capsys):
    """What a reader copies first must work."""
    lines = (quorum.__doc__ or "").splitlines()
    example = textwrap.dedent(
        "\n".join(line for line in lines if line.startswith("    ") or not line)
    )
    exec(compile(example, "example", "exec"), {"__name__": "example"})
    assert "together: 40 42\n" == capsys.readouterr().out


def test_every_public_name_is_there():
    """`__all__` is sorted and true."""
    assert sorted(quorum.__all__) == quorum.__all__
    assert all(hasattr(quorum, name) for name in quorum.__all__)
