"""What models said of all pairs, and the sets of pairs that are worth a look."""

from types import SimpleNamespace

import numpy as np
import pytest
from common.comparison.pairs import Pairs
from common.page.pairs import PairTable, kinds, presets, slices
from common.page.sources import Source
from common.page.tables import slice_table
from common.words import ENGLISH
from sklearn.metrics import confusion_matrix

N, CLASSES = 60, ["negative", "neutral", "positive"]
READS = ("concat", "text", "late", "image")  # what each of four models joins, best first


def model(name: str, fusion: str | None) -> SimpleNamespace:
    run = SimpleNamespace(recorded=lambda *keys: fusion)
    return SimpleNamespace(name=name, runs=[run], imported=False)


def table_of(
    shares: np.ndarray, labels: np.ndarray, fusions=READS, groups: np.ndarray | None = None
) -> PairTable:
    guids, models = [f"pair{i}" for i in range(len(labels))], [model(f, f) for f in fusions]
    pairs = Pairs(CLASSES, guids, labels, groups, groups is not None)
    cut, decided = np.zeros(len(labels), bool), np.full((len(fusions), len(labels)), "")
    return PairTable(pairs, models, shares.argmax(-1), shares, cut, decided)


@pytest.fixture(scope="module")
def table() -> PairTable:
    random = np.random.default_rng(3)
    labels = random.integers(0, 3, N)
    shares = random.dirichlet([0.5] * 3, (4, N))
    shares[:2, np.arange(N), labels] += 0.3  # the first two models are better
    groups = np.maximum(np.arange(N) - 1, 0)  # the first two are copies
    return table_of(shares / shares.sum(-1, keepdims=True), labels, groups=groups)


def brute_force(table: PairTable) -> dict[str, set[int]]:
    """The presets, pair by pair."""
    found = {name: set() for name in ("label", "all_wrong", "sure", "one_right", "disagree")}
    found |= {"image_decides": set(), "text_decides": set(), "copies": {0, 1}}
    for pair, label in enumerate(table.pairs.labels):
        shares = table.shares[:, pair]
        said = [int(row.argmax()) for row in shares]
        of = dict(zip(READS, said, strict=True))
        right = said.count(label)
        if np.mean([row[label] for row in shares]) < 1 / 3:
            found["label"].add(pair)
        if right == 0:
            found["all_wrong"].add(pair)
        if right == 1:
            found["one_right"].add(pair)
        if len(set(said)) > 1:
            found["disagree"].add(pair)
        if any(one != label and row[one] >= 0.9 for one, row in zip(said, shares, strict=True)):
            found["sure"].add(pair)
        for single in ("image", "text"):
            if of["image"] != of["text"] and of["concat"] == of[single]:
                found[f"{single}_decides"].add(pair)
    return found


def test_every_preset_is_what_a_search_pair_by_pair_finds(table):
    found = {name: set(np.flatnonzero(members)) for name, members in presets(table).items()}
    assert found == brute_force(table)
    assert all(found.values())


def test_planted_wrong_labels_come_first_by_the_mean_probability_of_the_label():
    random = np.random.default_rng(0)
    truth, labels = random.integers(0, 3, 500), None
    shares = random.dirichlet([1] * 3, (5, 500))
    shares[:, np.arange(500), truth] += 1
    labels = truth.copy()
    labels[:60] = (truth[:60] + 1) % 3
    found = table_of(shares / 2, labels, ["concat"] * 5)
    assert set(np.argsort(found.of_label)[:60]) == set(range(60))
    assert presets(found)["label"][:60].all()


def test_one_model_has_no_presets_of_several():
    shares = np.array([[[0.9, 0.1, 0], [0.2, 0.5, 0.3]]])
    found = table_of(shares, np.array([0, 2]), ["late"])
    assert set(presets(found)) == {"label", "all_wrong", "sure"}
    assert found.disagreement.tolist() == [0, 0] and found.modalities == {}


def test_disagreement_is_the_chance_that_two_votes_differ():
    votes = np.eye(3)[[[0, 0], [0, 1], [0, 2], [0, 2]]]  # (M, N, C)
    found = table_of(votes, np.array([0, 0]))
    assert found.disagreement == pytest.approx([0, 1 - (1 + 1 + 4) / 16])


def test_confusions_are_counted_and_ranked(table):
    counts = confusion_matrix(table.pairs.labels, table.predicted[2])
    assert (table.confusion(2) == counts).all()
    ranked = table.confused(2, 3)
    errors = sorted((counts - np.diag(np.diag(counts))).ravel(), reverse=True)
    assert [count for _, _, count in ranked] == errors[:3]
    label, said, count = ranked[0]
    assert counts[CLASSES.index(label), CLASSES.index(said)] == count


def source(text: str, size: tuple[int, int], encoding: str = "utf-8") -> Source:
    return Source(text, encoding, "", "", "", size)


def test_kinds_of_a_pair_by_its_text_and_photo():
    for found, expected in (
        (source("", (0, 0)), "text_empty encoding_utf8"),  # the photo's header is broken
        (
            source("好" * 50, (300, 300)),
            "text_short chinese encoding_utf8 photo_square photo_middle",
        ),
        (
            source("a" * 51, (299, 600), "gb18030"),
            "text_middle not_chinese encoding_other photo_tall photo_small",
        ),
        (
            source("a" * 101, (1200, 600), "replaced"),
            "text_long not_chinese encoding_replaced photo_wide photo_large",
        ),
    ):
        assert kinds(found) == expected.split()


def test_slices_hold_each_pair_whose_source_is_known_and_give_accuracy_with_an_interval(table):
    known = {f"pair{i}": source("a" * i, (400, 300)) for i in range(N) if i % 2}
    found = slices(table, known)
    lengths = [name for name in found if name.startswith("text_")]
    assert sum(found[name] for name in lengths).tolist() == [i % 2 for i in range(N)]
    members = np.arange(N) < 10
    _, count, *cells = slice_table(table, {"text_cut": members}, ENGLISH).rows[0]
    assert count.value == 10
    for place, cell in enumerate(cells):
        low, high = map(float, cell.note.split("–"))
        assert cell.value == table.right[place, :10].mean()
        assert 0 <= low <= cell.value <= high <= 1
