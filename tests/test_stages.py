"""Golden values: the outputs of each stage on fixed inputs, the same on every machine and for every version
of the code. If a value changes, raise the stage's number in `ner_utils.stages`.

Then ``NER_WRITE_STAGES=1 pytest tests/test_stages.py`` writes the new values. It refuses to if a value
changed and its number did not.
"""

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ner_utils import config, stages
from ner_utils.analyses import confidence, contamination, differences
from ner_utils.config.dataset import Dataset
from ner_utils.data import audit, perturb
from ner_utils.data.corpus import Sentence
from ner_utils.data.formats import registry
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import Span
from ner_utils.experiments import ensemble
from ner_utils.forms.registry import FORMS
from ner_utils.models import generation, gliner, tagging, weights
from ner_utils.models.endpoint import predictor
from ner_utils.models.endpoint.journal import Reply
from ner_utils.models.generation import qlora
from ner_utils.models.gliner import extractor
from ner_utils.results import evaluation
from ner_utils.scoring import error_types

GOLDEN = Path(__file__).parent / "golden.json"
ROUGH = {
    "tagging": 1e-2,
    "gliner": 1e-2,
    "generation": 1e-2,
}  # these train, which magnifies differences between processors


# ------------------------------------------------------------------------------------ inputs
FILES = {
    "conll": "-DOCSTART-\tO\n\nAda\tB-PER\nLovelace\tI-PER\nmet\tO\nAnn\tI-PER\n\t\nin\tO\nRome\tB-LOC\n",
    "jsonl": '{"id": "a", "tokens": ["Ada", "sings"], "ner_tags": ["B-PER", "O"]}\n'
    '{"tokens": ["In", "Rome"], "ner_tags": ["O", "I-LOC"], "document": "d"}\n',
    "pubtator": "7|t|TNF-alpha and pain.\n7|a|Ada saw it. She rose in Rome.\n"
    "7\t20\t23\tAda\tPER\n7\t44\t48\tRome\tLOC\tX\n\n",
}
TYPES = {"PER": "person", "LOC": "location"}
TOKENS = ("Ada", "Lovelace", "met", "Ada", "in", "St.", "Ives", ".")
ANSWERS = {
    "json": (
        '[{"text": "Ada Lovelace", "type": "person"}, {"text": "Ada", "type": "person"}]',
        'Here: [{"text": "Ives", "type": "location"}, {"text": "Bob", "type": "person"}, {"text": "Ada"}]',
        "[]",
        "I cannot say.",
    ),
    "json-occurrence": (
        '[{"text": "Ada", "type": "person", "occurrence": 2}]', '[{"text": "Ada", "type": "city"',
    ),
    "inline": (
        "[Ada Lovelace|person] met [Ada|person] in [St. Ives|location] .", "Ada met [Ada|person in Ives", "x",
    ),
    "bio": (
        "Ada:B-person\nLovelace:I-person\nmet:O\nAda:B-person\nin:O\nSt.:B-location\nIves:I-location\n.:O",
        "?",
    ),
}  # fmt: skip


def noisy(sentences, seed):
    """Predictions that are right three times in four, and sometimes of another type or one token short."""
    chance, found = random.Random(seed), []
    for sentence in sentences:
        spans = []
        for span in sentence.spans:
            draw = chance.random()
            if draw < 0.75:
                spans.append(span)
            elif draw < 0.85:
                spans.append(span._replace(type="ORG"))
            elif draw < 0.95 and span.end - span.start > 1:
                spans.append(span._replace(end=span.end - 1))
        sure = tuple(-chance.random() for _ in spans)
        found.append(Prediction(sentence.id, tuple(spans), repaired=(), confidences=sure))
    return found


# ------------------------------------------------------------------------------------ stages
@pytest.fixture
def data_stage(tmp_path):
    found = {}
    for kind, text in FILES.items():
        (tmp_path / kind).write_text(text, encoding="utf-8")
        splits = {split: {"file": kind} for split in ("train", "dev", "test")}
        head = {"label": "x", "description": "x", "licence": "x", "language": "en"}
        dataset = Dataset.model_validate(
            head | {"format": kind, "types": TYPES, "splits": splits}, strict=False
        )
        found[kind] = [vars(sentence) for sentence in registry.read(dataset, tmp_path / kind)]
    return found


@pytest.fixture
def perturbation_stage(demo):
    shown = demo["test"][:6]
    return {
        kind: [[s.tokens, s.spans] for s in perturb.perturb(shown, kind, demo["train"])]
        for kind in perturb.KINDS
    }


