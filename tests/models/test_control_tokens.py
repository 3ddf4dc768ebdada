"""Control tokens in a sentence are encoded as text; words stay as they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from ner_utils.data.corpus import Sentence
from ner_utils.models import tagging, weights
from ner_utils.models.control_tokens import as_text, control_tokens

ADDED = ["<think>", "<|fim_prefix|>", "widget", "\n\n", "<table>"]


@pytest.fixture(scope="module")
def uncased(load_model):
    return tagging.load_tokenizer(weights.resolve(load_model("minilm").weights))


@pytest.fixture(scope="module")
def byte_level(load_model):
    """SmolLM2's, with added tokens that are not special: some are control tokens, some are words."""
    tokenizer = AutoTokenizer.from_pretrained(
        weights.resolve(load_model("smollm2-135m").weights), add_prefix_space=True, pad_token="<|endoftext|>"
    )
    tokenizer.add_tokens(ADDED)
    tokenizer.chat_template += "{# #}{% if enable_thinking %}<think>\n\n{% endif %}"
    return tokenizer


def test_control_tokens_and_other_added_tokens(uncased, byte_level):
    assert set(control_tokens(uncased)) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    tokens = set(control_tokens(byte_level))
    # <repo_name> and <file_sep> are special tokens that `all_special_tokens` does not list.
    assert {"<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>", "<think>", "<|fim_prefix|>"} <= tokens
    assert tokens.isdisjoint({"widget", "\n\n", "<table>"})


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["Ada", "[SEP]", "met", "x[MASK]y", "[CLS]"], "Ada [ SEP] met x[ MASK]y [ CLS]"),
        (["[UNK]", "[PAD]"], "[ UNK] [ PAD]"),
    ],
)
def test_special_tokens_of_a_text_are_text_for_a_tagger(uncased, words, text):
    row = tagging.encode([Sentence("s", None, tuple(words), ())], uncased, 64)[0]
    assert row["input_ids"] == uncased(text)["input_ids"]
    special = [token for token in row["input_ids"] if token in uncased.all_special_ids]
    assert special == [uncased.cls_token_id, uncased.sep_token_id]
    assert [word for word in row["word"] if word != tagging.IGNORED] == list(range(len(words)))


@pytest.mark.parametrize("word", ["<|im_end|>", "<file_sep>", "<think>", "a<|fim_prefix|>b"])
def test_control_tokens_of_a_text_are_text_for_a_language_model_that_tags(byte_level, word):
    steering = set(byte_level.convert_tokens_to_ids(control_tokens(byte_level)))
    row = tagging.encode([Sentence("s", None, ("Ada", word, "widget"), ())], byte_level, 64, "last")[0]
    assert steering.isdisjoint(row["input_ids"])
    assert byte_level.convert_tokens_to_ids("widget") in row["input_ids"]
    assert len([place for place in row["word"] if place != tagging.IGNORED]) == 3


def test_ordinary_words_are_encoded_as_the_tokenizer_does(uncased, demo):
    sentences = demo["test"]
    rows = tagging.encode(sentences, uncased, 256)
    plain = uncased([list(s.tokens) for s in sentences], is_split_into_words=True)
    assert [row["input_ids"] for row in rows] == plain["input_ids"]


@given(st.lists(st.sampled_from(["<s>", "<", "s>", "<|a|>", "<|", "a|>", "x", " "]), max_size=9))
def test_no_control_token_is_left_and_nothing_but_blanks_is_added(pieces):
    control, text = ("<|a|>", "s><|", "<s>"), "".join(pieces)
    result = as_text(text, control)
    assert not any(token in result for token in control)
    assert result.replace(" ", "") == text.replace(" ", "")
    assert result == text or any(token in text for token in control)
