"""Versions of the state machine, so that servers can be given a newer release one by one.

A command must mean the same on every replica, so a release may not change what commands mean from
one server to the next. Instead a machine says which version of commands it understands (and all
versions before it), and goes by an older one until the cluster switches. The switch is an entry in
the log: what is applied after it means what the new version says, on every replica alike, however
late it gets there. Like a configuration, the version is a function of the log (`Log.version_at`);
unlike one, it counts when it is applied: only what is committed is ever applied.

A leader appends the entry only when every member and learner has said, in its answers to this
leader, that its machine understands the version. Whoever is added later, or is set back to an older
release, and does not understand it, stops at the entry or at the snapshot behind it: it never
applies a command by wrong rules. That is for the driver to see to.
"""

from __future__ import annotations

from quorum.core.state import State
from quorum.effects import Admit, Refusal
from quorum.events import UpgradeProposed
from quorum.messages import Kind


def on_upgrade_proposed(state: State, event: UpgradeProposed) -> None:
    """Let the cluster go on to a version, or say why not. To ask twice does no harm."""
    if not state.is_leader:
        state.refuse(event.tag, Refusal.NOT_LEADER)
    elif state.transfer is not None:
        state.refuse(event.tag, Refusal.TRANSFERRING)
    elif event.version < state.log.version:
        state.refuse(event.tag, Refusal.PASSED)
    elif event.version > understood(state):
        state.refuse(event.tag, Refusal.TOO_OLD)
    else:
        first = state.append(Kind.VERSION, (b"%d" % event.version,))
        state.out.append(Admit(event.tag, first, state.term))


def understood(state: State) -> int:
    """The highest version that all in the configuration in force understand; leaders only."""
    return min([state.machine_version, *[peer.version for peer in state.peers.values()]])
