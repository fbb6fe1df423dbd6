"""The report says what the runs recorded, in texts that Markdown and LaTeX can set."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import compare_report
import numpy as np
import pytest
from common.comparison.compare import compare
from common.comparison.tables import write_tables
from common.errors import UserError
from common.report.escaping import ENTRIES, markdown, tex
from common.report.numbers import letters
from common.report.write import write_report
from common.runs.reading import load_runs
from common.words import CHINESE, ENGLISH, Language
from helpers.pages import write_pairs
from helpers.run_folders import CLASSES, LABELS, bert, edit, make_run, make_runs, write_parts
from helpers.tables import read_rows, read_table, write_rows

HOSTILE = ["\\input{x} $^_%#&~", "--a[b]|<c>`'\"", "正面 😀"]


def report_of(root: Path, say: Language = ENGLISH) -> dict[str, str]:
    """Write the report without pictures; return its files by their names."""
    folder = root / "outputs/compare"
    write_report(folder / "report", compare(load_runs(folder)), {}, {}, root, say)
    return {path.name: path.read_text("utf-8") for path in (folder / "report").iterdir()}


def table_rows(text: str, number: int) -> list[list[str]]:
    """The cells of a table of report.md, without the marks of bold."""
    lines = text.split(f"**Table {number}:**")[1].split("\n\n")[1].splitlines()
    return [[cell.strip().strip("*") for cell in line.split("|")[1:-1]] for line in lines[2:]]


def macros(text: str) -> dict[str, str]:
    found = re.findall(r"\\newcommand\{\\([A-Za-z]+)\}\{(.*?)\} %", text)
    assert len(dict(found)) == len(found) == len(text.splitlines())
    return dict(found)


def test_every_figure_of_the_table_stands_in_the_csv(tmp_path):
    folder = tmp_path / "outputs/compare"
    make_runs(folder, 9)
    files = report_of(tmp_path)
    write_tables(folder, compare(load_runs(folder)))
    rows, csv = table_rows(files["report.md"], 1), read_table(folder / "compare_families.csv")
    numbers, places = macros(files["numbers.tex"]), {"f1_macro": 2, "acc": 6, "precision_macro": 7}
    places |= {"recall_macro": 8, "f1_weighted": 9}
    assert len(rows) == len(csv) == 8
    for cells, row in zip(rows, csv, strict=True):
        for metric, place in places.items():
            prefix = metric.removesuffix("_macro")
            figure = row[f"{prefix}_corrected"] or row[f"val_{metric}"]
            assert cells[place] == f"{float(figure):.3f}", (row["model"], metric)
        if row["f1_low"]:
            assert cells[3] == f"{float(row['f1_low']):.3f}–{float(row['f1_high']):.3f}"
        assert cells[10] == (f"{float(row[sd]):.3f}" if row[sd := "val_f1_macro_sd"] else "–")
        if cells[0]:
            own = letters(row["model"].split(" · ")[-1])
            assert numbers[f"FOne{own}"] == cells[2] and numbers[f"Acc{own}"] == cells[6]
    marks = {"best": "★", "no significant difference": "≈", "worse": "↓", "reference": ""}
    assert [cells[4] for cells in rows] == [marks[row["verdict"]] for row in csv]


def test_texts_of_pairs_stand_in_markdown_and_not_in_latex(tmp_path):
    """Pairs that most models get wrong come first where they are surest."""
    labels, texts = LABELS[:80], [f"quoted *words* {place}" for place in range(80)]
    record = write_pairs(tmp_path, labels, texts)
    wrong = np.where(np.arange(80) < 3, (labels + 1) % 3, labels)
    for name in ("a", "b", "c"):
        said = wrong if name != "c" else labels
        folder = tmp_path / "outputs/compare"
        run = make_run(folder, name, labels=labels, predictions=said, **record)
    write_parts(run, np.zeros((4, 80, 3)), np.arange(40))  # one is probed
    files = report_of(tmp_path)
    assert "c: of the answers to 40 probed pairs" in files["report.md"]
    cases = re.findall(r"^\d+\. (pair\d+): label (\w+), 2 of 3 models", files["report.md"], re.M)
    assert sorted(cases) == [(f"pair{place}", CLASSES[labels[place]]) for place in range(3)]
    assert r"> quoted \*words\* 1" in files["report.md"] and "data/1.png" in files["report.tex"]
    assert "quoted" not in files["report.tex"] and "pair1" in files["report.tex"]


def test_what_was_not_recorded_is_said_as_such(tmp_path):
    folder = tmp_path / "outputs/compare"
    run = make_run(folder, "old")
    kept = ("best_val_f1_macro", "epochs", "train_time_sec", "params_million")
    record = json.loads((run / "metrics.json").read_text("utf-8"))
    kept = {key: record[key] for key in (*kept, "trainable_params_million")}
    (run / "metrics.json").write_text(json.dumps(kept), "utf-8")
    (run / "predictions.csv").unlink()
    files = report_of(tmp_path)
    assert files["report.md"].count("not recorded") > 8
    for untrue in ("bootstrap", "AdamW", "validation pairs on", "Bad cases", "[@"):
        assert untrue not in files["report.md"]
    assert files["references.bib"] == "" and r"\bibliography" not in files["report.tex"]


def test_a_record_of_other_types_is_shown_as_it_is_or_left_out(tmp_path):
    odd = {"protocol": {"seed": 1, "lr": float("nan")}, "versions": 5, "threads": {"a": []}}
    run = make_run(tmp_path / "outputs/compare", "odd", **odd)
    edit(run, labels=5)
    (run / "predictions.csv").unlink()
    assert "NaN" in report_of(tmp_path)["report.md"]


def test_only_what_was_used_is_cited_and_listed(tmp_path):
    folder = tmp_path / "outputs/compare"
    protocol = {"seed": 42, "optimizer": "AdamW", "schedule": "constant"}
    make_run(folder, "a", model=bert("gated"), protocol=protocol)
    make_run(folder, "b", model=bert("late", "hfl/chinese-macbert-base"), protocol=protocol)
    files = report_of(tmp_path)
    listed = set(re.findall(r"@\w+\{(\w+),", files["references.bib"]))
    cited = {
        key
        for keys in re.findall(r"\\cite\{(.*?)\}", files["report.tex"])
        for key in keys.split(",")
    }
    assert listed == cited == set(re.findall(r"@(\w+)", files["report.md"]))
    assert (
        {"devlin2019", "he2016", "arevalo2017", "loshchilov2019", "efron1987"}
        <= listed
        < set(ENTRIES)
    )
    assert "loshchilov2017" not in listed
    assert re.search(r"chinese-macbert-base;", files["report.md"])  # another paper than BERT's


def test_macros_of_names_without_letters_are_told_apart(tmp_path):
    for name in ("模型", "型号", "a-1", "a 1"):
        make_run(tmp_path / "outputs/compare", name)
    found = macros(report_of(tmp_path)["numbers.tex"])
    assert {"FOneAOne", "FOneAOneX"} <= found.keys()
    assert sum(bool(re.fullmatch("FOneModel(One|Two|Three|Four)", name)) for name in found) == 2


def test_text_is_shown_as_it_is():
    assert tex("50 % of a_b -- [x]", {}, False, {}) == r"50 \% of a\_b -{}- {[}x{]}"
    assert tex("né 正 ½", {}, False, {}) == "né {[}U+6B63{]} {[}U+00BD{]}"
    assert tex("né 正 繁", {}, True, {}) == "né 正 繁"
    assert tex("正面: 0.5", {}, False, {"正面": "Class 1"}) == "Class 1: 0.5"
    assert markdown("a|b *c* <d>\n# e", {}) == r"a\|b \*c\* \<d\>?\# e"
    cited: dict[str, None] = {}
    assert tex("[@efron1987; @smyth2004] [@none]", cited, False, {}).startswith(
        r"\cite{efron1987,smyth2004} "
    )
    assert list(cited) == ["efron1987", "smyth2004"]


def test_it_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    make_runs(tmp_path / "outputs/compare", 2)
    report_of(tmp_path)
    folder = tmp_path / "outputs/compare/report"
    (folder / "report.pdf").write_bytes(b"mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    edit(tmp_path / "outputs/compare/bert-base-chinese_resnet18_late", device="another")
    moved: list[Path] = []

    def fail(source: Path, target: Path) -> None:
        moved.append(target)
        if len(moved) == 2:  # the new folder takes the name of the old one
            raise PermissionError(13, "Permission denied", str(target))
        shutil.move(source, target)

    monkeypatch.setattr("common.report.write.move", fail)
    with pytest.raises(UserError, match="open in another program"):
        report_of(tmp_path)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert "another" in report_of(tmp_path)["report.md"]
    assert (folder / "report.pdf").read_bytes() == b"mine"
    assert not list(folder.parent.glob(".report*"))


@pytest.mark.parametrize("say", [ENGLISH, CHINESE], ids=lambda say: say.code)
def test_it_compiles_without_an_overfull_box_or_a_missing_glyph(tmp_path, monkeypatch, say):
    engine = "xelatex" if say == CHINESE else "pdflatex"
    needed = ["ctexart.cls", "FandolSong-Regular.otf"] if say == CHINESE else ["lmodern.sty"]
    find = ["kpsewhich", "booktabs.sty", "float.sty", *needed]
    if not shutil.which(engine) or subprocess.run(find, capture_output=True).returncode:
        pytest.skip(f"{engine}, or a package that the report needs, is not installed")
    monkeypatch.setattr("common.charts.shown.DPI", 30)
    labels = LABELS[:200]
    for place, name in enumerate(["late", "正 \\$%_&", "w" * 90]):
        said = np.where(np.arange(200) % 7 == place, (labels + 1) % 3, labels)
        folder, own = tmp_path / "outputs/compare", bert(name)
        run = make_run(folder, f"run{place}", labels=labels, predictions=said, model=own)
        names = dict(zip(CLASSES, HOSTILE, strict=True))
        names |= {f"p_{plain}": f"p_{hostile}" for plain, hostile in names.items()}
        rows = read_rows(run / "predictions.csv")
        write_rows(
            run / "predictions.csv", [[names.get(cell, cell) for cell in row] for row in rows]
        )
        counts = {"train": dict.fromkeys(HOSTILE, 9), "val": dict.fromkeys(HOSTILE, 3)}
        edit(run, class_counts=counts)
    compare_report.main(["--project-root", str(tmp_path), "--lang", say.code])
    command = [engine, "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path / "outputs/compare/report", capture_output=True)
    log = (tmp_path / "outputs/compare/report/report.log").read_text("utf-8", "replace")
    assert done.returncode == 0, log[-3000:]
    assert "Overfull" not in log and "Missing character" not in log
    assert "(n = 200 " in (tmp_path / "outputs/compare/report/report.md").read_text(
        "utf-8"
    ).replace("（", "(")
