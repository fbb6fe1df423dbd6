"""The limit of outputs/cache throws away what was not used for longest, and nothing in use."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from common.data.cache_limit import hold, keep_below
from common.data.image_cache import load_images
from helpers.hub import STAGE2
from PIL import Image

MEGABYTE = 1_000_000


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three files of 1 MB; the photos were used first, then the features of texts."""
    names = ("images_256_a.u8", "features_text_b.f32", "features_image_c.f32")
    for age, name in enumerate(names):
        (tmp_path / name).write_bytes(bytes(MEGABYTE))
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    (tmp_path / "notes.txt").write_bytes(bytes(MEGABYTE))
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"notes.txt"}


def test_within_the_limit_nothing_goes(folder, capsys):
    keep_below(folder, 0.003)
    assert len(names(folder)) == 3 and capsys.readouterr().out == ""


def test_what_was_not_used_for_longest_goes_first_and_only_as_much_as_needed(folder, capsys):
    keep_below(folder, 0.002)
    assert names(folder) == {"features_text_b.f32", "features_image_c.f32"}
    assert "threw 0.00 GB of photos and features away" in capsys.readouterr().out
    keep_below(folder, 0.0005)
    assert names(folder) == set()
    assert (folder / "notes.txt").exists()  # of somebody else


def test_what_another_process_throws_away_at_the_same_time_is_passed_over(folder, monkeypatch):
    real = Path.glob
    gone = folder / "images_256_gone.u8"
    monkeypatch.setattr(Path, "glob", lambda self, kind: [gone, *real(self, kind)])
    keep_below(folder, 0.002)
    assert names(folder) == {"features_text_b.f32", "features_image_c.f32"}


def test_use_makes_a_file_the_newest(folder):
    hold(folder / "images_256_a.u8").close()
    keep_below(folder, 0.001)
    assert names(folder) == {"images_256_a.u8"}


def test_what_is_in_use_stays_and_it_is_said(folder, capsys):
    with hold(folder / "images_256_a.u8"):
        os.utime(folder / "images_256_a.u8", (1, 1))
        keep_below(folder, 0.0005)
        assert names(folder) == {"images_256_a.u8"}
        assert "all in use: more than --cache-limit 0.0005" in capsys.readouterr().out
    keep_below(folder, 0.0005)
    assert names(folder) == set()


HOLDER = """
import sys
from pathlib import Path
sys.path.insert(0, {scripts!r})
from common.data.cache_limit import hold
file = hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_what_another_process_uses_stays_until_it_ends(folder):
    code = HOLDER.format(scripts=str(STAGE2 / "scripts"))
    command = [sys.executable, "-c", code, str(folder / "images_256_a.u8")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        keep_below(folder, 0.0005)
        assert names(folder) == {"images_256_a.u8"}
        other.kill()
    keep_below(folder, 0.0005)
    assert names(folder) == set()


def test_photos_are_in_use_for_as_long_as_a_process_has_them(tmp_path):
    photo = tmp_path / "a.png"
    Image.new("RGB", (40, 40), "red").save(photo)
    store = load_images([str(photo)], 32, tmp_path / "cache", show_progress=False)
    keep_below(tmp_path / "cache", 1e-9)
    assert store.gather([0], [0], [0], [False], 32).shape == (1, 3, 32, 32)
    assert np.all(store.pixels[0, 0] == 255)
    del store
    gc.collect()
    keep_below(tmp_path / "cache", 1e-9)
    assert not list((tmp_path / "cache").iterdir())
