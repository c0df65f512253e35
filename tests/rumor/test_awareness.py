"""Local health."""

from __future__ import annotations

import pytest

from rumor.core.awareness import Awareness


@pytest.mark.parametrize(
    ("start", "change", "score", "scale"),
    [
        (0, -1, 0, 1),
        (0, 1, 1, 2),
        (1, -1, 0, 1),
        (1, 4, 5, 6),
        (5, 10, 8, 9),
        (8, 1, 8, 9),
        (8, -1, 7, 8),
    ],
)
def test_score_stays_within_its_bounds(start: int, change: int, score: int, scale: int) -> None:
    """The score never falls below zero nor rises above its maximum, and the scale follows."""
    awareness = Awareness(8, start)

    if change < 0:
        awareness.improve()
    else:
        awareness.worsen(change)

    assert (score, scale) == (awareness.score, awareness.scale)
