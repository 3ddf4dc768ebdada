"""How does a model of GLiNER2 read our sentences, and how are its spans read?

GLiNER2 (Zaratiana et al. 2025, arXiv 2507.18546) puts the names of types before a sentence, and scores each
span of at most ``max_width`` words against each name. Our tokens are its words.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.predictions import Prediction
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span, without_overlaps
from ner_utils.models import backbones

Schema = dict[str, dict[str, Any]]  # of the library: under "entities", names of types


def check_model(run: Run, source: str) -> None:
    """Raise `ConfigError` where the package is missing, or the weights in a folder cannot do what the run
    asks of them."""
    if importlib.util.find_spec("gliner2") is None:
        raise ConfigError(f"{run.model.label} needs a package: pip install 'ner-study-kit[gliner]'")
    settings = json.loads((Path(source) / "config.json").read_text(encoding="utf-8"))
    if settings.get("model_type") != "extractor":
        raise ConfigError(
            f"{run.model.label}: {source} holds no model of GLiNER2, but {settings.get('model_type')}"
        )
    if not (Path(source) / "model.safetensors").is_file():
        raise ConfigError(f"{run.model.label}: {source}: no model.safetensors, and nothing else is loaded")


def longest(run: Run) -> float:
    """The number of words behind which a sentence is cut: that of training, so that both read the same."""
    return math.inf if run.untrained else run.model.training.max_length


def load_extractor(source: str | Path) -> Any:
    """The model in a folder, in fp32, on the device."""
    import gliner2  # late: an optional package, which takes seconds to import

    return gliner2.AutoExtractor.from_pretrained(
        str(source), word_splitter=split_at_spaces, map_location=backbones.device()
    )


def split_at_spaces(text: str, lower: bool = True) -> Iterator[tuple[str, int, int]]:
    """The words of a text that `text_of` made, with the characters at which they begin and end."""
    start = 0
    for word in text.split(" "):
        yield (word.lower() if lower else word), start, start + len(word)
        start += len(word) + 1


def text_of(sentence: Sentence) -> str:
    """The tokens with one space between two; spaces in a token become no-break spaces. A sentence without a
    mark at its end gets a full stop as one more word, or the library would add it to the last word."""
    text = " ".join(token.replace(" ", "\N{NO-BREAK SPACE}") for token in sentence.tokens)
    return text if text.endswith((".", "!", "?")) else f"{text} ."


def names_of(run: Run, hidden: Sequence[str] = ()) -> dict[str, str]:
    """The types of a run that are not ``hidden``, by the names that the model reads."""
    types = run.dataset.types | run.model.type_names
    return {name: kind for kind, name in types.items() if kind not in hidden}


def example(sentence: Sentence, names: dict[str, str]) -> tuple[str, Schema]:
    """A sentence to learn from, as the library takes it: for each type, the places of its mentions."""
    text, starts, stops = text_of(sentence), *_characters(sentence)
    mentions: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    by_kind = {kind: name for name, kind in names.items()}
    for span in sentence.spans:
        start, end = starts[span.start], stops[span.end - 1]
        mentions[by_kind[span.type]].append({"text": text[start:end], "start": start, "end": end})
    return text, {"entities": mentions}


def _characters(sentence: Sentence) -> tuple[list[int], list[int]]:
    """Where the tokens begin and end in `text_of`."""
    stops = [end - 1 for end in itertools.accumulate(len(token) + 1 for token in sentence.tokens)]
    return [end - len(token) for end, token in zip(stops, sentence.tokens, strict=True)], stops


def predict_batch(model: Any, run: Run, sentences: Sequence[Sentence]) -> list[Prediction]:
    """The spans of some sentences that score at least the run's threshold. Of spans that overlap, the one
    with the highest score is kept."""
    names = names_of(run)
    found = model.batch_extract(
        [text_of(sentence) for sentence in sentences],
        {"entities": dict.fromkeys(names, "")},
        batch_size=len(sentences),
        threshold=run.model.threshold,
        format_results=False,
        include_confidence=True,
        include_spans=True,
        max_len=None if run.untrained else run.model.training.max_length,
        overlap_policy="allow",
    )
    return [_prediction(*each, names) for each in zip(sentences, found, strict=True)]


def _prediction(sentence: Sentence, found: dict[str, Any], names: dict[str, str]) -> Prediction:
    starts, stops = ({at: place for place, at in enumerate(each)} for each in _characters(sentence))
    scored = [
        (each["confidence"], Span(starts[each["start"]], stops[each["end"]] + 1, names[name]))
        for groups in found["entities"]
        for name, spans in groups.items()
        for each in spans
        if each["start"] in starts and each["end"] in stops  # no span has the added full stop
    ]
    ranked = sorted(scored, key=lambda each: (-each[0], each[1]))
    best = {span: min(0.0, math.log(score)) for score, span in reversed(ranked)}
    spans = without_overlaps(span for _, span in ranked)
    return Prediction(sentence.id, spans, confidences=tuple(best[span] for span in spans))
