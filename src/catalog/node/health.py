"""The rules by which a check's results become its state; time is told, nothing is run here.

A result is what one probe, or one report of the application, said.
The state is what the catalog shows.
Between the two stand, as in Consul:

* thresholds: a bad state is left after so many successes in a row, and turns critical after so
  many failures in a row; a warning counts as a success, since the service answers;
* silence: a TTL check turns critical when nothing was reported for its TTL. Any report restarts
  the TTL, a bad one too: it proves that the application lives;
* patience: a check that has been critical for long enough condemns its service.
"""

from __future__ import annotations

from math import inf

from attrs import define, evolve, field

from catalog.definitions import Check, Probe, Status, TtlCheck
from catalog.model import CheckState

__all__ = ["CheckRun"]


@define
class CheckRun:
    """One check of ours, from its registration on."""

    check: Check
    state: CheckState
    """What the catalog should show."""
    _heard: float
    """When a TTL check last heard from the application; registration counts."""
    _successes: int = field(default=0, init=False)
    _failures: int = field(default=0, init=False)
    _critical_since: float = field(default=inf, init=False)
    """When the state turned critical; `inf` while it is not."""

    def __attrs_post_init__(self) -> None:
        if self.state.status is Status.CRITICAL:
            self._critical_since = self._heard

    @classmethod
    def begin(cls, id: str, check: Check, *, now: float, service: str = "") -> CheckRun:
        """Return a check that nobody has heard of yet; a TTL check has all its TTL to report."""
        return cls(check, CheckState.begin(id, check, service), now)

    def redefine(self, check: Check, *, service: str = "") -> None:
        """Go on under another definition of the same id; the state stays until the next result."""
        fresh = CheckState.begin(self.state.id, check, service)
        self.check = check
        self.state = evolve(fresh, status=self.state.status, output=self.state.output)

    def observe(self, status: Status, output: str, *, now: float) -> bool:
        """Take a result; return whether the status changed, and not only the output."""
        self._heard = now
        if status is Status.CRITICAL:
            self._failures, self._successes = self._failures + 1, 0
        else:
            self._successes, self._failures = self._successes + 1, 0
        settled = self._settled(status)
        return settled is not None and self._become(settled, output, now=now)

    def expire(self, *, now: float) -> bool:
        """Turn a TTL check critical if its time is up; return whether it was."""
        if not self.expires_at <= now:
            return False
        text = "TTL expired"
        if self.state.output:
            text += f" (last output before timeout follows): {self.state.output}"
        return self._become(Status.CRITICAL, text, now=now)

    @property
    def expires_at(self) -> float:
        """When silence turns the state critical; `inf`: never, or it is critical already."""
        if isinstance(self.check, TtlCheck) and self.state.status is not Status.CRITICAL:
            return self._heard + self.check.ttl
        return inf

    @property
    def condemns_at(self) -> float:
        """When the check will have been critical for too long; `inf` as things stand: never."""
        patience = self.check.deregister_critical_after
        return inf if patience is None else self._critical_since + patience

    def _settled(self, status: Status) -> Status | None:
        """Return the state that a result makes; `None`: there were too few of its sort in a row."""
        check = self.check
        if not isinstance(check, Probe):
            return status  # the application knows best, and so does what an alias copies
        if status is not Status.CRITICAL:
            return status if self._successes >= check.success_before_passing else None
        if self._failures >= check.failures_before_critical:
            return status
        warning = check.failures_before_warning
        return Status.WARNING if warning is not None and self._failures >= warning else None

    def _become(self, status: Status, output: str, *, now: float) -> bool:
        before, self.state = self.state, evolve(self.state, status=status, output=output)
        if status is not Status.CRITICAL:
            self._critical_since = inf
        elif before.status is not Status.CRITICAL:
            self._critical_since = now
        return status is not before.status
