"""The whole registry in virtual time: servers, agents and their users, under troubles, from a seed.

    python -m catalog.simulation --seeds 20

The real agents run here, each in a trio loop of its own with a clock of its own, over a network in
memory; `world` says why. `invariants` and `chaos` list what is promised.
"""

from __future__ import annotations

from catalog.simulation.chaos import Report, run
from catalog.simulation.invariants import Violation

__all__ = ["Report", "Violation", "run"]
