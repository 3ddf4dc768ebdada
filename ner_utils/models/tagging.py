"""How does a token-classification head on an encoder or a causal language model learn and predict tags?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer

from ner_utils import efficiency, scoring
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.corpus import IGNORED, Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import spans_from_tags
from ner_utils.models import backbones, weights
from ner_utils.models.control_tokens import as_text, control_tokens
from ner_utils.models.prediction import (
    Alone,
    Failures,
    cost_of_prediction,
    predict_in_batches,
    prediction_of,
    tags_of,
)


def load_tokenizer(folder: str, pad_token: str | None = None):
    """A fast tokenizer that takes words; GPT-2-like ones need a space before each word. It pads and truncates
    on the right, because words are matched to tags from the left."""
    sides = {"padding_side": "right", "truncation_side": "right"}
    tokenizer = AutoTokenizer.from_pretrained(folder, add_prefix_space=True, **sides)
    if not tokenizer.is_fast:
        raise RuntimeError(f"{folder}: no fast tokenizer, so words cannot be aligned to their sub-tokens")
    if pad_token:
        tokenizer.pad_token = pad_token
    if tokenizer.pad_token is None:
        raise ValueError(f"{folder}: the tokenizer has no pad token: give the model's pad_token")
    return tokenizer


def load_tagger(source: str | Path, **settings: Any):
    """A token classifier in fp32: some checkpoints are stored in fp16, in which training overflows."""
    return AutoModelForTokenClassification.from_pretrained(source, dtype=torch.float32, **settings)


def base_config(run: Run, source: str):
    """The configuration of the pretrained model without a vision tower, with the run's attention. Raises
    `ConfigError` for a causal model that is declared like an encoder, and for one whose mask must stay."""
    config = AutoConfig.from_pretrained(source).get_text_config()
    if run.model.attention == "bidirectional":
        try:
            backbones.remove_causal_mask(config)
        except ValueError as error:
            raise ConfigError(f"{run.model.label}: attention: bidirectional: {error}") from None
    elif run.model.kind == "encoder" and backbones.is_causal(config.model_type):
        raise ConfigError(
            f"{run.model.label}: labelled: {config.model_type} is a causal language model and no encoder, so "
            "it has read a word only at the last sub-token; write labelled: last, or attention: bidirectional"
        )
    return config


def _load_base(run: Run):
    """The model before training; if only adapters are trained, in the dtype of computation. Raises
    `ConfigError` as `base_config`."""
    source = weights.resolve(run.model.weights)
    config = base_config(run, source)
    if config.model_type == "qwen3_5_text":
        backbones.register_qwen_tagger()
    config.id2label = dict(enumerate(run.dataset.tags_of_models))
    config.label2id = {name: index for index, name in config.id2label.items()}
    if not run.model.lora:
        return load_tagger(source, config=config)
    quantised = run.model.quantisation is not None
    return backbones.load(AutoModelForTokenClassification, source, run.model, quantised, config=config)


def encode(
    sentences: Sequence[Sentence], tokenizer, max_length: int, labelled: str = "first"
) -> list[dict[str, list[int]]]:
    """Rows of sub-token ids, and for each id the index of the word whose first (or last) sub-token it is,
    else -100.

    Words past ``max_length`` and words without sub-tokens (a lone control character) have no position in
    ``word``, see `lost_words`. Control tokens in words are encoded as text.
    """
    control = control_tokens(tokenizer)
    batch = tokenizer(
        [[as_text(word, control) for word in sentence.tokens] for sentence in sentences],
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
    )
    rows = []
    for index, ids in enumerate(batch["input_ids"]):
        owners = batch.word_ids(index)
        neighbours = [None, *owners[:-1]] if labelled == "first" else [*owners[1:], None]
        pairs = zip(owners, neighbours, strict=True)
        words = [IGNORED if word is None or word == other else word for word, other in pairs]
        rows.append({"input_ids": ids, "word": words})
    return rows


def _encode_each(sentences: Sequence[Sentence], failures: Failures, *how: Any) -> dict[int, dict]:
    """The rows of `encode` by the sentences' places; sentences that cannot be encoded are failures."""
    try:
        return dict(enumerate(encode(sentences, *how)))
    except Exception:  # the tokenizer does not say which sentence causes it
        rows = {}
        for index, sentence in enumerate(sentences):
            try:
                rows[index] = encode([sentence], *how)[0]
            except Exception as error:
                failures.add(sentence, error)
        return rows


def lost_words(sentences: Sequence[Sentence], rows: Sequence[dict]) -> dict[str, int]:
    """The number of words without a position, and of gold mentions with such a word: nothing can be predicted
    there, so they count as errors."""
    words = mentions = 0
    for sentence, row in zip(sentences, rows, strict=True):
        lost = set(range(len(sentence.tokens))) - set(row["word"])
        words += len(lost)
        mentions += sum(not lost.isdisjoint(range(span.start, span.end)) for span in sentence.spans)
    return {"lost_words": words, "lost_mentions": mentions}


def examples(sentences: Sequence[Sentence], rows: Sequence[dict], names: list[str]) -> list[dict]:
    """Training examples: the ids of `encode`'s rows, and each word's tag as a label at its position."""
    ids = {name: index for index, name in enumerate(names)}
    return [
        {
            "input_ids": row["input_ids"],
            "labels": [IGNORED if word == IGNORED else ids[tags[word]] for word in row["word"]],
        }
        for row, tags in zip(rows, (sentence.ner_tags for sentence in sentences), strict=True)
    ]


