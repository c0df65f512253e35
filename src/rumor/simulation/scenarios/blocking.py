"""A process whose messages are held up, made of tasks that each wait for themselves.

Lifeguard's experiments (arXiv 1707.00788, §V) hold up a member right before it sends a message and
right after it received one; everything else in it goes on. Its agents are made of tasks, one for
each activity. So what a block does to them is this:

- The task that probes begins one probe when its period comes, hangs in that ping, and begins no
  other. If a probe was under way, the task hangs in the requests for help. When the block ends it
  goes on, late: the ping leaves, but if the probe's time is over, no ack of it is waited for any
  more, no helper's nack can have come, and the target is suspected.
- The tasks that gossip, exchange lists and reconnect hang in their first message likewise; what
  they would have done in the meantime is not made up for.
- The timers of suspicions send nothing, so they run out in time: a member may be declared dead
  while the answer to its accusation waits in the buffer unread.
- What arrives waits, and is read at the end of the block, after the tasks that hung have gone on.

Our own driver is one task: it hangs as a whole, reads first, and then looks at the clock. That is
kinder; the harder case is measured here, because the published figures are of it.
"""

from __future__ import annotations

from attrs import define, evolve, field

from rumor.core.state import Due, State
from rumor.messages import Name
from rumor.simulation.host import Mode
from rumor.simulation.world import World

SLOW_TASKS = (Due.EXCHANGE, Due.RECONNECT)
NEVER = 1e9


@define
class Blocked:
    """One member that is held up now and then."""

    world: World
    name: Name
    _due: dict[Due, float] = field(factory=dict)
    """When the tasks that hang would have acted."""

    def block(self) -> None:
        """Hold up all messages from now on."""
        state, schedule = self._state, self._state.schedule
        self.world.hold(self.name, Mode.BLOCKED)
        state.config = evolve(self.world.config, gossip_interval=NEVER)
        schedule.cancel((Due.GOSSIP, 0))
        for due in SLOW_TASKS:
            self._due[due] = schedule.due((due, 0))
            schedule.cancel((due, 0))
        if (Due.ACK, 0) in schedule:
            self._hang_in_probe()
        else:
            until_probe = schedule.due((Due.PROBE, 0)) - self.world.now
            self.world.after(max(0.0, until_probe), self._begin_probe)

    def unblock(self) -> None:
        """Let everything go on: the tasks, then what had been sent, then the reader."""
        state, schedule, now = self._state, self._state.schedule, self.world.now
        state.config = config = self.world.config
        schedule.cancel((Due.GOSSIP, 0))
        if state.backlog:
            schedule.set((Due.GOSSIP, 0), now)
        for due in SLOW_TASKS:
            schedule.set((due, 0), max(now, self._due[due]))
        probe = state.probe
        if probe is not None:
            if not probe.helpers:
                ask = probe.started + probe.scale * config.probe_timeout
                schedule.set((Due.ACK, 0), max(now, ask))
                self.world.look_at_clock(self.name)
            end = probe.started + probe.scale * config.probe_interval
            schedule.set((Due.PROBE, 0), max(now, end))
        self.world.look_at_clock(self.name)
        self.world.release(self.name)

    def _begin_probe(self) -> None:
        if self.world.hosts[self.name].mode is Mode.BLOCKED:
            self.world.look_at_clock(self.name)
            probe = self._state.probe
            if probe is not None and probe.started == self.world.now:
                self._hang_in_probe()

    def _hang_in_probe(self) -> None:
        self._state.schedule.cancel((Due.ACK, 0))
        self._state.schedule.cancel((Due.PROBE, 0))

    @property
    def _state(self) -> State:
        core = self.world.hosts[self.name].core
        assert core is not None
        return core._state  # noqa: SLF001  # no event says that a task hangs
