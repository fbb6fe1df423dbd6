"""The choice of validation pairs: whole groups, with class counts close to their goals."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations

import pytest
from common.data.splitting import choose_validation, class_goals, connected_groups


def test_class_goals_are_largest_remainders():
    totals = {"negative": 1292, "neutral": 419, "positive": 2289}  # 129.2, 41.9, 228.9
    assert class_goals(totals, 0.1) == {"negative": 129, "neutral": 42, "positive": 229}
    assert class_goals({"a": 1, "b": 2, "c": 97}, 0.1) == {"a": 0, "b": 1, "c": 10}
    assert class_goals({"a": 100}, 0.29) == {"a": 29}  # 100 * 0.29 is 28.999999999999996


def connected(*columns: list[str]) -> set[frozenset[int]]:
    """Merge any two groups that share a value until none do: brute force."""
    groups = [frozenset([i]) for i in range(len(columns[0]))]
    while True:
        for one, other in combinations(groups, 2):
            if any(
                {column[i] for i in one} & {column[i] for i in other} - {""} for column in columns
            ):
                groups = [group for group in groups if group not in (one, other)] + [one | other]
                break
        else:
            return set(groups)


@pytest.mark.parametrize("seed", range(20))
def test_groups_are_those_of_brute_force(seed):
    rng = random.Random(seed)
    columns = [[rng.choice(["", *map(str, range(25))]) for _ in range(30)] for _ in range(2)]
    groups = connected_groups(*columns)
    assert sorted(i for group in groups for i in group) == list(range(30))
    assert {frozenset(group) for group in groups} == connected(*columns)


def invented(
    rng: random.Random, pairs: int, duplicates: float, largest: int
) -> tuple[list[list[int]], list[str]]:
    """Groups and labels; ``duplicates`` is the share of groups that hold more than one pair."""
    labels = rng.choices(["negative", "neutral", "positive"], [3, 1, 6], k=pairs)
    groups, i = [], 0
    while i < pairs:
        size = rng.randint(2, largest) if rng.random() < duplicates else 1
        groups.append(list(range(i, min(i + size, pairs))))
        i += size
    return groups, labels


@pytest.mark.parametrize(
    ("pairs", "duplicates", "largest", "off"),
    [
        (640, 0.02, 3, 0),
        (4511, 0.02, 3, 0),
        (4511, 0.3, 6, 0),
        (100_000, 0.05, 30, 0),
        (4511, 1, 6, 2),
        (640, 1, 3, 2),
    ],
)
def test_class_counts_are_exact_where_single_pairs_allow_and_close_otherwise(
    pairs, duplicates, largest, off
):
    rng = random.Random(1)
    for ratio in (0.1, 0.2):
        groups, labels = invented(rng, pairs, duplicates, largest)
        guids = list(map(str, range(pairs)))
        chosen = choose_validation(groups, labels, guids, ratio, seed=42)
        assert all(len(chosen & set(group)) in (0, len(group)) for group in groups)
        counts, goals = Counter(labels[i] for i in chosen), class_goals(Counter(labels), ratio)
        assert all(abs(counts[name] - goals[name]) <= off for name in goals), (counts, goals)
        shared = [group for group in groups if len(group) > 1]
        share = sum(group[0] in chosen for group in shared) / len(shared)
        assert abs(share - ratio) < 0.1  # validation has its part of the duplicates


def test_a_class_of_two_groups_has_one_on_each_side():
    groups = [[0, 1, 2], [3, 4, 5, 6], *([i] for i in range(7, 40))]
    labels = ["rare"] * 7 + ["common"] * 33
    for seed in range(5):
        chosen = choose_validation(groups, labels, list(map(str, range(40))), 0.1, seed)
        assert Counter(labels[i] for i in chosen) == {"rare": 3, "common": 3}
