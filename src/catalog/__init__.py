"""A service registry and key-value store, built on `quorum` (Raft) and `rumor` (SWIM gossip).

    config = AgentConfig.dev()  # one server in memory; three with data make a cluster
    async with open_catalog(config) as catalog:
        await catalog.register(Service("web", port=8080, checks=[TtlCheck(15.0)]))
        await catalog.heartbeat("web")
        async with catalog.subscribe("web") as web:
            async for news in web:  # a View of all instances, then each Change
                print(news, web.view.select(healthy=True))

`connect("host:port")` gives the same methods on an agent in another process, and
`blocking.connect("host:port")` to code that does not use trio.
"""

from catalog import blocking
from catalog.agent import Agent, open_catalog
from catalog.api import Catalog
from catalog.client import Client, connect
from catalog.config import AgentConfig
from catalog.errors import (
    AgentFailed,
    Busy,
    CatalogError,
    ConfigError,
    Indeterminate,
    NoLeader,
    NoServers,
    NotRegistered,
    OutOfStep,
    ProtocolError,
    Refused,
    SessionLost,
    StartError,
    Unavailable,
)
from catalog.locks import Held, LiveSession
from catalog.model import (
    Behaviour,
    Change,
    ChangeKind,
    CheckState,
    FencingToken,
    HttpCheck,
    Instance,
    KeyValue,
    Node,
    NodeView,
    Role,
    Service,
    Status,
    TcpCheck,
    TtlCheck,
    View,
)
from catalog.requests import Answer, Consistency, Member, MemberHealth
from catalog.subscriptions import Subscription
from catalog.trust import Trust

__all__ = [
    "Agent",
    "AgentConfig",
    "AgentFailed",
    "Answer",
    "Behaviour",
    "Busy",
    "Catalog",
    "CatalogError",
    "Change",
    "ChangeKind",
    "CheckState",
    "Client",
    "ConfigError",
    "Consistency",
    "FencingToken",
    "Held",
    "HttpCheck",
    "Indeterminate",
    "Instance",
    "KeyValue",
    "LiveSession",
    "Member",
    "MemberHealth",
    "NoLeader",
    "NoServers",
    "Node",
    "NodeView",
    "NotRegistered",
    "OutOfStep",
    "ProtocolError",
    "Refused",
    "Role",
    "Service",
    "SessionLost",
    "StartError",
    "Status",
    "Subscription",
    "TcpCheck",
    "Trust",
    "TtlCheck",
    "Unavailable",
    "View",
    "blocking",
    "connect",
    "open_catalog",
]