def train_tagger(
    run: Run, sentences: Sequence[Sentence], dev: Sequence[Sentence], parts: int = 1
) -> dict[str, Any]:
    """Fine-tune and select the checkpoint by strict micro F1 on all of dev; each batch is computed in
    ``parts`` passes. Returns a record for efficiency.json."""
    from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments, set_seed

    from ner_utils.models import training

    set_seed(run.seed)
    names = run.dataset.tags_of_models
    tokenizer = load_tokenizer(weights.resolve(run.model.weights), run.model.pad_token)
    model = _load_base(run)
    if run.model.lora:
        model = backbones.with_adapter(model, run.model.lora, "TOKEN_CLS")
        backbones.train_in_fp32(model)
    how = (tokenizer, run.model.training.max_length, run.model.labelled)
    dev = sorted(dev, key=lambda sentence: len(sentence.tokens))  # less padding in evaluation
    train_rows, dev_rows = encode(sentences, *how), encode(dev, *how)
    lost = lost_words(sentences, train_rows)
    if lost["lost_words"]:
        print(
            f"the tokenizer and max_length {how[1]} lose {lost['lost_words']} words of train, with "
            f"{lost['lost_mentions']} mentions: nothing can be predicted there",
            flush=True,
        )

    backbones.check_range(model, train_rows[0]["input_ids"], run.model.label)

    def dev_f1(output) -> dict[str, float]:
        predicted = [
            spans_from_tags(tags_of(row["word"], tags, len(sentence.tokens), names))[0]
            for sentence, row, tags in zip(dev, dev_rows, output.predictions, strict=True)
        ]
        return {"f1": scoring.score([sentence.spans for sentence in dev], predicted).f1}

    class Tagger(training.GroupedByLength, Trainer):
        heads = backbones.HEADS

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            logits = outputs.logits.float().view(-1, len(names))
            loss = torch.nn.functional.cross_entropy(logits, labels.view(-1), reduction="sum")
            loss = loss / self.divisor(len(labels))
            return (loss, outputs) if return_outputs else loss

    trainer = Tagger(
        run,
        model=model,
        args=TrainingArguments(**training.arguments(run, parts)),
        train_dataset=examples(sentences, train_rows, names),
        eval_dataset=examples(dev, dev_rows, names),
        data_collator=DataCollatorForTokenClassification(tokenizer),
        processing_class=tokenizer,
        compute_metrics=dev_f1,
        preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1),
    )
    return training.run_trainer(trainer, run) | {
        "training_truncation": lost,
        **({"lora_layers": backbones.coverage(model)} if run.model.lora else {}),
    }


def load_trained(run: Run, checkpoint: Path) -> Any:
    """The model of a checkpoint, ready to predict, an adapter merged into its base."""
    if run.model.lora:
        return backbones.for_prediction(_load_base(run), checkpoint, merge=True)
    return load_tagger(checkpoint).to(backbones.device()).eval()


def predict_with_tagger(
    run: Run, checkpoint: Path, sentences: Sequence[Sentence]
) -> tuple[list[Prediction], dict[str, Any]]:
    """Predict with a trained checkpoint; returns predictions in order, and their cost. A sentence that cannot
    be predicted has no spans; raises `RuntimeError` if none of several can."""
    device = backbones.device()
    backbones.report_device()
    names = run.dataset.tags_of_models
    tokenizer = load_tokenizer(str(checkpoint), run.model.pad_token)
    how = (tokenizer, run.model.training.max_length, run.model.labelled)
    model = load_trained(run, checkpoint)
    watch = efficiency.Stopwatch()

    def tag(rows: Sequence[dict]) -> np.ndarray:
        """The best tags and their log-probabilities, [rows, 2, sub-tokens]."""
        inputs = tokenizer.pad([{"input_ids": row["input_ids"]} for row in rows], return_tensors="pt")
        with torch.inference_mode():
            sure, best = model(**inputs.to(device)).logits.float().log_softmax(-1).max(-1)
            if not sure[inputs["attention_mask"].bool()].isfinite().all():
                raise FloatingPointError(f"{run.model.label} computes no finite numbers in {model.dtype}")
            return torch.stack([best.float(), sure], dim=1).cpu().numpy()

    def tag_one(sentence: Sentence) -> Prediction:
        row = encode([sentence], *how)[0]
        return prediction_of(sentence, row["word"], tag([row])[0], names)

    alone = Alone(tag_one, sentences[: run.latency_sentences])
    failures = Failures(run.dataset.private)
    with watch("prepare"):
        rows = _encode_each(sentences, failures, *how)
    lengths = {index: len(row["input_ids"]) for index, row in rows.items()}

    def predict(places: list[int]) -> list[Prediction]:
        with watch("model"):
            tagged = tag([rows[place] for place in places])
        with watch("read"):
            return [
                prediction_of(sentences[place], rows[place]["word"], each, names)
                for place, each in zip(places, tagged, strict=True)
            ]

    budget = run.model.prediction_batch_tokens
    whole, batches = predict_in_batches(sentences, lengths, budget, failures, predict)
    cost = cost_of_prediction(watch, len(sentences), failures) | {
        "batch_size": round(len(sentences) / batches),
        "prediction_truncation": lost_words([sentences[index] for index in rows], list(rows.values())),
        "latency": alone.latency(whole),
    }
    return whole, cost
