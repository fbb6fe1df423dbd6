"""Features are kept by content, checked when they are read, and made by one process at a time."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from common.data import feature_cache
from common.data.feature_cache import FeatureCache
from helpers.hub import STAGE2

WIDTH = 3


def digests(*names: str) -> list[bytes]:
    return [hashlib.sha256(name.encode()).digest() for name in names]


class Encoder:
    """Makes of a thing the numbers (length, length + 0.5, -length), and counts what it reads."""

    def __init__(self):
        self.read: list[str] = []

    def features(self, cache: FeatureCache, *names: str, weights: str = "w") -> np.ndarray:
        return cache.features(*self.asked(*names, weights=weights))

    def asked(self, *names: str, weights: str = "w") -> tuple:
        """The arguments of FeatureCache.features and FeatureCache.table."""

        def make(places: np.ndarray):
            for chosen in (places[1::2], places[::2]):  # in whatever order suits it
                found = [names[place] for place in chosen]
                self.read += found
                yield chosen, expected(*found)

        return "text", weights, digests(*names), WIDTH, make


def expected(*names: str) -> np.ndarray:
    rows = [[len(n), len(n) + 0.5, -len(n)] for n in names]
    return np.array(rows, np.float32).reshape(-1, WIDTH)


def only_file(folder: Path) -> Path:
    [path] = folder.iterdir()
    return path


def test_what_is_kept_is_not_read_again_in_any_order(tmp_path):
    cache, encoder = FeatureCache(tmp_path / "cache", {"torch": "2"}), Encoder()
    first = encoder.features(cache, "a", "bb", "ccc")
    again = encoder.features(cache, "ccc", "a")
    np.testing.assert_array_equal(first, expected("a", "bb", "ccc"))
    np.testing.assert_array_equal(again, expected("ccc", "a"))
    assert sorted(encoder.read) == ["a", "bb", "ccc"]


def test_new_things_are_added_to_the_same_file(tmp_path):
    cache, encoder = FeatureCache(tmp_path, {}), Encoder()
    encoder.features(cache, "a", "bb")
    found = encoder.features(cache, "bb", "dddd", "a")
    np.testing.assert_array_equal(found, expected("bb", "dddd", "a"))
    assert sorted(encoder.read) == ["a", "bb", "dddd"]
    size = only_file(tmp_path).stat().st_size
    assert size == feature_cache.HEADER_BYTES + 3 * (32 + 4 * WIDTH)


@pytest.mark.parametrize("weights, stamp", [("other", {"size": 32}), ("w", {"size": 64})])
def test_other_weights_or_circumstances_have_a_file_of_their_own(tmp_path, weights, stamp):
    encoder = Encoder()
    encoder.features(FeatureCache(tmp_path, {"size": 32}), "a")
    encoder.features(FeatureCache(tmp_path, stamp), "a", weights=weights)
    assert encoder.read == ["a", "a"]
    assert len(list(tmp_path.iterdir())) == 2


def flip_last_bit(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    "damage",
    [
        flip_last_bit,
        lambda content: content[:-5],
        lambda content: content + b"\0",
        lambda content: b"",
        lambda content: b"[" * len(content),
        lambda content: content.replace(b'"key": "', b'"key": "0'),
        lambda content: content.replace(b'"checksum": ', b'"checksum": 1'),
        lambda content: content[: feature_cache.HEADER_BYTES],
    ],
)
def test_a_broken_or_stale_file_is_made_again(tmp_path, damage):
    cache, encoder = FeatureCache(tmp_path, {}), Encoder()
    encoder.features(cache, "a", "bb")
    path = only_file(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    np.testing.assert_array_equal(encoder.features(cache, "a", "bb"), expected("a", "bb"))
    assert sorted(encoder.read) == ["a", "a", "bb", "bb"]
    assert path.read_bytes() == whole


def test_where_nothing_can_be_written_the_features_serve_this_run(tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    found = Encoder().features(FeatureCache(tmp_path / "file" / "cache", {}), "a")
    np.testing.assert_array_equal(found, expected("a"))
    assert "warning: features cannot be kept in" in capsys.readouterr().out


def test_a_disk_that_is_nearly_full_is_left_to_the_runs(tmp_path, monkeypatch, capsys):
    usage = shutil.disk_usage(tmp_path)._replace(free=80)  # bytes, and one row takes 44
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    encoder = Encoder()
    np.testing.assert_array_equal(encoder.features(FeatureCache(tmp_path, {}), "a"), expected("a"))
    assert "the runs need half of them" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_stop_while_features_are_made_leaves_nothing(tmp_path):
    def stop(places):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureCache(tmp_path, {}).features("text", "w", digests("a"), WIDTH, stop)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed(tmp_path):
    left = tmp_path / ".features_text_0123.f32.89abcdef.tmp"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    Encoder().features(FeatureCache(tmp_path, {}), "a")
    assert only_file(tmp_path).suffix == ".f32"


SLOW = """
import sys, time
from pathlib import Path
import numpy as np
sys.path.insert(0, {scripts!r})
from common.data.feature_cache import FeatureCache
folder = Path(sys.argv[1])

def make(places):
    with open(folder / "read.txt", "a") as file:
        file.write("read\\n")
    while not (folder / "go").exists():
        time.sleep(0.01)
    yield places, np.ones((len(places), 3), np.float32)

print(FeatureCache(folder / "cache", {{}}).features("text", "w", [bytes(32)], 3, make).tolist())
"""


def test_of_two_processes_one_reads_and_the_other_waits_for_it(tmp_path):
    command = [sys.executable, "-u", "-c", SLOW.format(scripts=str(STAGE2 / "scripts"))]
    command.append(str(tmp_path))
    options = {"stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options) as one:
        while not (tmp_path / "read.txt").exists():
            time.sleep(0.01)
        with subprocess.Popen(command, **options) as two:
            assert two.stdout.readline().startswith("waiting for another command, which makes")
            (tmp_path / "go").touch()
            assert two.stdout.read() == one.stdout.read() == "[[1.0, 1.0, 1.0]]\n"
    assert (tmp_path / "read.txt").read_text() == "read\n"
