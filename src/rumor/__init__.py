"""rumor: who is in the cluster, and who is alive.

SWIM with Lifeguard's extensions, as a pure core and a driver for trio::

    import trio
    from rumor import Failed, Joined, open_agent

    async def main() -> None:
        async with (
            open_agent("ada") as ada,
            open_agent("bob", seeds=[ada.address], meta={"role": "db"}) as bob,
            ada.subscribe() as events,
        ):
            async for event in events:
                match event:
                    case Joined(member):
                        print("welcome,", member.name, dict(member.meta))
                    case Failed(member):
                        print("lost", member.name)
                if len(ada.members) == len(bob.members) == 2:
                    break
            await bob.leave()

    trio.run(main)
"""

from __future__ import annotations

from rumor.config import Config
from rumor.effects import (
    Conflicted,
    Failed,
    Joined,
    Left,
    Reachable,
    Reaped,
    Recovered,
    Suspected,
    Unreachable,
    Updated,
)
from rumor.errors import (
    AgentClosed,
    ConfigError,
    EventTooLarge,
    ForeignCluster,
    JoinFailed,
    KeysIncomplete,
    MetaTooLarge,
    NotAuthentic,
    NotFailed,
    Overloaded,
    ProtocolError,
    QueryInvalid,
    RumorError,
)
from rumor.keyring import Keyring
from rumor.messages import Address, Health, Name, UserEvent
from rumor.trio.agent import Agent
from rumor.trio.keys import ClusterKeys, Held, KeyReport
from rumor.trio.opening import open_agent
from rumor.trio.polls import Poll, Question, Response
from rumor.trio.subscription import Subscription
from rumor.trio.traffic import AgentStatistics
from rumor.trio.view import AgentEvent, EventsLost, Member, MembershipEvent

__all__ = [
    "Address",
    "Agent",
    "AgentClosed",
    "AgentEvent",
    "AgentStatistics",
    "ClusterKeys",
    "Config",
    "ConfigError",
    "Conflicted",
    "EventTooLarge",
    "EventsLost",
    "Failed",
    "ForeignCluster",
    "Health",
    "Held",
    "JoinFailed",
    "Joined",
    "KeyReport",
    "Keyring",
    "KeysIncomplete",
    "Left",
    "Member",
    "MembershipEvent",
    "MetaTooLarge",
    "Name",
    "NotAuthentic",
    "NotFailed",
    "Overloaded",
    "Poll",
    "ProtocolError",
    "QueryInvalid",
    "Question",
    "Reachable",
    "Reaped",
    "Recovered",
    "Response",
    "RumorError",
    "Subscription",
    "Suspected",
    "Unreachable",
    "Updated",
    "UserEvent",
    "open_agent",
]
