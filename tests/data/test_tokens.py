"""Texts become tokens once; a text of any length costs a bounded amount of time and memory."""

import numpy as np
import pytest
from common.data import tokens as tokens_module
from common.data.tokens import language_warning, tokenise
from common.errors import UserError
from common.models.loading import load_tokenizer
from helpers.hub import BERT, CLIP
from helpers.usage import cpu_seconds
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split


@pytest.fixture(scope="module", params=[BERT, CLIP])
def tokenizer(request, hub):
    return load_tokenizer(hub.folder(request.param))


@pytest.mark.parametrize("unit", ["天气很好 ", "hello world ", "a", "!", "e\u0301", "😀"])
def test_a_very_long_text_gives_the_tokens_of_its_beginning_and_counts_as_cut(tokenizer, unit):
    """The bound is far beyond what the tokens need, so they are those of the whole text."""
    text = unit * (300_000 // len(unit))
    start = cpu_seconds()
    found = tokenise([text, "天气"], tokenizer, 32)
    assert cpu_seconds() - start < 10
    whole = tokenizer([text[:100_000]], truncation=True, max_length=32)["input_ids"][0]
    assert found.ids[: found.starts[1]].tolist() == whole
    assert found.truncated_rate == 0.5 and 0 < found.per_character < 5
    assert language_warning([text, "天气"], found, "x") is not None


def test_a_text_within_the_bound_is_counted_as_before(tokenizer):
    texts = ["天" * 12_000, "天气", "天" * 12_800]  # 12,800 characters for 64 tokens are the bound
    found = tokenise(texts, tokenizer, 64)
    assert found.truncated_rate == pytest.approx(2 / 3)
    tokens = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    assert found.per_character == pytest.approx(sum(tokens) / sum(map(len, texts)), rel=0.02)


@pytest.mark.parametrize(("texts", "characters"), [(1, 10**9), (1000, 1), (3, 10)])
def test_how_texts_are_tokenised_together_changes_nothing(
    tokenizer, monkeypatch, texts, characters
):
    sentences = [f"天气 {'好' * (i % 7)} ok" for i in range(50)] + [""]
    expected = tokenise(sentences, tokenizer, 16)
    monkeypatch.setattr(tokens_module, "PORTION", texts)
    monkeypatch.setattr(tokens_module, "_PORTION_CHARACTERS", characters)
    found = tokenise(sentences, tokenizer, 16)
    assert np.array_equal(found.ids, expected.ids) and np.array_equal(found.starts, expected.starts)
    assert found.truncated_rate == expected.truncated_rate


@pytest.mark.parametrize(
    ("letters", "patience", "told"),
    [(22, 0.1, "in 0.1 seconds"), (40, 60, "retry-limit-in-match over")],
)
def test_a_pattern_that_goes_back_and_forth_ends_with_a_message(
    hub, monkeypatch, letters, patience, told
):
    """Each letter more doubles the ways to try; the library gives up after ten million."""
    hostile = load_tokenizer(hub.folder(BERT))
    hostile.backend_tokenizer.pre_tokenizer = Split(Regex("(a+)+$"), "isolated")
    monkeypatch.setattr(tokens_module, "_PATIENCE", patience)
    with pytest.raises(UserError, match=told):
        tokenise(["a" * letters + "b"] * 20, hostile, 64)
