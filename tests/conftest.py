"""One seed for the whole run, printed first: the same seed gives the same run."""

from __future__ import annotations

import os
import secrets

import pytest

SEED_VARIABLE = "QUORUMKIT_SEED"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Seed hypothesis, and the simulators' fresh seeds, with one number."""
    given = config.getoption("hypothesis_seed", None)
    seed = int(given or os.environ.get(SEED_VARIABLE) or secrets.randbelow(10**9))
    config.option.hypothesis_seed = str(seed)
    os.environ[SEED_VARIABLE] = str(seed)


def pytest_report_header() -> str:
    """How to repeat this run."""
    return f"seed: {os.environ[SEED_VARIABLE]} (to repeat: {SEED_VARIABLE}=<seed> pytest ...)"


@pytest.fixture
def run_seed() -> int:
    """This run's seed, for tests that draw fresh cases of their own."""
    return int(os.environ[SEED_VARIABLE])
