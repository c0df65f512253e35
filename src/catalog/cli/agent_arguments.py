"""The command line of `catalog agent`; `catalog.cli.serve` does what it asks for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from catalog.cli.parser import DEFAULT_AGENT, add_command, address, count, seconds

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add `agent` to the parser."""
    agent = add_command(
        commands,
        "agent",
        "run an agent until SIGINT or SIGTERM; then a client leaves, a server stops",
        epilog="""\
One address carries everything: TCP for consensus, gossip exchanges and questions, UDP for gossip.
A second signal ends the agent at once. A server that stops hands over leadership and stays a voter;
`catalog leave` makes any agent leave for good.

examples:
  catalog agent --dev
  catalog agent --dev --http 127.0.0.1:8500 --dns 127.0.0.1:8600
  catalog agent --server --bootstrap-expect 3 --data-dir ./s1 --name s1 --bind 127.0.0.1:8301 \\
      --join 127.0.0.1:8302 --join 127.0.0.1:8303
  catalog agent --name edge --bind 127.0.0.1:8310 --join 127.0.0.1:8301
""",
    )
    _add_server_flags(agent)
    _add_gossip_flags(agent)
    _add_interface_flags(agent)
    agent.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings and services, as TOML, in place of all other flags; read again at SIGHUP",
    )
    agent.add_argument(
        "--dev", action="store_true", help="one server, in memory: no other flag of a server's"
    )
    agent.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        metavar="LEVEL",
        help="debug, info, warning or error (default: %(default)s)",
    )


def _add_server_flags(agent: argparse.ArgumentParser) -> None:
    agent.add_argument("--server", action="store_true", help="take part in consensus")
    agent.add_argument(
        "--bootstrap-expect",
        type=count,
        metavar="N",
        help="with --server, when the cluster is new: wait for N servers (1, 3, 5), then begin",
    )
    agent.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where a server keeps its log, and an agent its registrations; without it all is lost",
    )


def _add_gossip_flags(agent: argparse.ArgumentParser) -> None:
    agent.add_argument(
        "--bind",
        type=address,
        default=DEFAULT_AGENT,
        metavar="HOST:PORT",
        help="the address to listen on, which the others must reach (default: %(default)s)",
    )
    agent.add_argument(
        "--advertise",
        type=address,
        metavar="HOST:PORT",
        help="where the others reach this agent, if not at --bind: behind NAT, or with 0.0.0.0",
    )
    agent.add_argument(
        "--join",
        type=address,
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="an agent of the cluster; may be repeated, one that answers is enough",
    )
    agent.add_argument(
        "--join-timeout",
        type=seconds,
        default=30.0,
        metavar="SECONDS",
        help="how long to try the --join addresses before giving up (default: %(default)g)",
    )
    agent.add_argument(
        "--name", metavar="NAME", help="unique in the cluster (default: host name and port)"
    )
    agent.add_argument("--datacenter", default="dc1", metavar="NAME", help="(default: %(default)s)")
    agent.add_argument(
        "--cluster",
        default="default",
        metavar="NAME",
        help="agents of another cluster's name are refused (default: %(default)s)",
    )


def _add_interface_flags(agent: argparse.ArgumentParser) -> None:
    agent.add_argument(
        "--http",
        type=address,
        metavar="HOST:PORT",
        help="answer Consul's HTTP API here, 127.0.0.1:8500 by custom (extra: http)",
    )
    agent.add_argument(
        "--dns",
        type=address,
        metavar="HOST:PORT",
        help="answer DNS here, UDP and TCP, 127.0.0.1:8600 by custom (extra: dns)",
    )
    agent.add_argument(
        "--dns-recursor",
        type=address,
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="whom to ask for other domains; may be repeated (default: they are refused)",
    )
