"""Has a language model read the test set? A probe: how much of a sentence it can complete, word for word.

*Zero-shot* means that a model was not adapted, not that it has not seen the text: public test sets are older
than the models. The pretrained model continues the first half of a test sentence, and the words that it
repeats exactly are counted. A sentence can also be guessed. There are therefore two controls: the same
sentences with other names, which were never published, completed from *their* first half; and sentences of
our own English demonstration corpus, which is younger than the models. A model that knows the original by
heart completes it better than its counterpart. The probe finds verbatim memory alone: a low number does not
prove that the text was not seen (on such probes see Carlini et al. 2023, arXiv 2202.07646).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, takewhile
from operator import ne
from typing import Any

import numpy as np

from ner_utils import config, data, processes
from ner_utils.config.run import Run
from ner_utils.data.corpus import Sentence
from ner_utils.data.perturb import perturb
from ner_utils.models import weights
from ner_utils.rendering import latex
from ner_utils.rendering.latex import Column
from ner_utils.results import findings
from ner_utils.results.study import Results

PROBED = 100  # sentences at most
LEAST = 10  # tokens of a sentence that can be probed
WORDS = 5  # that must be repeated for a sentence to count as known
LIMIT = 16  # new tokens
CONTROL = "demo"
SETS = {
    "test": "Test sentences",
    "counterparts": "The same, with other names",
    "control": "Demonstration corpus",
}


def draw(corpus: dict[str, list[Sentence]]) -> list[Sentence]:
    """Test sentences with a mention in their first half, so that a counterpart can begin otherwise."""
    early = [s for s in corpus["test"] if any(span.end <= len(s.tokens) // 2 for span in s.spans)]
    return data.draw([s for s in early if len(s.tokens) >= LEAST], PROBED, seed=0)


def sets(corpus: dict[str, list[Sentence]]) -> dict[str, list[Sentence]]:
    """The sentences to be completed, by the keys of `SETS`. Drawn sentences whose counterparts begin alike
    are left out: there is no other name of the type, so that both would be one prompt."""
    drawn = draw(corpus)
    pairs = zip(drawn, perturb(drawn, "swap", corpus["train"]), strict=True)
    # A word must differ, and not the number of words alone.
    pairs = [(one, other) for one, other in pairs if any(map(ne, halves(one)[0], halves(other)[0]))]
    control = data.load_split(CONTROL, config.load_dataset(CONTROL), "test")
    return {
        "test": [one for one, _ in pairs],
        "counterparts": [other for _, other in pairs],
        "control": [s for s in control if len(s.tokens) >= LEAST][:PROBED],
    }


def halves(sentence: Sentence) -> tuple[list[str], list[str]]:
    """The words of a sentence's first and second half."""
    middle = len(sentence.tokens) // 2
    return list(sentence.tokens[:middle]), list(sentence.tokens[middle:])


def repeated(completion: str, words: Sequence[str]) -> int:
    """How many of the words a completion begins with, exactly; white space does not matter."""
    text = "".join(completion.split())
    return sum(1 for _ in takewhile(text.startswith, accumulate(words)))


def probe(run: Run, prompted: dict[str, list[Sentence]]) -> dict[str, list[int]]:
    """How many words of each sentence's second half the pretrained model of a run repeats, by set."""
    from ner_utils.models import generation

    base = run.model_copy(update={"untrained": True})
    prompter = generation.Prompter(base, weights.resolve(run.model.weights))
    tokenizer = prompter.tokenizer
    model = generation.load_for_prediction(base, None)
    ends = prompter.ends(model.generation_config)
    decoder = generation.Decoder(model, [], tokenizer.pad_token_id, ends, LIMIT)
    begin, repeats = tokenizer.bos_token or "", {}
    for name, sentences in prompted.items():
        prompts = [prompter.ids(begin + prompter.plain_text(" ".join(halves(s)[0]))) for s in sentences]
        order = sorted(range(len(prompts)), key=lambda at: -len(prompts[at]))
        words = repeats[name] = [0] * len(prompts)
        answers = decoder.answers([prompts[at] for at in order], run.model.prediction_batch_size)
        for at, answer in ((order[answer.index], answer) for answer in answers):
            text = tokenizer.decode(answer.tokens, skip_special_tokens=True)
            words[at] = repeated(text, halves(sentences[at])[1])
    return repeats


