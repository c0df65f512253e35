"""Registrations that last for a block, against an agent that misbehaves."""

from __future__ import annotations

from random import Random

import pytest
import trio

from catalog.blocks import FAREWELL_SECONDS, Blocks
from catalog.errors import Indeterminate, NoLeader
from catalog.model import Service
from catalog.requests import Deregister, Register


class Agent(Blocks):
    """Says what it was asked, and fails as it is told."""

    def __init__(self) -> None:
        self._random = Random(1)
        self.asked: list[object] = []
        self.failures: dict[type, Exception] = {}
        self.slow: set[type] = set()

    async def ask(self, request):
        self.asked.append(request)
        await trio.sleep(0.01)
        if type(request) in self.slow:
            await trio.sleep(100)
        if type(request) in self.failures:
            raise self.failures[type(request)]
        return 1


WEB = Service("web")
BOTH = [Register(WEB), Deregister("web")]


@pytest.fixture
def agent() -> Agent:
    """It does what it is asked."""
    return Agent()


async def test_a_service_is_registered_while_the_block_lasts(agent, autojump_clock):
    """And withdrawn by its end, however that comes."""
    async with agent.registered(WEB) as index:
        assert 1 == index
    assert BOTH == agent.asked

    with pytest.raises(ZeroDivisionError):
        async with agent.registered(WEB):
            raise ZeroDivisionError
    with trio.move_on_after(1):
        async with agent.registered(WEB):
            await trio.sleep_forever()
    assert BOTH * 3 == agent.asked


@pytest.mark.parametrize("error", [NoLeader("none"), Indeterminate("perhaps")], ids=["no", "maybe"])
async def test_what_may_be_registered_is_withdrawn(agent, error, autojump_clock):
    """The agent remembers a service although the catalog could not be written."""
    agent.failures[Register] = error
    with pytest.raises(type(error)):
        async with agent.registered(WEB):
            pytest.fail("it is not registered")

    assert BOTH == agent.asked


async def test_a_registration_that_is_cancelled_is_withdrawn(agent, autojump_clock):
    """It was on its way."""
    agent.slow.add(Register)
    with trio.move_on_after(1) as scope:
        async with agent.registered(WEB):
            pytest.fail("it takes too long")

    assert scope.cancelled_caught
    assert BOTH == agent.asked


async def test_what_was_refused_withdraws_nothing(agent, autojump_clock):
    """There may be another service of this id."""
    agent.failures[Register] = ValueError("the check is another's")
    with pytest.raises(ValueError, match="another's"):
        async with agent.registered(WEB):
            pytest.fail("it was refused")

    assert BOTH[:1] == agent.asked


async def test_leaving_is_bounded(agent, autojump_clock):
    """By time, and an agent that cannot write now does it later."""
    agent.slow.add(Deregister)
    begun = trio.current_time()
    async with agent.registered(WEB):
        pass
    assert trio.current_time() - begun <= FAREWELL_SECONDS + 0.1

    agent.slow.clear()
    agent.failures[Deregister] = NoLeader("none")
    async with agent.registered(WEB):
        pass
