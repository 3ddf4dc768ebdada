"""How long are the sentences of a run, in tokens, before its tokenizer is downloaded?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ner_utils import data
from ner_utils.config.dataset import Split
from ner_utils.config.run import Run
from ner_utils.experiments.memory.footprint import Batch
from ner_utils.forms.registry import form

EXAMPLE = 64  # tokens of an example in a few-shot prompt
TEMPLATE = 32  # tokens that a chat template puts around an instruction and a sentence


class Lengths(NamedTuple):
    """Tokens of the longest batch; tokens ``trained`` in an epoch, and ``read`` and ``written`` in test and
    all evaluations on dev, without the beginning that prompts share; the number of sentences to ``train`` on;
    and the source: ``corpus``, or ``declared`` where every sentence is assumed to have ``max_length``."""

    batch: Batch
    trained: int
    read: int
    written: int
    train: int
    source: str


def lengths_of(run: Run) -> Lengths:
    """Lengths from the corpus if it is at hand, with a guess at the tokens of its text."""
    limit, splits = run.model.training.max_length, run.dataset.splits
    writes = run.writes
    shape = form(run.model, run.dataset) if writes else None
    instruction = TEMPLATE + _tokens(shape.instruction(), 4) + run.few_shot * EXAMPLE if writes else 0
    shared = min(limit // 2, instruction)
    sizes = {name: _sentences(split) for name, split in splits.items()}
    drawn = run.dataset.drawn.shares if run.dataset.drawn else {}
    sizes |= {name: round(share * sizes["train"]) for name, share in drawn.items()}
    dev = run.dev_sample if writes and run.dev_sample else sizes["dev"]
    train = run.train_sentences or sizes["train"]
    if run.labels:
        train += run.labelled_sentences or sizes["train"]
    train = min(train, sizes["train"])
    predicted = (run.test_sentences or sizes["test"]) + (not run.untrained) * run.dev_evaluations * dev
    at_hand = data.at_hand(run.dataset_name, run.dataset, "train")
    if at_hand:
        sentences = data.load_split(run.dataset_name, run.dataset, "train")
        texts = [(sentence.text, shape.target(sentence) if writes else "") for sentence in sentences]
        # A token of English has about four bytes, one of links and rare names two. The longest batch is made
        # for the latter, the lower bound of time for the former.
        rare, usual = ([[_tokens(part, size) for part in pair] for pair in texts] for size in (2, 4))
    else:
        answer = min(run.model.max_new_tokens, (limit - shared) // 2) if writes else 0
        rare = usual = [[limit - shared - answer, answer]]
    prompt, answer, whole = (max(column) for column in _columns(rare, limit - shared))
    batch = Batch(shared + whole, shared + min(prompt, whole), min(answer, whole - 1), shared)
    if writes and run.model.loss == "sequence":  # the loss is on all tokens, so that no beginning is shared
        batch = batch._replace(answer=batch.longest - 1, shared=0)
    prompt, answer, whole = (sum(column) / len(usual) for column in _columns(usual, limit - shared))
    sums = map(round, (train * whole, predicted * prompt, predicted * answer))
    return Lengths(batch, *sums, train, "corpus" if at_hand else "declared")


def _columns(pairs: list[list[int]], most: int) -> list[Sequence[int]]:
    """Tokens of all sentences, of their answers, and of both, at ``most`` so many."""
    return [*zip(*pairs, strict=True), [min(most, sum(pair)) for pair in pairs]]


def _sentences(split: Split) -> int:
    """Sentences of a split: as declared, else 12 for each document, else 4,800."""
    return split.sentences or 12 * (split.documents or 400)


def _tokens(text: str, size: int) -> int:
    return 2 + len(text.encode()) // size if text else 0
