"""The model card of a trained model, written from stored results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import EvalResult, ModelCardData

from ner_utils.config.run import Run
from ner_utils.data.sentence import Sentence
from ner_utils.results.evaluation import Stored
from ner_utils.results.measures import measures
from ner_utils.results.study import Results

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")
SENTENCE = "Zebra"  # stands in for the sentence of a prompt


def model_card(results: Results, run: Run, folder: Path, adapter: bool) -> str:
    """The card of a run's model that is in a folder: Markdown with the hub's metadata."""
    item = next(each for each in results.stored if each.run.fingerprint == run.fingerprint)
    audit = results.audits[run.dataset_name]["audit"]["splits"]["test"]
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), undefined=jinja2.StrictUndefined)
    text = template.render(
        run=run,
        adapter=adapter,
        base=" ".join(run.model.weights.source).strip(),
        types=run.dataset.types | getattr(run.model, "type_names", {}),  # as the model names them
        annotated=results.annotated(run),
        steps=item.efficiency["steps"],
        sentences=item.metrics["sentences"],
        scores=_scores(results, item),
        unseen=100 * audit["unseen_mentions"] / max(1, audit["mentions"]),
        values=measures(item),
        manifest=item.manifest,
        **(_prompt(run, folder) if run.writes else {}),
    )
    return f"---\n{_metadata(results, item, adapter).to_yaml()}\n---\n\n{text}\n"


def _metadata(results: Results, item: Stored, adapter: bool) -> ModelCardData:
    run, hub = item.run, item.run.model.weights.hub
    library = {"gliner": "gliner2"}.get(run.model.approach, "transformers")
    scores = {name: item.metrics["micro"][name] for name in ("precision", "recall", "f1")}
    return ModelCardData(
        language=run.dataset.language,
        library_name="peft" if adapter else library,
        pipeline_tag="text-generation" if run.writes else "token-classification",
        tags=["named-entity-recognition", run.model.kind.replace(" ", "-").lower()],
        base_model=hub.repo if hub else None,
        model_name=f"{results.name}-{run.system}-seed{run.seed}",
        eval_results=[
            EvalResult(
                task_type="token-classification",
                dataset_type=run.dataset_name,
                dataset_name=run.dataset.label,
                dataset_split="test",
                metric_type=name,
                metric_name=f"{name}, micro, strict",
                metric_value=round(100 * value, 2),
            )
            for name, value in scores.items()
        ],
    )


def _prompt(run: Run, folder: Path) -> dict[str, Any]:
    """The text of a prompt around its sentence, and the tokens that end an answer, as Python literals."""
    from transformers import GenerationConfig  # late, as the next: they take seconds to import

    from ner_utils.models import weights
    from ner_utils.models.generation import Prompter

    prompter = Prompter(run, weights.resolve(run.model.weights))
    before, _, after = prompter.prompt(Sentence("", None, (SENTENCE,), ())).rpartition(SENTENCE)
    declared = (folder / "generation_config.json").is_file()
    settings = GenerationConfig.from_pretrained(folder) if declared else GenerationConfig()
    ends = prompter.ends(settings)
    before, after = (json.dumps(part, ensure_ascii=False) for part in (before, after))
    return {"before": before, "after": after, "ends": ends}


def _scores(results: Results, item: Stored) -> list[dict[str, Any]]:
    """A row for all types and for each one, with the interval of this one run."""
    types, rows = list(item.run.dataset.types), []
    parts = [("all", slice(None), item.metrics["micro"])]
    parts += [(kind, [types.index(kind)], score) for kind, score in item.metrics["types"].items()]
    for name, part, score in parts:
        bounds = results.interval_of(item.run, "micro_f1", part)
        row = {"name": name, "mentions": score["support"], "f1": tuple(100 * each for each in bounds)}
        rows.append(row | {key: 100 * score[key] for key in ("precision", "recall")})
    return rows
