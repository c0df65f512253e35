"""What a person sees of the demo: plain lines, or a panel that fits the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from catalog.demo.display import Lines, Nothing, choose, showing
from catalog.demo.panel import Panel
from catalog.demo.scene import PHASES, Scene, ServerState


@pytest.fixture
async def scene() -> Scene:
    """The middle of a demo, with more behind it than a small terminal can show."""
    scene = Scene()
    for name, role in (("s1", "killed"), ("s2", "leader"), ("s3", "follower")):
        scene.servers[name] = ServerState(name, "127.0.0.1:12345", role, 3, 1234, 1230)
    scene.consumer.providers = ("words-1", "words-2")
    scene.phase = PHASES.index("kill the leader")
    for number in range(40):
        scene.tell(f"thing {number:02} happened, and here is a rather long sentence to say so")
    return scene


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (64, 24)])
async def test_the_panel_fits_the_terminal_and_shows_the_newest(
    scene: Scene, width: int, height: int
) -> None:
    """Who leads, whom the consumer sees, what happened last; old moments give way."""
    output = io.StringIO()
    console = Console(file=output, width=width, height=height, color_system=None)
    console.print(Panel(console).render(scene))
    lines = output.getvalue().splitlines()

    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = output.getvalue()
    assert "s2" in text
    assert "leader" in text
    assert "words-2" in text
    assert "thing 39" in text
    assert "thing 00" not in text


async def test_lines_say_each_thing_once(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """However often they are painted; colours and cursor movements stay out."""
    async with showing(Lines(), scene):
        scene.tell("the end")

    out = capsys.readouterr().out
    assert out.count("thing 07") == 1
    assert out.count("the end") == 1
    assert "\x1b" not in out


async def test_quiet_is_quiet(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """With `--json` the summary is all that is printed."""
    async with showing(choose(quiet=True), scene):
        scene.tell("the end")

    assert capsys.readouterr().out == ""
    assert isinstance(choose(quiet=True), Nothing)


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_dumb_terminal_gets_lines(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is painted where nothing can be."""
    monkeypatch.setenv("TERM", term or "dumb")
    monkeypatch.setattr("sys.stdout", Terminal())

    assert isinstance(choose(quiet=False), Lines)


def test_a_terminal_gets_the_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    """With rich installed, as the tests have it."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", Terminal())

    assert isinstance(choose(quiet=False), Panel)


class Terminal(io.StringIO):
    """Claims to be one."""

    def isatty(self) -> bool:
        """Claim it."""
        return True
