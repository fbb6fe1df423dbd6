"""Fields of the settings become flags, and flags become settings: each flag has exactly one home."""

import argparse
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import compare_all
import compare_blip
import compare_clip
import compare_summary
import compare_train
import compare_visualize
import make_splits
import predict
import pytest
from common.command import HelpFormatter, add_training_flags
from common.errors import UserError
from common.settings import FAMILIES
from helpers.hub import STAGE2

COMMANDS = {family: __import__(own.command) for family, own in FAMILIES.items()}


def parser_of(family: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(formatter_class=HelpFormatter)
    add_training_flags(parser, family)
    return parser


def other_value(action: argparse.Action) -> list[str]:
    """The flag with a value that is not its default."""
    flag = action.option_strings[0]
    if action.nargs == 0:
        return [flag]
    if action.choices:
        return [flag, next(choice for choice in action.choices if choice != action.default)]
    for text in ("0.5", "3", "another"):
        try:
            action.type(text)
        except (ValueError, argparse.ArgumentTypeError):
            continue
        return [flag, text]
    raise AssertionError(f"{flag} takes nothing")


def leaves(settings: Any, above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every value of nested dataclasses by its path."""
    found = {}
    for field in fields(settings):
        value, path = getattr(settings, field.name), (*above, field.name)
        found |= leaves(value, path) if is_dataclass(value) else {path: value}
    return found


def test_every_flag_has_exactly_one_home_and_stands_in_best_pt():
    """A flag that no setting keeps would be silent: unlike runs would be called comparable."""
    for family, command in COMMANDS.items():
        plain = leaves(command.parse([]))
        for action in parser_of(family)._actions[1:]:
            if (family, action.dest) == ("blip", "branch_loss"):
                continue  # refused
            settings = command.parse(other_value(action))
            changed = leaves(settings)
            homes = {path[0] for path, value in changed.items() if value != plain[path]}
            flag = action.option_strings[0]
            assert len(homes - {"arguments", "name"}) == 1, f"{flag} has {sorted(homes)} as homes"
            before, now = plain[("arguments",)], settings.arguments
            others = (
                ["lr"] if flag == "--freeze-encoders" else []
            )  # which has a usual rate of its own
            assert [key for key in now if now[key] != before[key]] == [*others, action.dest]


def test_help_shows_each_flag_with_a_word():
    for family in FAMILIES:
        parser = parser_of(family)
        groups = [group.title for group in parser._action_groups if group._group_actions]
        assert groups[1:] == ["data", "model", "protocol", "machine", "output"]
        assert all(action.help for action in parser._actions)
        assert "(default: None)" not in parser.format_help()


def test_the_defaults_are_those_of_the_published_commands():
    settings = compare_clip.parse([])
    assert settings == compare_clip.parse(["--seed", "42", "--epochs", "5", "--batch-size", "16"])
    assert compare_blip.parse([]).machine.batch_size == 8
    assert settings.paths.runs == Path("outputs/compare")
    assert settings.name == "clip_openai_clip-vit-base-patch32"
    assert all(command.parse([]).model.family == family for family, command in COMMANDS.items())
    for flag in ("--no-train-aug", "--freeze-encoders"):
        assert compare_clip.parse([flag]).protocol.augmentation == "none"
    assert not compare_clip.parse(["--no-pretrained"]).protocol.pretrained


def test_what_no_setting_takes_is_refused_with_its_bounds(capsys):
    wrong = {
        "--epochs": ("0", "must be 1 or more, got 0"),
        "--image-size": ("1000000", "must be 1 to 4,096, got 1000000"),
        "--seed": ("-1", "must be 0 or more, got -1"),
        "--lr": ("nan", "must be a positive number, got nan"),
        "--warmup-ratio": ("1", "must be 0 or more and less than 1, got 1"),
        "--batch-size": ("x", "invalid int value: 'x'"),
        "--fusion": ("sum", "invalid choice: 'sum'"),
        "--device": ("GPU", "'GPU' is no device: give auto, cpu, cuda, or cuda:1"),
    }
    for flag, (value, says) in wrong.items():
        with pytest.raises(SystemExit) as stopped:
            compare_train.parse([flag, value])
        assert stopped.value.code == 2 and says in capsys.readouterr().err
    for parse, line, says in (
        (compare_train.parse, ["--modality-dropout", "0.2", "--fusion", "text"], "uses one only"),
        (compare_train.parse, ["--branch-loss", "1", "--fusion", "image"], "uses one only"),
        (compare_blip.parse, ["--branch-loss", "1"], "the text of blip has seen the image"),
        (compare_all.parse, ["--branch-loss", "1"], "the text of blip has seen the image"),
    ):
        with pytest.raises(UserError, match=says):
            parse(line)
    assert compare_blip.parse(["--modality-dropout", "0.2"]).protocol.modality_dropout == 0.2
    with pytest.raises(UserError, match="--fold 1 stands for its own two files"):
        compare_train.parse(["--fold", "1", "--train-csv", "outputs/splits/train.csv"])
    with pytest.raises(UserError, match="--fusion image uses one only"):
        compare_train.parse(["--probe", "--fusion", "image"])
    for name in ("gpu", "gpu:0", "cuda0", "0", "cuda:0,cuda:1", "cuda:", ""):
        with pytest.raises(SystemExit):
            compare_train.parse(["--device", name])
    for name in ("auto", "cpu", "cuda", "cuda:1", "mps", "npu:0"):
        assert compare_train.parse(["--device", name]).machine.device == name


def test_a_path_is_the_one_that_was_meant(tmp_path, monkeypatch):
    """Windows' shells leave ``~`` as it is, and PowerShell a quote behind a backslash."""
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "bert").mkdir()
    line = ["--project-root", "~/my project", "--val-csv", 'val folder"', "--model-name", "~/bert"]
    run = compare_train.parse(line)
    assert run.paths.project_root == tmp_path / "my project" and run.name.startswith("bert_")
    assert run.paths.val_csv == Path("val folder")
    splits = ["--data-dir", "--train-file", "--test-file", "--output-dir", "--project-root"]
    pairs = ["--csv", "--output", "--run", "--project-root"]
    for parse, flags in ((make_splits.parse, splits), (predict.parse, pairs)):
        given = vars(parse([word for flag in flags for word in (flag, '~/a b"')]))
        found = [given[flag[2:].replace("-", "_")] for flag in flags]
        assert all(path in (tmp_path / "a b", [tmp_path / "a b"]) for path in found)


def test_a_mistyped_line_gets_one_line_with_the_flag_that_was_meant(capsys):
    for main, line, says in (
        (compare_all.main, ["--epochs", "5", "--folds", "5"], "--folds takes no value, but '5'"),
        (compare_all.main, ["--folds=5"], "--folds: it takes no value, but got '5'"),
        (compare_train.main, ["--epoch", "5"], "'--epoch': did you mean --epochs?"),
        (make_splits.main, ["–val_ratio=.2"], "did you mean --val-ratio?"),
        (compare_summary.main, ["--quantum"], "no flag '--quantum': --help shows all"),
        (compare_visualize.main, ["--project-root", "my", "project"], "'project' belongs to no"),
        (predict.main, ["--csv", "a"], "required: --run"),
        (compare_train.main, ["--project-root", 'D:\\a b" --epochs 5'], "holds other flags"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(line)
        told = capsys.readouterr().err
        assert stopped.value.code == 2 and told.startswith("error: ") and told.count("\n") == 1
        assert says in told


def test_a_command_given_as_a_module_says_how_it_is_run():
    command = [sys.executable, "-m", "stage2_compare.scripts.make_splits", "--project-root", "."]
    done = subprocess.run(command, cwd=STAGE2.parent, capture_output=True, encoding="utf-8")
    assert done.returncode == 2 and done.stderr.startswith("error: ")
    assert "stage2_compare/scripts/make_splits.py" in done.stderr and done.stderr.count("\n") == 1


def test_what_is_wrong_with_the_input_is_told_before_torch_is_imported(tmp_path):
    wrong = {"compare_train": [], "predict": ["--run", "a", "--csv", "b", "--output", "c"]}
    for name, more in wrong.items():
        line = ["--project-root", str(tmp_path), *more]
        code = f"import sys, {name}\ntry:\n {name}.main({line})\n"
        code += "except Exception:\n sys.exit('torch' in sys.modules)\nsys.exit(3)"
        assert subprocess.run([sys.executable, "-c", code], cwd=STAGE2 / "scripts").returncode == 0
