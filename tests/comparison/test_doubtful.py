"""doubtful.csv: the pairs whose given label the models believe least come first."""

import numpy as np
import pytest
from common.comparison.compare import compare
from common.comparison.imported import with_imported
from common.comparison.tables import doubtful, label_scores
from helpers.made_runs import made_predictions, made_run
from helpers.run_folders import CLASSES
from helpers.tables import write_rows

PRIORS = np.array([0.1, 0.3, 0.6])


def test_wrong_labels_come_first_in_rare_and_frequent_classes_alike():
    """Models of the priors .1, .3, .6 are surer of frequent classes. So the raw probability of the
    label puts right labels of the rare class before wrong ones of the frequent class."""
    random = np.random.default_rng(0)
    truth = random.choice(3, 2000, p=PRIORS)
    evidence = np.exp(random.normal(0, 0.5, (4, 2000, 3)) + 1.6 * np.eye(3)[truth])
    shares = PRIORS * evidence
    shares /= shares.sum(-1, keepdims=True)
    wrong = random.random(2000) < 0.05
    labels = np.where(wrong, (truth + random.integers(1, 3, 2000)) % 3, truth)
    given = shares.mean(0)[np.arange(2000), labels]
    scores = label_scores(shares, labels)
    for label in range(3):
        own = labels == label
        assert scores[own] == pytest.approx(given[own] / given[own].mean())
    first = np.argsort(scores)[:300]
    by_raw = np.argsort(given)[:300]
    right_and_rare = ~wrong & (labels == 0)
    assert right_and_rare[first].sum() < 0.5 * right_and_rare[by_raw].sum()
    assert wrong[first].sum() > wrong[by_raw].sum()


def test_each_model_has_one_vote_and_answers_without_probabilities_have_none(tmp_path):
    labels = np.array([0, 1, 2] * 20)
    random = np.random.default_rng(1)
    shares = random.dirichlet([1] * 3, (3, 60))
    runs = []
    for name, seed, own in (
        ("a", 42, shares[0]),
        ("a_seed43", 43, shares[1]),
        ("b", 42, shares[2]),
    ):
        run = made_run(name, own.argmax(1), labels, model=name[0], seed=seed)
        object.__setattr__(run, "predictions", made_predictions(labels, own.argmax(1), shares=own))
        runs.append(run)
    rows = [["guid", "tag"], *([f"pair{i}", CLASSES[label]] for i, label in enumerate(labels))]
    write_rows(tmp_path / "c.csv", rows)
    group = with_imported(compare(runs), tmp_path, {"c": tmp_path / "c.csv"}).groups[0]
    table = doubtful(group)
    assert list(table.columns[:4]) == ["guid", "label", "suggested", "score"]
    assert set(table.columns[4:]) == {"a", "b"} and len(group.models) == 3
    votes = np.array([shares[:2].mean(0), shares[2]])  # (2, N, C)
    given = votes.mean(0)[np.arange(60), labels]
    of_class = np.array([given[labels == label].mean() for label in range(3)])
    scores = dict(zip((f"pair{i}" for i in range(60)), given / of_class[labels], strict=True))
    assert list(table["score"]) == pytest.approx(sorted(scores.values()))
    for row in table.to_dict("records"):
        pair = int(row["guid"][4:])
        assert row["score"] == pytest.approx(scores[row["guid"]])
        assert row["label"] == CLASSES[labels[pair]]
        assert row["suggested"] == CLASSES[votes[:, pair].mean(0).argmax()]
        assert [row["a"], row["b"]] == pytest.approx(votes[:, pair, labels[pair]].tolist())
