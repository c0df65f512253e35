"""A simulated cluster under faults, from a seed: try `quorum`, or a state machine of your own.

    from quorum.simulation import run

    report = run(7, machine=Counter, command=lambda random: b"+%d" % random.randrange(9))
    assert not report.violations, report.violations[0]

Every message, disk write, crash and clock is simulated, in virtual time, from one generator, so a
seed is the whole run: what fails once fails every time. `python -m quorum.simulation` sweeps seeds.
"""

from quorum.simulation.faults import Faults
from quorum.simulation.report import Finding, Report
from quorum.simulation.trial import run

__all__ = ["Faults", "Finding", "Report", "run"]
