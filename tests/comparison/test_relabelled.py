"""Labels that a person has corrected: the verdicts under them beside those under the given ones."""

import compare_summary
import numpy as np
import pytest
from common.comparison.compare import compare
from common.comparison.relabelled import relabelled
from common.errors import UserError
from common.marks import read_marks
from helpers.figures import some_predictions
from helpers.made_runs import made_run
from helpers.run_folders import CLASSES, LABELS, make_run
from helpers.tables import write_rows

HEADER = ["guid", "label", "mark", "corrected"]
GIVEN = {f"pair{i}": CLASSES[label] for i, label in enumerate(LABELS)}
MEANT = np.where(np.arange(400) < 60, (LABELS + 1) % 3, LABELS)
WRONG = {f"pair{i}": CLASSES[MEANT[i]] for i in range(60)}


def test_the_verdicts_are_those_of_runs_that_were_measured_by_the_corrected_labels():
    said = {"right": some_predictions(3, 0.7), "meant": some_predictions(3, 0.68)}
    said["meant"] = np.where((np.arange(400) < 60), MEANT, said["meant"])  # of the wrong labels

    def group(labels: np.ndarray):
        return compare([made_run(name, own, labels) for name, own in said.items()]).groups[0]

    again, twin = relabelled(group(LABELS), WRONG).validation, group(MEANT).validation
    assert again.models.keys() == twin.models.keys()
    for name, judged in twin.models.items():
        assert again.models[name].estimates == judged.estimates
        assert (again.models[name].verdict, again.models[name].p) == (judged.verdict, judged.p)
    assert group(LABELS).ranked != relabelled(group(LABELS), WRONG).ranked == ["meant", "right"]


def test_the_summary_shows_differences_under_both_and_its_tables_keep_the_given_labels(
    tmp_path, capsys
):
    for name, right in (("good", 0.8), ("poor", 0.5)):
        make_run(tmp_path / "outputs/compare", name, epochs=some_predictions(1, right))
    command = ["--project-root", str(tmp_path), "--lang", "en"]
    compare_summary.main(command)
    tables = [path.read_bytes() for path in sorted(tmp_path.glob("outputs/compare/*.csv"))]
    rows = [[guid, GIVEN[guid], "wrong", label] for guid, label in WRONG.items()]
    write_rows(tmp_path / "corrected.csv", [HEADER, *rows])
    compare_summary.main([*command, "--labels", "corrected.csv"])
    printed = capsys.readouterr().out
    assert tables == [p.read_bytes() for p in sorted(tmp_path.glob("outputs/compare/*.csv"))]
    assert len(tables) == 3 and "60 of 400 labels are corrected" in printed
    assert printed.count("+0.0 best") == 2  # the first under each


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (["pair0", GIVEN["pair0"], "bad", ""], "row 2: the mark is 'bad', not one of right, wrong"),
        (["pair0", GIVEN["pair0"], "wrong", "meh"], "row 2: 'meh' is none of the classes"),
        (["pair0", "meh", "wrong", "neutral"], "row 2: the label of 'pair0' is .* now, not 'meh'"),
        (["pair0", GIVEN["pair0"], "unsure", ""], "no label of these 400 pairs is marked as wrong"),
        (["elsewhere", "neutral", "wrong", "positive"], "no label of these 400 pairs"),
        (["pair0", "neutral"], "row 2 has 2 cells, .*needs the columns guid,label,mark,corrected"),
    ],
)
def test_marks_that_do_not_fit_are_refused_by_their_row(tmp_path, row, fault):
    write_rows(tmp_path / "corrected.csv", [HEADER, row])
    with pytest.raises(UserError, match=f"corrected.csv.*{fault}"):
        read_marks(tmp_path / "corrected.csv", GIVEN)
