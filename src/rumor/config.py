"""Settings: seconds, bytes and limits, with presets for a LAN, a WAN and one machine.

All members of a cluster should use the same settings: a member that probes ten times faster than
the others are configured to answer will accuse them. Times are seconds throughout.

The names follow the papers: SWIM's protocol period is ``probe_interval``, its lambda is
``transmit_multiplier``; Lifeguard's alpha, beta and K are the three ``suspicion_…`` settings.
"""

from __future__ import annotations

from math import inf
from typing import Self

from attrs import Attribute, evolve, fields, frozen

from rumor.errors import ConfigError

ENVELOPE_BYTES_MAX = 80
"""What the wire adds to a datagram's message and updates: version, cluster's name, lengths."""

DATAGRAM_BYTES_MIN = 1232
"""Below this, an Alive update with metadata at its limit may find no room beside a message. It is
what every IPv6 link carries."""


@frozen(kw_only=True)
class Config:
    """How fast to detect, how much to send. The defaults are the LAN preset.

    Raises :class:`~rumor.errors.ConfigError` for values that make no sense, alone or together.
    """

    # --- failure detector (SWIM §3, §4.3; Lifeguard's local health) ---

    probe_interval: float = 1.0
    """Time between two probes (the protocol period). Detection time and traffic follow from it;
    0.1 to 10 s."""

    probe_timeout: float = 0.5
    """How long a direct ping may take before helpers are asked; above the 99th percentile of the
    round trip time, and well below ``probe_interval``, so that the helpers' answers arrive."""

    indirect_probes: int = 3
    """Helpers asked when a ping stays unanswered (the paper's k)."""

    stream_probe: bool = True
    """Whether the target is also asked over a stream then. Where a firewall lets TCP through but
    not UDP, this keeps members from being suspected; it costs one connection for each ping that
    stays unanswered."""

    awareness_max: int = 8
    """Upper bound of the local health score; probe times stretch by up to one more than this."""

    buddy: bool = True
    """Tell a suspect first, on any message to it, that it is accused; and an accuser what it has
    missed (Lifeguard's buddy system). Off for measurements only."""

    # --- suspicion (SWIM §4.2, Lifeguard's dynamic timeout) ---

    suspicion_multiplier: float = 4.0
    """Alpha: the shortest suspicion is alpha * max(1, log10(members)) * probe_interval. The
    Lifeguard paper measures 5; 4 detects a sixth sooner at a few more false alarms."""

    suspicion_max_multiplier: float = 6.0
    """Beta: an unconfirmed suspicion lasts this many times longer than the shortest."""

    suspicion_confirmations: int = 3
    """K: independent confirmations that bring the timeout down to the shortest."""

    # --- dissemination (SWIM §4.1) ---

    gossip_interval: float = 0.2
    """Time between two rounds of gossip while there is something to tell."""

    gossip_nodes: int = 3
    """Members told in each round, and at once when something new is learnt."""

    gossip_at_once: bool = True
    """Tell a few members of news at once, not at the next round. Off for measurements only."""

    gossip_to_dead: float = 30.0
    """How long after its death a member is still told of it, so that it may refute."""

    transmit_multiplier: float = 4.0
    """Lambda: an update is sent lambda * ceil(log10(members + 1)) times by each member."""

    datagram_bytes_max: int = 1400
    """Largest datagram; below the path's MTU, so that nothing is fragmented."""

    compression: bool = False
    """Whether to compress long datagrams and streams, before they are sealed: fewer bytes for more
    CPU. All members read both, so it may be switched member by member."""

    # --- push-pull and reconnection ---

    exchange_interval: float = 5.0
    """Time between two push-pull exchanges with a random member; it repairs what gossip missed.
    Grows by itself in clusters of more than 32 members. Equal lists cost about 100 bytes."""

    reconnect_interval: float = 10.0
    """Time between two attempts to reach a failed member or a lost seed. A member that is all
    alone tries at every probe interval."""

    stream_timeout: float = 10.0
    """How long one exchange, dialling included, may take."""

    # --- leaving and forgetting ---

    leave_acks: int = 3
    """Members that must confirm a farewell before ``leave`` returns (fewer if there are fewer)."""

    leave_timeout: float = 5.0
    """How long ``leave`` waits for them."""

    tombstone_time: float = 86_400.0
    """How long a failed or departed member is remembered; longer than any partition that should
    heal without the help of a seed."""

    conflict_interval: float = 30.0
    """At most one notification in this time about each member whose name is used twice."""

    # --- limits ---

    members_max: int = 65_536
    """Members remembered; newcomers beyond it are ignored and counted."""

    events_max: int = 512
    """User events remembered, to recognise those heard before and to tell members that come late.
    Half as many may wait to be passed on; then ``broadcast`` refuses."""

    query_multiplier: float = 16.0
    """A query is open for this many gossip intervals, times log10(members + 1) rounded up."""

    queries_max: int = 64
    """Queries of our own that are open at a time; then the next is refused."""

    answers_max: int = 65_536
    """Members whose answers to one query are taken; more are dropped and counted."""

    relays_max: int = 1_024
    """Pings made for others at a time; requests beyond it are ignored and counted."""

    seeds_max: int = 64
    """Seeds remembered; the oldest give way."""

    inbox_max: int = 4_096
    """Datagrams taken from the socket in one go; more are left to the next."""

    exchanges_max: int = 64
    """Streams served at a time, and dialled at a time; more are closed, or wait."""

    stream_bytes_max: int = 16 * 1024 * 1024
    """Largest request or reply on a stream, enough for a list of ``members_max`` members
    with the usual metadata."""

    subscriber_events_max: int = 1_024
    """Events kept for a subscriber that does not read; then it is told how many it lost."""

    def __attrs_post_init__(self) -> None:
        """Refuse settings that make no sense."""
        for attribute in fields(type(self)):
            self._refuse_out_of_range(attribute)
        if self.probe_timeout * 1.8 >= self.probe_interval + 1e-9:
            raise ConfigError(
                f"probe_timeout={self.probe_timeout} leaves the helpers of an indirect probe no "
                f"time to answer within probe_interval={self.probe_interval}; "
                "it must be less than 1/1.8 of it",
            )
        if self.suspicion_max_multiplier < 1:
            raise ConfigError("suspicion_max_multiplier must be at least 1")
        if self.datagram_bytes_max < DATAGRAM_BYTES_MIN or self.datagram_bytes_max > 65_507:
            raise ConfigError(f"datagram_bytes_max must be {DATAGRAM_BYTES_MIN} to 65507 bytes")

    def _refuse_out_of_range(self, attribute: Attribute[float]) -> None:
        value = getattr(self, attribute.name)
        if isinstance(attribute.default, bool):
            if type(value) is not bool:
                raise ConfigError(f"{attribute.name}={value!r} must be True or False")
            return
        kinds = (int,) if isinstance(attribute.default, int) else (int, float)
        if type(value) not in kinds:
            raise ConfigError(f"{attribute.name}={value!r} must be a number")
        smallest = 0 if attribute.name in _MAY_BE_ZERO else None
        if not (value > 0 or value == smallest) or value == inf:
            raise ConfigError(f"{attribute.name}={value!r} must be finite and greater than 0")

    @classmethod
    def lan(cls) -> Self:
        """Members within one data centre: round trips of milliseconds."""
        return cls()

    @classmethod
    def wan(cls) -> Self:
        """Members across continents: slower to accuse, fewer bytes."""
        return evolve(
            cls(),
            probe_interval=5.0,
            probe_timeout=2.0,
            suspicion_multiplier=6.0,
            gossip_interval=0.5,
            gossip_nodes=4,
            gossip_to_dead=60.0,
            exchange_interval=30.0,
            reconnect_interval=30.0,
            stream_timeout=30.0,
            leave_timeout=15.0,
        )

    @classmethod
    def local(cls) -> Self:
        """Members on one machine, as in development and demonstrations: the fastest."""
        return evolve(
            cls(),
            probe_interval=0.5,
            probe_timeout=0.2,
            indirect_probes=1,
            suspicion_multiplier=3.0,
            gossip_interval=0.1,
            gossip_to_dead=15.0,
            transmit_multiplier=3.0,
            exchange_interval=5.0,
            reconnect_interval=2.0,
            stream_timeout=3.0,
            leave_timeout=2.0,
        )


_MAY_BE_ZERO = frozenset(
    {"indirect_probes", "suspicion_confirmations", "gossip_to_dead", "awareness_max"},
)
