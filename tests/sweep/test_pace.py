"""The time that is left is counted from the runs that were made."""

from datetime import datetime

import compare_all
import pytest
from common.sweep.pace import Pace, until
from common.sweep.screen import _cut


@pytest.fixture
def jobs():
    """Two seeds of concat and of CLIP: concat, clip, concat, clip."""
    return compare_all.parse(["--models", "concat,clip", "--seeds", "1,2"])[0]


def test_nothing_is_known_before_the_first_run(jobs):
    assert Pace(1).remaining(jobs, {}) is None


def test_a_model_takes_what_it_took_before_and_an_unknown_one_the_mean(jobs):
    pace = Pace(2)
    pace.add(jobs[0], 10.0)
    assert pace.remaining(jobs[1:], {}) == (10 + 10 + 10) / 2
    pace.add(jobs[1], 30.0)
    # One concat of 10 s of which 4 are gone, one CLIP of 30 s, on two devices.
    assert pace.remaining([jobs[3]], {jobs[2]: 4.0}) == (30 + 6) / 2
    # A run that takes longer than the others took does not shorten what follows.
    assert pace.remaining([jobs[3]], {jobs[2]: 99.0}) == 30 / 2


def test_the_day_is_told_where_it_is_another_one():
    now = datetime(2026, 1, 2, 23, 0)
    assert until(600, now) == "23:10"
    assert until(7200, now) == "2026-01-03 01:00"


def test_a_line_is_cut_by_its_columns_of_which_chinese_characters_take_two():
    assert _cut("ab今天c", 5) == "ab今"
    assert _cut("ab今天c", 7) == "ab今天c"
