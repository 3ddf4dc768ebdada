"""Writes a split of a corpus, or what a system predicted for it, in another format:

    python -m ner_utils.data.convert CORPUS SPLIT FORMAT OUTPUT [--predictions FILE]

FORMAT is conll, jsonl (as the hub has it), offsets (one JSON object a line), brat (OUTPUT is a folder),
label-studio, or docbin (needs spaCy). FILE is the ``predictions.jsonl`` of a run: Label Studio shows them
beside the annotation; in the other formats they take its place. Each of these files, corrected in a tool, can
be read as a corpus again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ner_utils import config, messages
from ner_utils.data import corpus
from ner_utils.data.formats.lines import DataError
from ner_utils.data.predictions import parse_predictions, read_predictions
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span
from ner_utils.files import write_whole
from ner_utils.sealed import ResultError

Spans = Sequence[Span]


def offsets_of(sentence: Sentence, spans: Spans) -> list[tuple[int, int, str]]:
    """The characters of spans in `Sentence.text`, ``end`` exclusive, and their types."""
    begins = [0, *itertools.accumulate(len(token) + 1 for token in sentence.tokens)]
    return [(begins[start], begins[end] - 1, kind) for start, end, kind in sorted(spans)]


# --------------------------------------------------------------------------- formats
def conll(sentences: Sequence[Sentence]) -> str:
    """A token, a tab and a tag on each line. Raises `DataError` for a token that would begin a document."""
    for sentence in sentences:
        if any(token.split()[:1] == ["-DOCSTART-"] for token in sentence.tokens):
            raise DataError(f"{sentence.id}: format conll cannot hold a token -DOCSTART-")
    rows = (zip(sentence.tokens, sentence.ner_tags, strict=True) for sentence in sentences)
    return "".join("".join(f"{token}\t{tag}\n" for token, tag in row) + "\n" for row in rows)


def json_lines(sentences: Sequence[Sentence]) -> str:
    """Objects with id, document, tokens and ner_tags."""
    return _lines(
        {"id": each.id, "document": each.document, "tokens": each.tokens, "ner_tags": each.ner_tags}
        for each in sentences
    )


def offsets(sentences: Sequence[Sentence]) -> str:
    """Objects with id, text and entities: [start, end, type]."""
    return _lines(
        {"id": each.id, "text": each.text, "entities": offsets_of(each, each.spans)} for each in sentences
    )


def label_studio(sentences: Sequence[Sentence], predicted: Sequence[Spans] | None = None) -> str:
    """An array of tasks, annotated with gold, and with predictions beside it."""
    tasks: list[dict[str, Any]] = []
    for at, sentence in enumerate(sentences):
        task = {"data": {"text": sentence.text, "id": sentence.id}}
        task["annotations"] = [{"result": _results(sentence, sentence.spans)}]
        if predicted is not None:
            task["predictions"] = [{"result": _results(sentence, predicted[at])}]
        tasks.append(task)
    return json.dumps(tasks, ensure_ascii=False, indent=1) + "\n"


def _results(sentence: Sentence, spans: Spans) -> list[dict[str, Any]]:
    names = {"from_name": "label", "to_name": "text", "type": "labels"}
    return [
        names | {"value": {"start": start, "end": end, "text": sentence.text[start:end], "labels": [kind]}}
        for start, end, kind in offsets_of(sentence, spans)
    ]


def brat(sentences: Sequence[Sentence]) -> Iterator[tuple[str, str]]:
    """Names and contents of the files of each document, a sentence on each line; sentences without a document
    are documents by themselves. Raises `DataError` for a type with white space."""
    documents: dict[tuple[str | None, str], list[Sentence]] = {}
    for each in sentences:
        documents.setdefault((each.document, "" if each.document else each.id), []).append(each)
    taken: set[str] = set()  # some file systems ignore case
    for (document, identity), members in documents.items():
        text, mentions = "", []
        for sentence in members:
            shift = len(text)
            for start, end, kind in offsets_of(sentence, sentence.spans):
                if len(kind.split()) > 1:
                    raise DataError(f"{sentence.id}: format brat cannot hold a space in type {kind!r}")
                mentions.append((kind, start + shift, end + shift, sentence.text[start:end]))
            text += sentence.text + "\n"
        stem = re.sub(r"[^\w.-]", "-", document or identity)[:100]
        names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        name = next(name for name in names if name.casefold() not in taken)
        taken.add(name.casefold())
        lines = (f"T{at}\t{kind} {s} {e}\t{words}\n" for at, (kind, s, e, words) in enumerate(mentions, 1))
        yield f"{name}.txt", text
        yield f"{name}.ann", "".join(lines)


def docbin(sentences: Sequence[Sentence]) -> bytes:
    """spaCy's binary format, with the corpus' tokens."""
    try:
        import spacy
        from spacy.tokens import Doc, DocBin
        from spacy.tokens import Span as Entity
    except ImportError:
        raise DataError("docbin needs spaCy: pip install spacy") from None
    vocabulary, made = spacy.blank("xx").vocab, DocBin(store_user_data=False)
    for sentence in sentences:
        doc = Doc(vocabulary, words=list(sentence.tokens))
        doc.ents = [Entity(doc, start, end, label=kind) for start, end, kind in sentence.spans]
        made.add(doc)
    return made.to_bytes()


def _lines(rows: Iterator[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


TEXTS: dict[str, Callable[[Sequence[Sentence]], str]] = {
    "conll": conll,
    "jsonl": json_lines,
    "offsets": offsets,
}
FORMATS = (*TEXTS, "label-studio", "brat", "docbin")


# --------------------------------------------------------------------------- command
def write(
    sentences: Sequence[Sentence], kind: str, output: Path, predicted: Sequence[Spans] | None = None
) -> None:
    """Write sentences in one of the `FORMATS`, with their gold spans or with those that are predicted."""
    if kind == "label-studio":
        write_whole(output, label_studio(sentences, predicted).encode())
        return
    if predicted is not None:
        pairs = zip(sentences, predicted, strict=True)
        sentences = [replace(sentence, spans=tuple(sorted(spans))) for sentence, spans in pairs]
    if kind in ("conll", "brat"):  # which have a line for a token or a sentence
        cleaned = ([re.sub("[\t\n]", " ", token) for token in each.tokens] for each in sentences)
        sentences = [replace(each, tokens=tuple(row)) for each, row in zip(sentences, cleaned, strict=True)]
    if kind == "brat":
        for name, content in brat(sentences):
            write_whole(output / name, content.encode())
    elif kind == "docbin":
        write_whole(output, docbin(sentences))
    else:
        write_whole(output, TEXTS[kind](sentences).encode())


def main(arguments: Sequence[str] | None = None) -> None:
    """The command. Raises `DataError`, `ConfigError` and `ResultError`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus")
    parser.add_argument("split", choices=corpus.SPLITS)
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument("output", type=Path)
    parser.add_argument("--predictions", type=Path, metavar="FILE")
    chosen = parser.parse_args(arguments)
    dataset = config.load_dataset(chosen.corpus)
    sentences = corpus.load_split(chosen.corpus, dataset, chosen.split)
    predicted = None
    if chosen.predictions:
        rows = parse_predictions(chosen.predictions)  # maybe of a sample
        sentences = [sentence for sentence in sentences if sentence.id in rows]
        predicted = [row.spans for row in read_predictions(chosen.predictions, sentences)]
        unknown = {span.type for spans in predicted for span in spans} - set(dataset.types)
        if unknown or not rows:
            found, types = min(unknown, default="no prediction"), ", ".join(dataset.types)
            raise ResultError(f"{chosen.predictions}: found {found}; expected predictions of {types}")
    write(sentences, chosen.format, chosen.output, predicted)
    print(f"{len(sentences):,} sentences written to {chosen.output}")


if __name__ == "__main__":
    with messages.errors_as_lines(Exception):  # a traceback helps nobody who converts files
        main()
