"""Long work says how far it is, in a log too; short work says nothing there."""

import io
import sys
from types import SimpleNamespace

import pytest
from common import progress
from common.progress import Progress
from helpers.hub import STAGE2


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that a test moves on."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_a_log_gets_a_line_at_most_every_half_minute_and_none_of_short_work(clock, capsys):
    def said(seconds: float) -> str:
        """Of four steps that take so long each."""
        with Progress(desc="encoding texts", total=4000, unit=" texts") as bar:
            for _ in range(4):
                clock.now += seconds
                bar.set_postfix_str("loss 0.5")
                bar.update(1000)
        return capsys.readouterr().err

    assert said(7) == ""
    assert said(16) == "encoding texts: 2,000 of 4,000 texts, loss 0.5, about 32 s left\n"
    left = [line.split(", ")[-1] for line in said(300).splitlines()]
    assert left == ["about 15 min left", "about 10 min left", "about 5 min left"]


def test_a_terminal_gets_a_bar(clock, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress(desc="reading", total=2) as bar:
        clock.now += 100
        bar.update()
        bar.refresh()
    assert "1/2" in terminal.getvalue() and "left" not in terminal.getvalue()


def test_all_long_loops_show_their_progress_in_this_way():
    """Nothing else makes a bar, which would be silent in a log."""
    sources = [path.read_text(encoding="utf-8") for path in STAGE2.rglob("*.py")]
    assert sources and not any("tqdm(" in source for source in sources)
