"""How does a model of GLiNER2 learn? With the same batches, evaluations and checkpoints as the other models;
only the loss is the library's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ner_utils import scoring
from ner_utils.config.run import Run
from ner_utils.data.sentence import Sentence
from ner_utils.models import weights
from ner_utils.models.gliner.extractor import example, load_extractor, names_of, predict_batch
from ner_utils.models.gliner.predictor import lost_words

LAYERS = ("span_rep", "classifier", "count_pred", "count_embed")  # above the encoder
DRAWN = 16  # sentences that an evaluation on dev predicts at a time


def train_gliner(
    run: Run, sentences: Sequence[Sentence], dev: Sequence[Sentence], parts: int = 1
) -> dict[str, Any]:
    """Fine-tune all weights and select the checkpoint by strict micro F1 on all of dev; each batch is
    computed in ``parts`` passes. Returns a record for efficiency.json."""
    from transformers import Trainer, TrainingArguments, set_seed

    from ner_utils.models import training

    set_seed(run.seed)
    model = load_extractor(weights.resolve(run.model.weights))
    names, most = names_of(run, run.held_out), run.model.training.max_length
    dev = sorted(dev, key=lambda sentence: len(sentence.tokens))  # less padding in evaluation
    lost = lost_words(sentences, most, model.max_width)

    def collate(rows: list[dict]) -> dict[str, Any]:
        examples = [example(row["sentence"], names) for row in rows]
        # In the library's other mode, it draws other names for types at random.
        return {"batch": model.processor.collate_fn_inference(examples, most, build_targets=True)}

    class SpanTrainer(training.GroupedByLength, Trainer):
        heads = LAYERS

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            result = model(inputs["batch"])
            if result["batch_size"] < len(inputs["batch"]):  # the library prints the reason, and goes on
                raise RuntimeError("the loss of a sentence could not be computed: see the message above")
            return result["total_loss"] / self.divisor(result["batch_size"])

        def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
            with torch.no_grad():
                return self.compute_loss(model, inputs), None, None

        def dev_f1(self):
            self.model.eval()
            drawn = (dev[place : place + DRAWN] for place in range(0, len(dev), DRAWN))
            predicted = [each.spans for part in drawn for each in predict_batch(self.model, run, part)]
            return scoring.score([sentence.spans for sentence in dev], predicted).f1

    trainer = SpanTrainer(
        run,
        model=model,
        args=TrainingArguments(**training.arguments(run, parts), remove_unused_columns=False),
        train_dataset=_rows(sentences),
        eval_dataset=_rows(dev),
        data_collator=collate,
    )
    return training.run_trainer(trainer, run) | {"training_truncation": lost}


def _rows(sentences: Sequence[Sentence]) -> list[dict[str, Any]]:
    """Rows: the words (for grouping by length), their number (for the loss), and the sentence."""
    return [
        {"input_ids": sentence.tokens, "labels": [0] * len(sentence.tokens), "sentence": sentence}
        for sentence in sentences
    ]
