"""Arithmetic of majorities: no state, no messages.

Every decision in Raft is a question of one kind: what has a majority reached? A log index (commit,
§5.3), a round (reads, thesis 6.4), a moment (CheckQuorum, thesis 6.2). In a joint configuration a
majority of both sets is needed (§6), so the answer is the lesser of the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from quorum.messages import Members, NodeId

Number = TypeVar("Number", int, float)


def reached(members: Members, values: Mapping[NodeId, Number], absent: Number) -> Number:
    """The highest value that a majority (of both sets, when joint) has reached.

    Who is missing from `values` counts as `absent`. Without voters nobody decides: `absent`.
    """
    agreed = _reached(members.voters, values, absent)
    if members.outgoing:
        agreed = min(agreed, _reached(members.outgoing, values, absent))
    return agreed


def _reached(voters: Sequence[NodeId], values: Mapping[NodeId, Number], absent: Number) -> Number:
    if not voters:
        return absent
    # Sorting beats anything cleverer for the handful of servers that a cluster has.
    ranked = sorted([values.get(voter, absent) for voter in voters], reverse=True)
    return ranked[len(voters) // 2]


def won(members: Members, votes: Mapping[NodeId, bool]) -> bool:
    """Whether the votes cast so far elect (§5.2): counted by voter, so repetition is harmless."""
    return bool(members.voters) and all(
        sum(votes.get(voter, False) for voter in voters) > len(voters) // 2
        for voters in (members.voters, members.outgoing)
        if voters
    )


def lost(members: Members, votes: Mapping[NodeId, bool]) -> bool:
    """Whether the refusals so far make winning impossible."""
    return any(
        sum(not votes.get(voter, True) for voter in voters) * 2 >= len(voters)
        for voters in (members.voters, members.outgoing)
        if voters
    )
