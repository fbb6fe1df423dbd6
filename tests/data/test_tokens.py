"""Texts become tokens once; a text of any length costs a bounded amount of time and memory."""

import numpy as np
import pytest
from common.data import tokens as tokens_module
from common.data.tokens import language_warning, tokenise
from common.models.loading import load_tokenizer
from helpers.hub import BERT, CLIP


@pytest.fixture(scope="module", params=[BERT, CLIP])
def tokenizer(request, hub):
    return load_tokenizer(hub.folder(request.param))


def test_a_very_long_text_gives_the_tokens_of_its_beginning_and_counts_as_cut(tokenizer):
    """The bound is far beyond what the tokens need, so they are those of the whole text."""
    for unit in ("天气很好 ", "hello world ", "a", "!", "e\u0301", "😀"):
        text = unit * (300_000 // len(unit))
        found = tokenise([text, "天气"], tokenizer, 32)
        whole = tokenizer([text[:100_000]], truncation=True, max_length=32)["input_ids"][0]
        assert found.ids[: found.starts[1]].tolist() == whole
        assert found.truncated_rate == 0.5 and 0 < found.per_character < 5
        assert language_warning([text, "天气"], found, "x") is not None


def test_a_text_within_the_bound_is_counted_as_a_whole(tokenizer):
    texts = ["天" * 12_000, "天气", "天" * 12_800]  # 12,800 characters for 64 tokens are the bound
    found = tokenise(texts, tokenizer, 64)
    assert found.truncated_rate == pytest.approx(2 / 3)
    tokens = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    assert found.per_character == pytest.approx(sum(tokens) / sum(map(len, texts)), rel=0.02)


def test_crlf_is_read_as_lf():
    class Letters:
        pad_token_id, unk_token_id = 0, 1

        def num_special_tokens_to_add(self) -> int:
            return 0

        def __call__(self, texts: list[str], **_) -> dict:
            return {"input_ids": [[*map(ord, text)] for text in texts]}

    one, other = (tokenise([text], Letters(), 16) for text in ("a\r\nb\r", "a\nb\r"))
    assert one.digests == other.digests and one.per_character == other.per_character


def test_how_many_texts_are_tokenised_together_changes_nothing(tokenizer, monkeypatch):
    sentences = [f"天气 {'好' * (i % 7)} ok" for i in range(50)] + [""]
    expected = tokenise(sentences, tokenizer, 16)
    monkeypatch.setattr(tokens_module, "_PORTION", 3)
    found = tokenise(sentences, tokenizer, 16)
    assert np.array_equal(found.ids, expected.ids) and np.array_equal(found.starts, expected.starts)
    assert found.truncated_rate == expected.truncated_rate


def test_a_vocabulary_of_another_language_is_warned_of(hub):
    reader = load_tokenizer(hub.folder(BERT))
    for texts, suits in ((["天气很好", "不开心"], True), (["龘靐齉很好", "齉齉"], False)):
        said = language_warning(texts, tokenise(texts, reader, 16), "x")
        assert bool(said) != suits and ("does not suit these texts" in said) != suits
