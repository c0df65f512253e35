"""The failure detector: one probe in each protocol period (SWIM §3.1, §4.3; Lifeguard).

    asker                     helper                    target
      │ Ping ────────────────────────────────────────────► │      directly, and wait probe_timeout
      │ PingRequest ─────────► │ Ping ───────────────────► │      else through k helpers
      │                        │ ◄──────────────────── Ack │
      │ ◄────────────────── Ack│                                  relayed, or after 80 % of the
      │ ◄───────────────── Nack│                                  helper's timeout: "I am here"
      │ StreamPing ──────────────────────────────────────► │      and meanwhile over a stream

Targets come from a shuffled list in turn, not each at random, which bounds the time until a given
failure is detected by anybody (§4.3). At the end of the period a target that did not answer in any
way is suspected. An answer over a stream counts as one (memberlist's addition to the paper): where
only datagrams are blocked, nobody is dead. The asker's local health stretches all of its times.
"""

from __future__ import annotations

from rumor.core import exchange
from rumor.core.coordinates import is_sound
from rumor.core.rumours import on_update
from rumor.core.state import Due, Probe, Relay, State, is_live
from rumor.effects import Answer, Exchange
from rumor.messages import (
    Ack,
    Address,
    Health,
    Nack,
    Name,
    Ping,
    PingRequest,
    Reply,
    StreamAck,
    StreamPing,
    Suspect,
)

NACK_FRACTION = 0.8
"""When a helper sends its nack, as a part of its probe timeout: in time to reach an asker whose
period ends one timeout after it asked (Lifeguard)."""


def begin_period(state: State) -> None:
    """End the period that is over, and begin the next with a ping to the next target."""
    if state.probe is not None:
        _fail(state, state.probe)
    if state.has_left:
        return
    scale = state.awareness.scale
    state.schedule.set((Due.PROBE, 0), state.now + scale * state.config.probe_interval)
    target = _next_target(state)
    if target is None:
        return
    state.counts.probes += 1
    address = state.members.view[target].address
    probe = Probe(state.next_sequence(), target, address, state.now, scale)
    state.probe = probe
    state.schedule.set((Due.ACK, 0), state.now + scale * state.config.probe_timeout)
    ping = Ping(probe.sequence, state.me, target, exchange.comparison(state))
    state.send(address, ping, about=target)


def ask_helpers(state: State) -> None:
    """Ask k others to ping the target: it may be our own link that is bad (§3.1)."""
    probe, config = state.probe, state.config
    assert probe is not None
    target = state.members.get(probe.target)
    if target is None:
        return
    suspects = [name for name in state.suspicions if name != probe.target]
    without = {probe.target, *suspects}
    for helper in state.members.sample(config.indirect_probes, state.random, without=without):
        probe.helpers[helper.name] = False
        request = PingRequest(probe.sequence, state.me, target.name, target.address)
        state.send(helper.address, request, about=helper.name)
    if config.stream_probe:
        probe.ticket = state.next_sequence()
        state.out.append(Exchange(probe.ticket, target.address, StreamPing(target.name)))
    # If this comes late, because the process was paused, the helpers still get their time: no
    # suspicion before the indirect probe had its chance.
    end = max(
        probe.started + probe.scale * config.probe_interval,
        state.now + probe.scale * (config.probe_interval - config.probe_timeout),
    )
    state.schedule.set((Due.PROBE, 0), end)


def on_ping(state: State, source: Address, ping: Ping) -> None:
    """Answer to where it came from, unless it was meant for the address's former owner."""
    if ping.target == state.me:
        ack = Ack(ping.sequence, state.me, state.vivaldi.point)
        state.send(source, ack, about=ping.source)
        if ping.fingerprint is not None:
            exchange.on_compared(state, ping.source, source, ping.fingerprint)


