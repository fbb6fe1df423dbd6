"""Both languages say all that is asked of them, in the same places."""

import ast
import re
from string import Formatter

from common.words import CHINESE, ENGLISH, PHRASES, ROOMS, known, phrase, system_language
from helpers.hub import STAGE2

COMMON = STAGE2 / "scripts/common"
SAME_IN_BOTH = ("p", "language", "as_written", "short_f1_macro", "panel_f1")
JOINING = ("between_", "figures", "both_findings", "seeds_of", "rates_of", "with_", "only_in")


def places(text: str) -> set[str]:
    """Names of what is filled in; words that only count ({n:pair|pairs}) are no places."""
    parsed = Formatter().parse(text)
    return {name for _, name, form, _ in parsed if name and "|" not in (form or "")}


def test_both_languages_have_every_phrase_with_the_same_places():
    for key, (zh, en) in PHRASES.items():
        counted = set(re.findall(r"\{(\w+):[^}|]*\|", en))
        assert places(zh) | counted == places(en) | counted, key
        assert (zh or key == "between_sentences") and en, key
        assert not re.search("[\u4e00-\u9fff]", en) or key == "language", key
        joins = key in SAME_IN_BOTH or key.startswith(JOINING)
        assert re.search("[\u4e00-\u9fff]", zh) or joins, key


def test_no_room_says_what_another_one_says():
    assert sum(map(len, ROOMS.values())) == len(PHRASES)


def test_every_phrase_that_is_asked_for_is_there():
    asked = set()
    for path in (*COMMON.glob("page/page.*"), *COMMON.glob("report/*.jinja")):
        text = path.read_text(encoding="utf-8")
        asked |= set(re.findall(r"""\b(?:t|say|section)\(["'](\w+)["'][),]""", text))
    for path in COMMON.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and _name(call) in ("say", "phrase", "heading"):
                asked |= {
                    node.value
                    for node in call.args[:1]
                    if isinstance(node, ast.Constant) and isinstance(node.value, str)
                }
    assert len(asked) > 150
    assert asked <= set(PHRASES)


def _name(call: ast.Call) -> str:
    return getattr(call.func, "id", None) or getattr(call.func, "attr", "")


def test_words_of_the_console_exist_in_the_code_page_of_chinese_windows():
    for zh in (*CHINESE.texts("shared"), *CHINESE.texts("comparison"), *CHINESE.texts("sweep")):
        zh.encode("gbk")


def test_a_phrase_is_filled_with_numbers_names_and_other_phrases():
    pairs = phrase("validation_pairs", n=1200)
    kept = phrase("of_them_independent", pairs=pairs, n=1000)
    assert ENGLISH(kept) == "1,200 validation pairs (1,000 of them independent)"
    assert CHINESE(kept) == "1,200 对验证样本（其中 1,000 对相互独立）"
    assert ENGLISH("are_worse", names=["a"], n=1) == "a is significantly worse"
    assert ENGLISH("are_worse", names=["a", "b"], n=2) == "significantly worse: a and b"
    assert CHINESE("are_worse", names=["a", "b", "c"], n=3) == "a、b 和 c 显著更差"


def test_what_is_filled_in_is_no_phrase_itself():
    assert ENGLISH("not_part", names="{n:pair|pairs} {0}") == "Not compared: {n:pair|pairs} {0}."


def test_a_word_without_a_phrase_is_the_same_in_both():
    assert CHINESE(known("metric_kappa", "Kappa")) == ENGLISH(known("metric_kappa", "Kappa"))
    assert CHINESE(known("metric_acc", "Accuracy")) == "准确率"


def test_equal_phrases_are_one_when_counted():
    assert len({phrase("few_errors", n=3), phrase("few_errors", n=3)}) == 1


def test_the_language_is_that_of_the_system(monkeypatch):
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    for all_, lang, language in (
        ("", "zh_CN.UTF-8", "zh"),
        ("", "zh_TW", "zh"),
        ("C", "zh_CN.UTF-8", "en"),
        ("zh_CN.GBK", "en_US.UTF-8", "zh"),
        ("", "de_DE.UTF-8", "en"),
    ):
        monkeypatch.setenv("LC_ALL", all_)
        monkeypatch.setenv("LANG", lang)
        assert system_language() == language