def investigate(
    study: str, dataset: str, overrides: str, corpus: dict[str, list[Sentence]]
) -> dict[str, Any]:
    """Probe every language model of a study on a corpus, and store and return the findings."""
    runs = findings.runs_on(study, dataset, overrides)
    models = {run.model.weights: run for run in reversed(runs) if run.model.approach == "generation"}
    prompted, reports = sets(corpus), {}
    for run in reversed(models.values()):
        words = processes.in_fresh_process(probe, run, prompted)  # frees the memory at its end
        reports[run.model.label] = {name: summary(each) for name, each in words.items() if each}
        if prompted["test"]:
            reports[run.model.label]["gap"] = gap(words["test"], words["counterparts"])
    left_out = len(draw(corpus)) - len(prompted["test"])
    return findings.write_findings("contamination", runs, {"models": reports, "left_out": left_out})


def summary(words: Sequence[int]) -> dict[str, float]:
    """Mean number of repeated words, and the percentage of sentences with at least `WORDS`."""
    known = np.array(words) >= WORDS
    return {"sentences": len(words), "words": float(np.mean(words)), "known": 100 * float(known.mean())}


def gap(test: Sequence[int], counterparts: Sequence[int], resamples: int = 10_000) -> dict[str, float | None]:
    """The mean number of words repeated in sentences less that in their counterparts, with its paired 95 %
    bootstrap interval; None for its ends if all differences are equal, which every resample repeats."""
    more = np.subtract(test, counterparts)
    if np.ptp(more) == 0:
        return {"words": float(more[0]), "low": None, "high": None}
    chance = np.random.default_rng(0)
    means = more[chance.integers(len(more), size=(resamples, len(more)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"words": float(more.mean()), "low": float(low), "high": float(high)}


# ---------------------------------------------------------------------- from the findings
def stored_reports(results: Results) -> dict[str, dict[str, Any]]:
    """The findings on a study's models, by the labels of corpora."""
    stored = findings.study_findings(results, "contamination")
    return {results.corpus_label(name): each for name, each in stored.items()}


def tab_contamination(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """Models and sets down; ``reports`` are the findings by the labels of corpora."""
    columns = [Column("Model"), Column("Sentences of"), Column("Sentences", 0)]
    columns += [Column("Words repeated", 2), Column(rf"{WORDS} or more (\%)", 1)]
    columns += [Column("Test minus counterpart", layout="r")]
    rows: list[Any] = []
    for corpus, report in reports.items():
        rows += [corpus] if len(reports) > 1 and report["models"] else []
        titles = dict(SETS)
        if left_out := report.get("left_out"):
            titles["counterparts"] += f" ({left_out} sentences without others left out)"
        for model, sets in report["models"].items():
            for name in (name for name in SETS if name in sets):
                cells = [model if name == "test" else "", titles[name]]
                cells += [sets[name][key] for key in ("sentences", "words", "known")]
                rows.append([*cells, _gap_text(sets["gap"]) if name == "counterparts" else None])
    return latex.tabular(columns, rows) if rows else latex.statement("No system of this study is an LLM.")


def _gap_text(gap: Mapping[str, float | None]) -> latex.Raw:
    low, high = (np.nan if gap[end] is None else gap[end] for end in ("low", "high"))
    return latex.Raw(f"{latex.number(gap['words'], 2)} ({latex.interval(low, high, 2)})")


def numbers(results: Results) -> Iterator[tuple[tuple[str, ...], float]]:
    """The extremes over the models of each corpus: ends of the intervals of the gap, and percent of test
    sentences that are known, by the parts of their keys."""
    for dataset, report in findings.study_findings(results, "contamination").items():
        gaps = [sets["gap"] for sets in report["models"].values() if "gap" in sets]
        for end, extreme in (("low", min), ("high", max)) if gaps else ():
            ends = [gap[end] for gap in gaps if gap[end] is not None]
            yield (dataset, "contamination", f"gap_{end}"), extreme(ends, default=np.nan)
        if known := [sets["test"]["known"] for sets in report["models"].values() if "test" in sets]:
            yield (dataset, "contamination", "known"), max(known)
