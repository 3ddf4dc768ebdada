"""How does a model of GLiNER2 predict all sentences, and at what cost?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ner_utils import efficiency
from ner_utils.config.run import Run
from ner_utils.data.predictions import Prediction
from ner_utils.data.sentence import Sentence
from ner_utils.models import backbones, weights
from ner_utils.models.gliner.extractor import load_extractor, longest, predict_batch
from ner_utils.models.prediction import Alone, Failures, cost_of_prediction, predict_in_batches


def lost_words(sentences: Sequence[Sentence], most: float, width: int) -> dict[str, int]:
    """The number of words behind the first ``most`` ones of a sentence, and of gold mentions with such a word
    or with more than ``width`` words: they cannot be predicted."""
    mentions = [span for sentence in sentences for span in sentence.spans]
    return {
        "lost_words": sum(max(0, len(sentence.tokens) - most) for sentence in sentences),
        "lost_mentions": sum(span.end > most or span.end - span.start > width for span in mentions),
    }


def predict_with_gliner(
    run: Run, checkpoint: Path | None, sentences: Sequence[Sentence]
) -> tuple[list[Prediction], dict[str, Any]]:
    """Predict with a trained checkpoint, or with the pretrained model; returns predictions in order, and
    their cost. A sentence that cannot be predicted has no spans; raises `RuntimeError` if none of several
    can."""
    backbones.report_device()
    model = load_extractor(checkpoint or weights.resolve(run.model.weights)).eval()
    watch, failures = efficiency.Stopwatch(), Failures(run.dataset.private)

    def predict(places: list[int]) -> list[Prediction]:
        with watch("model"):
            return predict_batch(model, run, [sentences[place] for place in places])

    alone = Alone(
        lambda sentence: predict_batch(model, run, [sentence])[0], sentences[: run.latency_sentences]
    )
    lengths = {place: len(sentence.text) for place, sentence in enumerate(sentences)}
    # As elsewhere, a token of English has about four characters.
    budget = 4 * run.model.prediction_batch_tokens
    whole, batches = predict_in_batches(sentences, lengths, budget, failures, predict)
    cost = cost_of_prediction(watch, len(sentences), failures) | {
        "batch_size": round(len(sentences) / batches),
        "prediction_truncation": lost_words(sentences, longest(run), model.max_width),
        "latency": alone.latency(whole),
    }
    if checkpoint is None:
        cost["parameters"] = efficiency.parameters(model) | {"trainable": 0}
    return whole, cost