def on_ping_request(state: State, source: Address, request: PingRequest) -> None:
    """Ping the target on behalf of `source`."""
    if len(state.relays) >= state.config.relays_max:
        state.counts.refused += 1
        return
    sequence = state.next_sequence()
    state.relays[sequence] = Relay(source, request.sequence, request.target)
    timeout = state.config.probe_timeout
    state.schedule.set((Due.NACK, sequence), state.now + NACK_FRACTION * timeout)
    state.schedule.set((Due.RELAY, sequence), state.now + state.config.probe_interval)
    ping = Ping(sequence, state.me, request.target)
    state.send(request.address, ping, about=request.target)


def on_ack(state: State, ack: Ack) -> None:
    """Close the probe, relay, or farewell that the ack belongs to; ignore any other ack."""
    probe = state.probe
    if probe is not None and (probe.sequence, probe.target) == (ack.sequence, ack.source):
        state.probe = None
        state.schedule.cancel((Due.ACK, 0))
        state.awareness.improve()
        _measure(state, ack, state.now - probe.started)
        return
    relay = state.relays.get(ack.sequence)
    if relay is not None and relay.target == ack.source:
        state.send(relay.origin, Ack(relay.sequence, ack.source))
        state.schedule.cancel((Due.NACK, ack.sequence))
        forget_relay(state, ack.sequence)


def _measure(state: State, ack: Ack, round_trip: float) -> None:
    """Learn from an ack that came straight how far its sender is."""
    if ack.coordinate is not None and is_sound(ack.coordinate):
        state.coordinates[ack.source] = ack.coordinate
        state.vivaldi.observe(ack.source, ack.coordinate, round_trip)


def on_stream_ping(state: State, call: int) -> None:
    """Say who is here; it is for the asker to know whom it expected."""
    state.out.append(Answer(call, StreamAck(state.me)))


def on_stream_answer(state: State, ticket: int, reply: Reply) -> None:
    """Close the probe if its target answered over the stream before the period ended.

    It says nothing of our own health: we are quick enough, but datagrams get lost.
    """
    probe = state.probe
    if (
        probe is not None
        and probe.ticket == ticket
        and isinstance(reply, StreamAck)
        and reply.source == probe.target
    ):
        state.probe = None
        state.counts.probes_by_stream += 1
        exchange.exchange_with(state, probe.target)  # no datagram compares our lists


def on_nack(state: State, nack: Nack) -> None:
    """Note that a helper heard us: our own link works."""
    probe = state.probe
    if probe is not None and probe.sequence == nack.sequence and nack.source in probe.helpers:
        probe.helpers[nack.source] = True


def send_nack(state: State, sequence: int) -> None:
    """Tell the asker that the target has not answered so far; a late ack is still relayed."""
    relay = state.relays[sequence]
    state.send(relay.origin, Nack(relay.sequence, state.me))


def forget_relay(state: State, sequence: int) -> None:
    """Forget a ping made for somebody else."""
    del state.relays[sequence]
    state.schedule.cancel((Due.RELAY, sequence))


def _next_target(state: State) -> Name | None:
    """Take the next living member; after a complete traversal, shuffle anew (§4.3)."""
    for _ in range(2):
        while state.ring:
            name = state.ring.pop()
            if is_live(state, name):
                return name
        state.ring = state.members.live_names()
        state.random.shuffle(state.ring)
    return None


def _fail(state: State, probe: Probe) -> None:
    """Count against our own health, and suspect the target."""
    state.probe = None
    state.schedule.cancel((Due.ACK, 0))
    target = state.members.get(probe.target)
    if target is None or target.health not in (Health.ALIVE, Health.SUSPECT):
        return
    if target.address != probe.address:
        return  # it moved meanwhile: its former address was asked, and says nothing of the new one
    state.counts.probes_failed += 1
    missed = sum(not heard for heard in probe.helpers.values())
    state.awareness.worsen(1 + missed)
    if not state.has_left:
        on_update(state, Suspect(target.name, target.incarnation, state.me))
