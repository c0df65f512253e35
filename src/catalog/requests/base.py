"""What all requests have."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from attrs import frozen

__all__ = ["LeaderRequest", "Request", "T_co"]

T_co = TypeVar("T_co", covariant=True)


@frozen
class Request(Generic[T_co]):
    """Something to ask; `T_co` is the type of the answer, `RESULT` the same for the wire."""

    RESULT: ClassVar[Any] = None
    REPEATABLE: ClassVar[bool] = True
    """Whether it does no harm to ask twice."""
    LOCAL: ClassVar[bool] = False
    """Whether it concerns the agent that is asked, and no other may answer."""

    @property
    def patience(self) -> float:
        """For how many seconds it may wait for news, by its own wish."""
        return 0.0


@frozen
class LeaderRequest(Request[T_co]):
    """Something that only the leader can do; other servers pass it on to it."""
