"""No error message quotes a private corpus."""

import functools

import pytest
from corpus_files import dataset, read_texts

from ner_utils.data.formats.lines import DataError


@pytest.fixture
def read(tmp_path):
    """``read(settings, text, ...)`` reads texts as the files of one split."""
    return functools.partial(read_texts, tmp_path)


@pytest.mark.parametrize(
    ("format", "texts"),
    [
        ("conll", ["a\tO\nb\tsecret\n"]),
        ("jsonl", ['{"tokens": ["secret"], "ner_tags": ["secret"]}\n']),
        ("jsonl", ["secret\n"]),
        ("jsonl", ['{"tokens": ["secret", "\\ud800"], "ner_tags": ["O", "O"]}\n']),
        ("jsonl", ['{"id": "secret", "tokens": ["a"], "ner_tags": ["O"]}\n' * 2]),
        ("pubtator", ["secret|t|a\nsecret|a|b\n" * 2]),
        ("pubtator", ["secret|t|a\nsecret|a|b\n7\t0\t1\ta\tDisease\n"]),
        ("pubtator", ["1|t|secret\n1|a|\n1\tsecret\t6\tsecret\tDisease\n"]),
        ("pubtator", ["1|t|secret\n1|a|secret\n1\t0\t6\tsecret\tsecret\n"]),
        ("pubtator", ["1|t|secret\n1|a|secret\n1\t1\t6\tsecret\tDisease\n"]),
        ("pubtator", ["1|t|secret\n1|a|\n1\t0\t6\tsecret\tDisease\n1\t0\t3\tsec\tDisease\n"]),
        ("csv", ["secret,B-PER\nx,O\n"]),
        ("csv", ["secret;B-PER\n"]),
        ("csv", ["sentence,token,tag\n1,secret,secret\n"]),
        ("offsets", ['{"id": "secret", "text": "secret \\ud83d", "spans": []}']),
        ("biocreative", ["1\tsecret\n", ""]),
        ("biocreative", ["1\tsecret\t\n", "1\tT1\tsecret\t0\t6\tsecret\n"]),
    ],
)
def test_no_message_quotes_a_private_corpus(read, format, texts):
    with pytest.raises(DataError) as error:
        read(dataset(format, private=True), *texts)
    assert "secret" not in str(error.value)
