"""Choose the validation pairs of a split, by the pairs, the ratio and the seed, in whatever order the
pairs are.

Pairs that share a text or a picture are a group, which stays on one side: a model must not be
measured on what it has learned by heart. Whole groups are taken, so that the counts of the classes
come close to their goals.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..errors import UserError
from ..files import quoted


def connected_groups(*columns: list[str]) -> list[list[int]]:
    """Return groups of indices that share a value in a column (N,), directly or through others. An
    empty value connects nothing: two pictures without words have no text in common."""
    links = []
    for column in columns:
        first: dict[str, int] = {}  # value -> the first index that has it
        links += [(i, first.setdefault(value, i)) for i, value in enumerate(column) if value]
    groups = defaultdict(list)
    for i, group in enumerate(component_of_each(links, len(columns[0]))):
        groups[group].append(i)
    return list(groups.values())


def component_of_each(links: Sequence[tuple[int, int]], count: int) -> list[int]:
    """Return a number for each of ``count`` places: the same where links connect them somehow."""
    ends = np.asarray(links, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links), bool), ends), (count, count))
    return connected_components(graph, directed=False)[1].tolist()


def class_goals(totals: dict[str, int], ratio: float) -> dict[str, int]:
    """Return how many pairs of each class go to validation, where ``totals`` has all pairs: share
    out ``ratio`` of them by largest remainders, with one of each class on each side if possible."""
    goals = {name: int(n * ratio) for name, n in totals.items()}
    by_remainder = sorted(totals, key=lambda name: (goals[name] - totals[name] * ratio, name))
    left = int(sum(totals.values()) * ratio + 0.5) - sum(goals.values())
    for name in by_remainder[:left]:
        goals[name] += 1
    return {name: min(max(goal, 1), totals[name] - 1) for name, goal in goals.items()}


def choose_validation(
    groups: list[list[int]], labels: list[str], guids: list[str], ratio: float, seed: int
) -> set[int]:
    """Return the indices of the validation pairs: whole groups, with about ``ratio`` of each class.
    Raise UserError where one side would be empty.

    Groups with the same number of pairs of each class are of one kind and can replace each other.
    ``_groups_to_take`` says how many of each kind are taken; a hash of seed and guid says which.
    """
    # 1. Sort the groups by kind: ((class, pairs in the group), ...).
    kinds = defaultdict(list)
    for group in groups:
        counts = Counter(labels[i] for i in group)
        kinds[tuple(sorted(counts.items()))].append(group)
    # 2. Decide on the largest kinds first: the single pairs at the end even out the rest.
    order = sorted(kinds, key=lambda kind: (-sum(n for _, n in kind), kind))
    sizes = [len(kinds[kind]) for kind in order]
    pairs = [i for group in groups for i in group]
    goals = class_goals(Counter(labels[i] for i in pairs), ratio)
    taken = _groups_to_take([dict(kind) for kind in order], sizes, goals)

    # 3. Draw that many groups of each kind.
    def lot(group: list[int]) -> bytes:
        first = min(guids[i] for i in group)
        return hashlib.sha256(f"{seed}:{first}".encode()).digest()

    chosen = set()
    for kind, count in zip(order, taken, strict=True):
        for group in sorted(kinds[kind], key=lot)[:count]:
            chosen.update(group)
    if not 0 < len(chosen) < len(pairs):
        raise UserError(
            f"{len(pairs)} pairs that share texts or pictures cannot be cut in two; "
            "more pairs are needed"
        )
    return chosen


def choose_folds(
    groups: list[list[int]], labels: list[str], guids: list[str], folds: int, seed: int
) -> list[set[int]]:
    """Return the validation pairs of each fold: whole groups, each pair in one fold, and nearly as
    many pairs of each class. Raise UserError where a fold would lack a class."""
    holders = Counter()  # groups with a pair of each class
    for group in groups:
        holders.update({labels[i] for i in group})
    rare = min(sorted(holders), key=holders.__getitem__)
    chosen, left = [], groups
    if holders[rare] >= folds:
        for more in range(folds, 1, -1):
            chosen.append(choose_validation(left, labels, guids, 1 / more, seed))
            left = [group for group in left if group[0] not in chosen[-1]]
        chosen.append(set().union(*left))
    if not chosen or any({labels[i] for i in fold} != holders.keys() for fold in chosen):
        raise UserError(
            f"too few pairs for {folds} folds: class {quoted(rare)} has {holders[rare]:,} that are "
            "no copies of each other, and each fold needs some of each class; give a smaller "
            "--folds, or add pairs of that class or leave it out"
        )
    return chosen


def _groups_to_take(
    kinds: list[dict[str, int]], sizes: list[int], goals: dict[str, int]
) -> list[int]:
    """Return the number of groups of each kind that go to validation (K,), from the pairs of each
    class in a group of the kind (K,), the number of its groups (K,), and the ``goals`` by class. Each
    kind takes its share, and corrects the rounding of those before it (error diffusion)."""
    totals = Counter()  # pairs of each class
    for kind, size in zip(kinds, sizes, strict=True):
        totals.update({name: size * n for name, n in kind.items()})
    seen, chosen = Counter(), Counter()  # the same in the kinds so far, and in validation
    taken = []
    for kind, size in zip(kinds, sizes, strict=True):
        least, most = 0, size
        for name, n in kind.items():
            last = seen[name] + size * n == totals[name]  # no later kind has this class
            if last and chosen[name] == 0:
                least = 1  # else validation could not measure the class
            if last and chosen[name] == seen[name]:
                most = size - 1  # else no model could learn the class
            seen[name] += size * n
        # Find the number of groups that brings the classes nearest to their goals. With n pairs in
        # each group and m missing, the least squares over the classes are at sum(n m) / sum(n n).
        missing = {name: seen[name] * goals[name] / totals[name] - chosen[name] for name in kind}
        weighted = sum(n * missing[name] for name, n in kind.items())
        nearest = round(weighted / sum(n * n for n in kind.values()))
        count = min(max(nearest, least), most)
        taken.append(count)
        chosen.update({name: count * n for name, n in kind.items()})
    return taken