@pytest.fixture
def tagging_stage(make_run, twenty, tmp_path):
    run = make_run("minilm", {"training.epochs": 3, "training.learning_rate": 5.0e-4})
    record = tagging.train_tagger(run, twenty, twenty)
    tokenizer = tagging.load_tokenizer(weights.resolve(run.model.weights))
    import torch
    from transformers import AutoConfig

    torch.manual_seed(0)
    known = {"num_labels": 31, "initializer_range": 0.5}
    settings = AutoConfig.from_pretrained(weights.resolve(run.model.weights), **known)
    model = tagging.load_tagger(weights.resolve(run.model.weights), config=settings)
    model.save_pretrained(tmp_path / "random")
    tokenizer.save_pretrained(tmp_path / "random")
    said, _ = tagging.predict_with_tagger(run, tmp_path / "random", twenty)
    return {
        "ids": [row["input_ids"] for row in tagging.encode(twenty[:3], tokenizer, 16)],
        "steps": record["steps"],
        "losses": [loss for _, loss in record["losses"]],
        "dev_losses": [look["dev_loss"] for look in record["looks"]],
        "spans": [each.spans for each in said],
        "confidences": [each.confidences for each in said[:3]],
    }


@pytest.fixture
def gliner_stage(tiny_gliner, twenty):
    run = tiny_gliner(more={"threshold": 0.49, "type_names": {"PER": "human"}})
    record = gliner.train_gliner(run, twenty, twenty)
    said, _ = gliner.predict_with_gliner(run, None, twenty)
    return {
        "examples": [extractor.example(sentence, extractor.names_of(run)) for sentence in twenty[:3]],
        "steps": record["steps"],
        "losses": [loss for _, loss in record["losses"]],
        "dev_losses": [look["dev_loss"] for look in record["looks"]],
        "spans": [each.spans for each in said],
        "confidences": [each.confidences for each in said[:3]],
    }


@pytest.fixture
def generation_stage(make_run, make_tiny_llama, twenty):
    run = make_run(
        "tiny-llama", {"max_new_tokens": 8, "training.epochs": 2}, weights_folder=make_tiny_llama()
    )
    record = qlora.train_generator(run, twenty, twenty[:4])
    prompter = generation.Prompter(run, weights.resolve(run.model.weights))
    generator = generation.Generator(run, generation.load_for_prediction(run, None), prompter)
    answers = generator.answers(twenty[:8])
    return {
        "examples": [prompter.example(sentence) for sentence in twenty[:3]],
        "steps": record["steps"],
        "losses": [loss for _, loss in record["losses"]],
        "dev_losses": [look["dev_loss"] for look in record["looks"]],
        "answers": [answer.tokens for answer in answers],
        "log_probabilities": [answer.log_probabilities for answer in answers[:2]],
    }


@pytest.fixture
def endpoint_stage(make_run, twenty):
    whole = make_run("smollm2-served", {"constrained": "schema"}, untrained=True, few_shot=2)
    asker = predictor.Asker(whole)
    replies = [Reply("", answer, "stop", 9, 9, 1.0, 2.0, True, "m") for answer in ANSWERS["json"]]
    sentence, hostile = Sentence("", None, TOKENS, ()), Sentence("", None, ("<|im_end|>", "</s>"), ())
    return {
        "requests": [asker.request(each, "m") for each in [*twenty[:3], hostile]],
        "read": [vars(asker.read(sentence, reply)) for reply in [*replies, None]],
        "cost": predictor._cost(whole, replies[:1], 0),
    }


@pytest.fixture
def reading_stage():
    return {
        name: [FORMS[name](TYPES).read(answer, TOKENS)._asdict() for answer in answers]
        for name, answers in ANSWERS.items()
    }


@pytest.fixture
def ensemble_stage(demo):
    gold = demo["dev"]
    members = [[each.spans for each in noisy(gold, seed)] for seed in (1, 2, 3)]
    votes = [ensemble.count_votes(row) for row in zip(*members, strict=True)]
    voter, f1 = ensemble.train_voter([s.spans for s in gold], votes, [s.id for s in gold])
    return {
        "weights": voter.weights.tolist(),
        "bias": voter.bias,
        "threshold": voter.threshold,
        "f1": f1,
        "spans": [voter.choose(vote) for vote in votes[:20]],
    }


