"""The command line without an agent: what is refused, how, and how things are printed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

import pytest

from catalog.cli import main
from catalog.cli.arguments import build_parser, parse
from catalog.cli.output import print_json, table
from catalog.cli.serve import configure

Capture: TypeAlias = pytest.CaptureFixture[str]

COMMANDS = (
    *("agent", "members", "services", "nodes", "info", "lookup", "maint", "watch", "rtt", "kv"),
    *("session", "lock", "operator", "snapshot", "event", "keyring", "leave", "join", "metrics"),
    *("force-leave", "reload", "demo", "validate", "completion", "version"),
)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "required: COMMAND"),
        ("frobnicate", "invalid choice: 'frobnicate'"),
        ("agent --bnd 127.0.0.1:1", "unrecognized arguments: --bnd"),
        ("agent --bind nowhere", "must be host:port"),
        ("agent --bind 127.0.0.1:99999", "must be host:port"),
        ("agent --bind ::1:8300", "in brackets"),
        ("agent --bind 0.0.0.0:8300", "--advertise"),
        ("agent --bootstrap-expect 0 --server", "no count of 1 or more"),
        ("agent --bootstrap-expect 3", "add --server"),
        ("agent --server", "--data-dir"),
        ("agent --server --bootstrap-expect 99", "at most"),
        ("agent --dev --server", "leave --server out"),
        ("agent --dev --join 127.0.0.1:1", "leave --join out"),
        ("agent --log-level loud", "invalid choice: 'loud'"),
        ("members --agent 8300", "must be host:port"),
        ("lookup", "required: SERVICE"),
        ("watch web --changes none", "no count of 1 or more"),
        ("kv", "required: VERB"),
        ("kv get", "required: KEY"),
        ("kv put key value --cas -1", "no index"),
        ("kv put key value --cas x", "no index"),
        ("kv delete key --recurse --cas 1", "use one of them"),
        ("kv put key value --cas 1 --acquire s", "not allowed with"),
        ("session", "required: VERB"),
        ("session create --ttl 0", "no number of seconds"),
        ("services register", "give a name"),
        ("services register web --meta nothing", "no KEY=VALUE"),
        ("services register web --ttl 5 --http http://x", "not allowed with"),
        ("maint --enable --disable", "not allowed with"),
        ("watch", "which service?"),
        ("watch x --type nodes", "takes no name"),
        ("watch x --type weather", "invalid choice"),
        ("lock", "required: KEY"),
        ("lock key", "which program"),
        ("lock key --timeout 5 true", "before KEY"),
        ("completion cmd", "invalid choice"),
        ("demo --seconds 0", "no number of seconds"),
        ("demo --seconds soon", "no number of seconds"),
        ("demo --servers 4", "invalid choice: 4"),
    ],
)
def test_a_wrong_line_is_refused_with_one_line_and_status_2(
    line: str, words: str, capsys: Capture
) -> None:
    """Standard output stays empty, the sentence says what is wrong, and nothing was done."""
    status = main(line.split())

    out, err = capsys.readouterr()
    assert (2, "") == (status, out)
    assert err.startswith("catalog: ")
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: Capture) -> None:
    """`--help` ends with status 0 and says what the command does."""
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])

    out = capsys.readouterr().out
    assert end.value.code == 0
    assert out.startswith(f"usage: catalog {command}")
    assert len(out.splitlines()) > 5


def test_help_lists_every_command_and_every_exit_status(capsys: Capture) -> None:
    """A person finds all of it from `catalog --help`."""
    with pytest.raises(SystemExit):
        main(["--help"])

    out = capsys.readouterr().out
    assert all(re.search(rf"^    {command}\b", out, re.MULTILINE) for command in COMMANDS)
    assert all(f" {status} " in out for status in (0, 1, 2, 3, 4))
    assert "examples:" in out


def test_the_module_is_the_command() -> None:
    """`python -m catalog` ends with the status that the command gives."""
    done = subprocess.run(
        [sys.executable, "-m", "catalog", "kv"], capture_output=True, text=True, check=False
    )

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("catalog: kv: ")


def test_the_agent_to_ask_comes_from_the_flag_or_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The flag wins over the variable, the variable over the usual port."""
    monkeypatch.delenv("CATALOG_AGENT", raising=False)
    assert parse(["info"]).agent == "127.0.0.1:8300"

    monkeypatch.setenv("CATALOG_AGENT", "10.0.0.1:1")
    assert parse(["info"]).agent == "10.0.0.1:1"
    assert parse(["info", "--agent", "10.0.0.2:2"]).agent == "10.0.0.2:2"


