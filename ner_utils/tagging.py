"""NER as tagging: a token-classification head on any encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    set_seed,
)

from ner_utils import efficiency, scoring, training, weights
from ner_utils.data import Sentence, tag_names
from ner_utils.predictions import Prediction
from ner_utils.schema import Run
from ner_utils.spans import spans_from_tags

IGNORED = -100  # the label that the loss skips


def load_tokenizer(folder: str):
    """A fast tokenizer that takes words; GPT-2-like ones need a space before each."""
    tokenizer = AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
    if not tokenizer.is_fast:
        raise RuntimeError(f"{folder}: no fast tokenizer, so words cannot be aligned to their sub-tokens")
    return tokenizer


def encode(sentences: Sequence[Sentence], tokenizer, max_length: int) -> list[dict[str, list[int]]]:
    """Sub-token ids, and for each the word that it is the *first* sub-token of (else -100).

    Words past ``max_length`` and words that have no sub-token (a lone control character) stand in
    no row's ``word``: they are lost, see `lost_words`.
    """
    batch = tokenizer(
        [list(sentence.tokens) for sentence in sentences],
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
    )
    rows = []
    for index, ids in enumerate(batch["input_ids"]):
        seen: set[int] = set()
        words = []
        for word in batch.word_ids(index):
            words.append(IGNORED if word is None or word in seen else word)
            seen.add(word)
        rows.append({"input_ids": ids, "word": words})
    return rows


def lost_words(sentences: Sequence[Sentence], rows: Sequence[dict]) -> dict[str, int]:
    """Words without a label position, and gold mentions that hold one: both count as errors."""
    words = mentions = 0
    for sentence, row in zip(sentences, rows, strict=True):
        lost = set(range(len(sentence.tokens))) - set(row["word"])
        words += len(lost)
        mentions += sum(not lost.isdisjoint(range(span.start, span.end)) for span in sentence.spans)
    return {"lost_words": words, "lost_mentions": mentions}


def _examples(sentences: Sequence[Sentence], rows: Sequence[dict], names: list[str]) -> list[dict]:
    ids = {name: index for index, name in enumerate(names)}
    return [
        {
            "input_ids": row["input_ids"],
            "labels": [IGNORED if word == IGNORED else ids[tags[word]] for word in row["word"]],
        }
        for row, tags in zip(rows, (sentence.ner_tags for sentence in sentences), strict=True)
    ]


def _spans(words: Sequence[int], tag_ids: Sequence[int], length: int, names: list[str]):
    """Spans of a sentence from the tags of its first sub-tokens; lost words are O."""
    tags = ["O"] * length
    for word, tag in zip(words, tag_ids, strict=False):  # padding follows
        if word != IGNORED:
            tags[word] = names[tag]
    return spans_from_tags(tags)[0]


def train(run: Run, sentences: Sequence[Sentence], dev: Sequence[Sentence]) -> dict[str, Any]:
    """Fine-tune, selecting by strict micro F1 on all of dev. Returns a record for efficiency.json."""
    set_seed(run.seed)
    names = tag_names(run.dataset)
    source = weights.resolve(run.model.weights)
    tokenizer = load_tokenizer(source)
    model = AutoModelForTokenClassification.from_pretrained(
        source,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
        dtype=torch.float32,  # some checkpoints are stored in fp16, in which training overflows
    )
    max_length = run.model.training.max_length
    train_rows, dev_rows = encode(sentences, tokenizer, max_length), encode(dev, tokenizer, max_length)

    def dev_f1(output) -> dict[str, float]:
        predicted = [
            _spans(row["word"], tags, len(sentence.tokens), names)
            for sentence, row, tags in zip(dev, dev_rows, output.predictions, strict=True)
        ]
        return {"f1": scoring.score([sentence.spans for sentence in dev], predicted).f1}

    class Tagger(training.LikeLengths, Trainer):
        pass

    trainer = Tagger(
        model=model,
        args=training.training_arguments(run, run.scratch),
        train_dataset=_examples(sentences, train_rows, names),
        eval_dataset=_examples(dev, dev_rows, names),
        data_collator=DataCollatorForTokenClassification(tokenizer),
        processing_class=tokenizer,
        compute_metrics=dev_f1,
        preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1),
    )
    record = training.train(trainer, run)
    return record | {
        "parameters": efficiency.parameters(model),
        "training_memory": efficiency.peak_memory(),
        "training_truncation": lost_words(sentences, train_rows),
    }


def predict(
    run: Run, checkpoint: Path, sentences: Sequence[Sentence]
) -> tuple[list[Prediction], dict[str, Any]]:
    """Predict with a trained checkpoint; returns predictions in order, and what it cost."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    names = tag_names(run.dataset)
    tokenizer = load_tokenizer(str(checkpoint))
    model = AutoModelForTokenClassification.from_pretrained(checkpoint, dtype=torch.float32).to(device).eval()
    size = run.model.prediction_batch_size
    watch = efficiency.Stopwatch()

    def tag(batch: Sequence[Sentence]) -> list[Prediction]:
        with watch("prepare"):
            rows = encode(batch, tokenizer, run.model.training.max_length)
            inputs = tokenizer.pad([{"input_ids": row["input_ids"]} for row in rows], return_tensors="pt")
        with watch("model"), torch.inference_mode():
            best = model(**inputs.to(device)).logits.argmax(-1).cpu().numpy()
        with watch("read"):
            return [
                Prediction(sentence.id, tuple(_spans(row["word"], tags, len(sentence.tokens), names)))
                for sentence, row, tags in zip(batch, rows, best, strict=True)
            ]

    times = efficiency.latency(lambda sentence: tag([sentence]), sentences[: run.latency_sentences])
    watch.seconds.clear()
    order = np.argsort([len(sentence.tokens) for sentence in sentences], kind="stable")
    found: dict[int, Prediction] = {}
    for start in range(0, len(order), size):
        indices = order[start : start + size]
        found.update(zip(indices, tag([sentences[i] for i in indices]), strict=True))
    cost = {
        "prediction_seconds": dict(watch.seconds),
        "sentences_per_second": len(sentences) / sum(watch.seconds.values()),
        "batch_size": size,
        "latency": times,
        "prediction_memory": efficiency.peak_memory(),
        "prediction_truncation": lost_words(
            sentences, encode(sentences, tokenizer, run.model.training.max_length)
        ),
        "device": device,
        "threads": torch.get_num_threads(),
    }
    return [found[index] for index in range(len(sentences))], cost
