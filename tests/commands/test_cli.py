"""The command line becomes typed settings: every flag has exactly one home, and --help shows it in its group."""

from __future__ import annotations

import argparse
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import compare_blip
import compare_clip
import compare_train
import pytest
from common.cli import positive_float, positive_int, share

COMMANDS = [compare_train, compare_clip, compare_blip]
GROUPS = ["data", "model", "protocol", "machine", "output"]


def parser_of(command: Any, monkeypatch) -> argparse.ArgumentParser:
    """The parser that a command makes."""
    made = []
    real = argparse.ArgumentParser.parse_args

    def parse_args(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
        made.append(parser)
        return real(parser, argv)

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        command.parse([])
    return made[0]


def other_value(action: argparse.Action) -> list[str]:
    """The flag with a value that is not its default."""
    flag = action.option_strings[0]
    if action.nargs == 0:
        return [flag]
    if action.choices:
        return [flag, next(choice for choice in action.choices if choice != action.default)]
    if action.type is share:
        return [flag, "0.5"]
    if isinstance(action.default, (int, float)):
        return [flag, str(action.default * 2 + 1)]
    return [flag, "2" if action.type in (positive_int, positive_float) else "another"]


def leaves(settings: Any, above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every value of nested dataclasses by its path."""
    found = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        inner = (
            leaves(value, (*above, field.name))
            if is_dataclass(value)
            else {(*above, field.name): value}
        )
        found |= inner
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_has_exactly_one_home(command, monkeypatch):
    """A flag that no setting keeps would be silent: unlike runs would be called comparable."""
    plain = leaves(command.parse([]))
    for action in parser_of(command, monkeypatch)._actions:
        if action.dest == "help":
            continue
        changed = leaves(command.parse(other_value(action)))
        homes = {path[0] for path, value in changed.items() if value != plain[path]} - {
            "arguments",
            "name",
        }
        assert len(homes) == 1, f"{action.option_strings[0]} has {sorted(homes) or 'no'} home"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_the_flags_in_their_groups_and_each_with_a_word(command, monkeypatch):
    parser = parser_of(command, monkeypatch)
    groups = [group for group in parser._action_groups if group.title in GROUPS]
    assert [group.title for group in groups] == GROUPS
    shown = [action for group in groups for action in group._group_actions]
    assert {action.dest for action in parser._actions} - {action.dest for action in shown} == {
        "help"
    }
    assert all(action.help for action in shown)
    assert "(default: None)" not in parser.format_help()


def test_the_defaults_are_those_of_the_published_commands():
    settings = compare_clip.parse([])
    assert settings == compare_clip.parse(["--seed", "42", "--epochs", "5", "--batch-size", "16"])
    assert compare_blip.parse([]).machine.batch_size == 8
    assert settings.paths.runs == Path("outputs/compare")
    assert settings.name == "clip_openai_clip-vit-base-patch32"
