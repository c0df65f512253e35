"""From results to state: thresholds, silence, patience."""

from __future__ import annotations

from math import inf

import pytest

from catalog.model import Check, CheckState, HttpCheck, Status, TcpCheck, TtlCheck
from catalog.node.health import CheckRun

P, W, C = Status.PASSING, Status.WARNING, Status.CRITICAL


def feed(check: Check, *results: Status) -> list[Status]:
    """Return the state after each result, one second apart."""
    run = CheckRun.begin("c", check, now=0.0)
    states = []
    for now, result in enumerate(results, 1):
        run.observe(result, "", now=float(now))
        states.append(run.state.status)
    return states


@pytest.mark.parametrize(
    ("success", "failures", "results", "states"),
    [
        (1, 1, [P, W, C, P], [P, W, C, P]),
        (2, 1, [P, P, C, P, P], [C, P, C, C, P]),
        (2, 1, [P, C, P, P], [C, C, C, P]),
        (2, 1, [P, W], [C, W]),
        (1, 3, [P, C, C, P, C, C, C], [P, P, P, P, P, P, C]),
        (1, 2, [W, C, C], [W, W, C]),
    ],
    ids=["none", "success", "success from zero", "warning is success", "failure", "from warning"],
)
@pytest.mark.parametrize("kind", [HttpCheck, TcpCheck])
def test_thresholds_count_results_in_a_row(
    kind: type[HttpCheck | TcpCheck],
    success: int,
    failures: int,
    results: list[Status],
    states: list[Status],
) -> None:
    """A state is left after so many results of the other sort in a row, and one breaks the row."""
    check = kind("x:1", success_before_passing=success, failures_before_critical=failures)

    assert states == feed(check, *results)


def test_below_the_threshold_nothing_changes() -> None:
    """A failure that does not count yet leaves state and output alone."""
    run = CheckRun.begin("c", TcpCheck("x:1", failures_before_critical=2), now=0.0)
    run.observe(P, "fine", now=1.0)

    assert not run.observe(C, "refused", now=2.0)
    assert CheckState("c", P, "fine", kind="tcp") == run.state
    assert run.observe(C, "refused", now=3.0)


def test_the_application_is_believed_at_once() -> None:
    """A TTL check takes each report as it is."""
    assert feed(TtlCheck(9), C, P, W) == [C, P, W]


def test_a_change_is_told_from_a_repetition() -> None:
    """Only another status counts as a change; the output is kept all the same."""
    run = CheckRun.begin("c", TtlCheck(9), now=0.0)

    assert run.observe(P, "", now=1.0)
    assert not run.observe(P, "", now=2.0)
    assert not run.observe(P, "busy", now=3.0)
    assert "busy" == run.state.output


def test_silence_turns_critical_at_the_ttl_and_not_before() -> None:
    """The TTL runs from the last report, good or bad, and expires once."""
    run = CheckRun.begin("c", TtlCheck(10), now=0.0)
    run.observe(P, "busy", now=5.0)
    assert run.expires_at == 15.0
    assert not run.expire(now=14.9)
    assert run.expire(now=15.0)

    expected = "TTL expired (last output before timeout follows): busy"
    assert CheckState("c", C, expected, kind="ttl") == run.state
    assert inf == run.expires_at
    assert not run.expire(now=99.0)
    assert run.observe(P, "back", now=100.0)
    assert run.expires_at == 110.0


def test_a_registered_check_has_all_its_ttl() -> None:
    """A check that begins passing is given a full TTL to say its first word."""
    run = CheckRun.begin("c", TtlCheck(10, status=P), now=7.0)

    assert not run.expire(now=16.9)
    assert run.expire(now=17.0)
    assert run.state.output == "TTL expired"


def test_probes_do_not_expire() -> None:
    """An HTTP or TCP check is driven by its probes, not by silence."""
    run = CheckRun.begin("c", TcpCheck("x:1", status=P), now=0.0)

    assert inf == run.expires_at
    assert not run.expire(now=1e9)


def test_patience_runs_while_the_state_is_critical() -> None:
    """The time runs from the turn to critical (or registration), and any recovery ends it."""
    run = CheckRun.begin("c", TtlCheck(10, deregister_critical_after=60), now=0.0)
    assert run.condemns_at == 60.0

    run.observe(P, "", now=5.0)
    assert inf == run.condemns_at
    run.expire(now=20.0)
    run.observe(C, "still bad", now=30.0)
    assert run.condemns_at == 80.0


def test_without_a_limit_patience_is_endless() -> None:
    """A service is removed only if its check asks for it."""
    assert inf == CheckRun.begin("c", TtlCheck(10), now=0.0).condemns_at


def test_a_new_definition_keeps_the_state() -> None:
    """A check redefined under its id goes on from where it is."""
    run = CheckRun.begin("c", TtlCheck(10), now=0.0)
    run.observe(P, "fine", now=1.0)
    run.redefine(TtlCheck(20))

    assert CheckState("c", P, "fine", kind="ttl") == run.state
    assert run.expires_at == 21.0


def test_failures_warn_before_they_are_critical():
    """Some failures in a row make a warning, more of them turn critical."""
    check = TcpCheck("x:1", status=P, failures_before_warning=2, failures_before_critical=3)
    run = CheckRun.begin("c", check, now=0.0)

    seen = []
    for now in range(4):
        run.observe(C, "no", now=float(now))
        seen.append(run.state.status)
    assert [P, Status.WARNING, C, C] == seen