def test_a_bad_address_in_the_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """What comes from the environment is held to the same rule as a flag."""
    monkeypatch.setenv("CATALOG_AGENT", "nonsense")

    assert main(["info"]) == 2
    assert "'nonsense'" in capsys.readouterr().err


def test_the_flags_of_an_agent_become_its_settings(tmp_path: Path) -> None:
    """Every flag arrives where it belongs."""
    flags = f"agent --server --bootstrap-expect 3 --data-dir {tmp_path} --name n1 --cluster c"
    more = "--bind 127.0.0.1:1 --join 127.0.0.1:2 --join 127.0.0.1:3 --datacenter d"

    config = configure(parse([*flags.split(), *more.split()])).config

    assert config.server
    assert (config.name, config.cluster, config.datacenter) == ("n1", "c", "d")
    assert (config.bootstrap_expect, config.data_dir) == (3, tmp_path)
    assert (config.bind, config.join) == ("127.0.0.1:1", ("127.0.0.1:2", "127.0.0.1:3"))


def test_a_dev_agent_is_one_server_in_memory() -> None:
    """Without any other flag it needs nobody and keeps nothing."""
    config = configure(parse(["agent", "--dev"])).config

    assert (config.server, config.bootstrap_expect, config.data_dir) == (True, 1, None)


def test_a_table_is_aligned_and_its_numbers_stand_to_the_right() -> None:
    """Columns are as wide as their widest cell, and no line ends in spaces."""
    lines = table(("name", "count"), [("a", 7), ("longer", 1234)])

    assert lines == ["name    count", "a           7", "longer   1234"]


def test_a_table_without_rows_is_its_header() -> None:
    """Nothing to align is no reason to fail."""
    assert table(("name", "address"), []) == ["name  address"]


def test_compact_json_is_one_line(capsys: Capture) -> None:
    """A stream of objects has one a line."""
    print_json({"a": [1, 2], "b": "\u00fc"}, compact=True)

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"a": [1, 2], "b": "\u00fc"}


def test_a_program_that_is_not_there_is_not_waited_for(capsys: Capture) -> None:
    """Status 127, as of a shell; nobody was asked for the lock."""
    assert 127 == main(["lock", "key", "no-such-program"])
    assert "nothing was locked" in capsys.readouterr().err


def test_a_configuration_file_is_checked_without_an_agent(tmp_path: Path, capsys: Capture) -> None:
    """Status 0 with a summary, or 1 with what is wrong."""
    path = tmp_path / "agent.toml"
    path.write_text('name = "c1"\n')
    assert 0 == main(["validate", str(path)])
    assert "a client, c1" in capsys.readouterr().out

    path.write_text('nam = "c1"\n')
    assert 1 == main(["validate", str(path)])
    assert "'nam'" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_shells_complete_the_command(shell: str, capsys: Capture) -> None:
    """The script knows the commands."""
    assert 0 == main(["completion", shell])
    assert "snapshot" in capsys.readouterr().out


def test_flags_before_a_verb_are_not_forgotten() -> None:
    """`services` takes its flags on either side of its verb."""
    assert parse(["services", "--json", "list"]).json
    assert parse(["services", "list", "--json"]).json
    assert not parse(["services", "list"]).json


def test_abbreviated_flags_are_refused() -> None:
    """A flag added later must not change what an older script means."""
    assert not build_parser().allow_abbrev