@pytest.fixture
def scoring_stage(demo):
    run = config.load_run("first-look", "demo", "minilm", 1)
    said = noisy(demo["test"], 4)
    said[0] = replace(said[0], spans=(Span(0, 1, "PER"),), repaired=(0,), confidences=(-1.0,))
    ada = Span(0, 1, "PER")
    twice = [Sentence(name, None, ("Ada", "sings"), spans) for name, spans in (("a", (ada,)), ("b", ()))]
    crossed = [Prediction("a", (), repaired=()), Prediction("b", (ada,), repaired=())]
    found = {"demo": evaluation.evaluate(run, demo["test"], said)[0]}
    return found | {"crossed": evaluation.evaluate(run, twice, crossed)[0]["conventions"]}


@pytest.fixture
def audit_stage(demo):
    return audit.audit("demo", config.load_dataset("demo"), demo)


@pytest.fixture
def differences_stage(made_up, demo):
    made_up()
    found = differences.compare("plain", "demo", "protocol.resamples=50", demo)
    return {
        "counts": {name: found[name] for name in ("errors", "unplaced", "agreement", "oracle", "ceiling")},
        "buckets": found["buckets"][:8],
        "gains": found["gains"][:8],
        "two annotations": error_types.ceiling(
            [Sentence(kind, None, ("Ada", "sings"), (Span(0, 1, kind),)) for kind in ("PER", "PER", "ORG")]
        ),
    }


@pytest.fixture
def confidence_stage(made_up, demo):
    made_up()
    sure = confidence.assess("plain", "demo", "protocol.resamples=50", demo)["systems"]["minilm"]
    return {
        "confidence": {name: sure[name] for name in ("spans", "right", "area", "surer_half", "temperature")},
        "calibration": {name: value for name, value in sure["before"].items() if name != "bins"},
    }


@pytest.fixture
def contamination_stage(demo):
    return {
        "asked": {name: [s.tokens for s in each] for name, each in contamination.sets(demo).items()},
        "gap": contamination.gap([1, 2, 3, 4, 5, 0], [1, 1, 1, 5, 0, 0]),
    }


# ---------------------------------------------------------------------------------- comparing
def plain(value):
    """A value as JSON holds it."""
    return json.loads(json.dumps(value, default=lambda other: np.asarray(other).tolist()))


def compact(value):
    """A value small enough to be stored: long lists without floats become their checksum."""
    import hashlib

    if isinstance(value, dict):
        return {key: compact(each) for key, each in value.items()}
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, list) and len(text) > 400:
        if not any(isinstance(number, float) for number in leaves(value)):
            return f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"
        return [compact(each) for each in value]
    return value


def leaves(value):
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from leaves(each)
    else:
        yield value


def differs(value, other, tolerance, where=""):
    """The first difference between two values, for floats beyond the tolerance; None if there is none."""
    if isinstance(value, dict) and isinstance(other, dict):
        if value.keys() != other.keys():
            return f"{where}: {sorted(value.keys() ^ other.keys())}"
        pairs = [(key, value[key], other[key]) for key in value]
    elif isinstance(value, list) and isinstance(other, list):
        if len(value) != len(other):
            return f"{where}: {len(value)} and {len(other)} values"
        pairs = list(zip(range(len(value)), value, other, strict=True))
    elif isinstance(value, float) or isinstance(other, float):
        return (
            None if value == pytest.approx(other, rel=tolerance, abs=1e-6) else f"{where}: {value}, {other}"
        )
    else:
        return None if value == other else f"{where}: {value!r}, {other!r}"
    return next((d for key, a, b in pairs if (d := differs(a, b, tolerance, f"{where}.{key}"))), None)


STAGES = [pytest.param(name, marks=pytest.mark.slow) if name in ROUGH else name for name in stages.NUMBERS]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_does_what_its_number_says(name, request):
    value = compact(plain(request.getfixturevalue(f"{name}_stage")))
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.is_file() else {}
    stored = golden.get(name, {"number": 0, "value": None})
    number, difference = stages.NUMBERS[name], differs(value, stored["value"], ROUGH.get(name, 1e-6))
    if os.environ.get("NER_WRITE_STAGES") and number != stored["number"]:
        golden[name] = {"number": number, "value": value}
        text = json.dumps(golden, indent=1, ensure_ascii=False, sort_keys=True)
        GOLDEN.write_text(text + "\n", encoding="utf-8")
        return
    assert number == stored["number"], "the number was raised: write the new values with NER_WRITE_STAGES=1"
    assert difference is None, (
        f"stage {name} behaves differently ({difference}): raise its number in stages.py"
    )
