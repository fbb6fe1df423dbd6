"""The choice of validation pairs: whole groups, with class counts close to their goals."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from common.data.splitting import choose_folds, choose_validation, class_goals, connected_groups
from common.errors import UserError


def test_class_goals_are_largest_remainders():
    totals = {"negative": 1292, "neutral": 419, "positive": 2289}  # 129.2, 41.9, 228.9
    assert class_goals(totals, 0.1) == {"negative": 129, "neutral": 42, "positive": 229}
    assert class_goals({"a": 1, "b": 2, "c": 97}, 0.1) == {"a": 0, "b": 1, "c": 10}
    assert class_goals({"a": 100}, 0.29) == {"a": 29}  # 100 * 0.29 is 28.999999999999996


def test_groups_share_a_value_directly_or_through_others_and_no_value_connects_nothing():
    texts, photos = ["a", "", "b", "b", ""], ["1", "2", "1", "3", ""]
    assert sorted(connected_groups(texts, photos)) == [[0, 2, 3], [1], [4]]


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


@pytest.mark.parametrize(("pairs", "folds"), [(640, 2), (640, 5), (4511, 10)])
def test_each_pair_is_in_one_fold_and_classes_are_in_proportion(pairs, folds):
    rng = random.Random(2)
    groups, labels = invented(rng, pairs, 0.05, 4)
    guids = list(map(str, range(pairs)))
    chosen = choose_folds(groups, labels, guids, folds, seed=42)
    assert len(chosen) == folds and sorted(i for fold in chosen for i in fold) == list(range(pairs))
    assert all(len({i in fold for i in group}) == 1 for fold in chosen for group in groups)
    totals = Counter(labels)
    for fold in chosen:
        counts = Counter(labels[i] for i in fold)
        assert all(abs(counts[name] - n / folds) < 2 for name, n in totals.items()), counts


def test_folds_depend_on_the_seed_but_not_on_the_order_of_the_pairs():
    rng = random.Random(3)
    labels = [rng.choice("ab") for _ in range(60)]
    order = rng.sample(range(60), 60)
    groups = [[i] for i in range(60)]
    guids = list(map(str, range(60)))
    folds = choose_folds(groups, labels, guids, 3, seed=1)
    moved = choose_folds(groups, [labels[i] for i in order], [guids[i] for i in order], 3, seed=1)
    assert [{order[i] for i in fold} for fold in moved] == folds
    assert choose_folds(groups, labels, guids, 3, seed=2) != folds


def test_a_class_with_fewer_groups_than_folds_is_named():
    labels = ["rare"] * 4 + ["common"] * 36
    groups = [[0, 1], [2], [3], *([i] for i in range(4, 40))]
    guids = list(map(str, range(40)))
    assert len(choose_folds(groups, labels, guids, 3, seed=42)) == 3
    with pytest.raises(UserError, match="4 folds: class 'rare' has 3 that .* a smaller --folds"):
        choose_folds(groups, labels, guids, 4, seed=42)
