"""Do a run's sentences pass through its model? Tokenizers, prompts and grammars, tried before training."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

from ner_utils import data, forms, messages
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.corpus import Sentence
from ner_utils.experiments.memory import footprint
from ner_utils.models import weights

# Positions of these models begin after the id of padding (transformers' create_position_ids_from_input_ids).
OFFSET = ("roberta", "roberta-prelayernorm", "camembert", "xlm-roberta", "xlm-roberta-xl", "xmod", "luke")
OFFSET += ("longformer", "data2vec-text", "ibert", "mpnet", "esm", "layoutlmv3", "lilt", "markuplm")
LONGEST = 20  # number of longest sentences whose prompts are built, to find the longest prompt


def check_run(run: Run, sentences: dict[str, list[Sentence]], runs: int = 1) -> Iterator[str]:
    """Encode the sentences of each split as the run, one of so many that differ in the seed, will; yields a
    warning where some will be cut. Raises `ConfigError` for what would fail, and `WeightsError` where the
    weights are not on this machine."""
    where = f"params/studies/{run.study}.yaml: systems.{run.system}"
    try:
        if not run.has_weights:
            _check_endpoint(run, [each for part in sentences.values() for each in part], runs)
            return
        for warning in _check(run, sentences):
            yield f"{where}: {warning}"
    except (ConfigError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None


def _check(run: Run, sentences: dict[str, list[Sentence]]) -> Iterator[str]:
    source = weights.resolve(run.model.weights)
    most, limit = positions(source), run.model.training.max_length
    if most and limit > most and not run.untrained:
        label = run.model.label
        raise ConfigError(f"training.max_length is {limit}, but {label} has positions for {most} tokens")
    if run.model.lora and run.model.architecture and not run.untrained:
        from ner_utils.models import backbones  # late: it imports torch

        sizes = footprint.sizes_of(run.model, len(run.dataset.tags_of_models))
        backbones.check_targets(run.model.lora, sizes.linear)
    if run.model.approach == "tagging":
        yield from _check_tagging(run, source, sentences)
    elif run.model.approach == "gliner":
        yield from _check_gliner(run, source, sentences)
    else:
        yield from _check_generation(run, source, sentences, most)


def _check_endpoint(run: Run, sentences: Sequence[Sentence], runs: int) -> None:
    """Reach the server, and print the most that each of its runs can cost."""
    from ner_utils.models.endpoint import predictor  # late: it takes a second to import

    most = predictor.check_server(run, sentences)
    if run.model.server.dollars:
        limit = run.model.server.most_dollars
        print(
            f"{run.system} on {run.dataset_name} can cost ${most:.2f} at most"
            + (f" for each of its {runs} runs" if runs > 1 else "")
            + (f", and is stopped before it has cost ${limit:g}" if limit else ""),
            flush=True,
        )


def positions(source: str) -> int | None:
    """The number of tokens for which a model has positions; None if it needs none."""
    from transformers import AutoConfig  # late: it takes seconds to import

    settings = AutoConfig.from_pretrained(weights.config_folder(source)).get_text_config()
    most = getattr(settings, "max_position_embeddings", None)
    if most and settings.model_type in OFFSET:
        most -= settings.pad_token_id + 1
    return most


def _check_tagging(run: Run, source: str, samples: dict[str, list[Sentence]]) -> Iterator[str]:
    from ner_utils.models import tagging  # late: it imports torch

    limit = run.model.training.max_length
    tagging.base_config(run, source)
    tokenizer = tagging.load_tokenizer(source, run.model.pad_token)
    special = tokenizer.num_special_tokens_to_add()
    for split, sentences in samples.items():
        # A token has at least one character, so only long sentences need to be tokenised.
        long = [each for each in sentences if _size(each) + len(each.tokens) + special > limit]
        rows = tagging.encode(long, tokenizer, limit, run.model.labelled) if long else []
        full = ((s, row) for s, row in zip(long, rows, strict=True) if len(row["input_ids"]) == limit)
        if cut := sum(len(s.tokens) - 1 not in row["word"] for s, row in full):
            yield _cut(f"{limit} cuts {cut:,}", sentences, f"{run.dataset_name}, {split}")


def _check_gliner(run: Run, source: str, samples: dict[str, list[Sentence]]) -> Iterator[str]:
    from ner_utils.models.gliner import extractor  # late: it imports torch

    extractor.check_model(run, source)
    limit = extractor.longest(run)
    for split, sentences in samples.items():
        if cut := sum(len(sentence.tokens) > limit for sentence in sentences):
            yield _cut(f"{limit}, in words, cuts {cut:,}", sentences, f"{run.dataset_name}, {split}")


def _cut(cuts: str, sentences: Sequence[Sentence], split: str) -> str:
    cuts = f"max_length {cuts} of {len(sentences):,} sentences of {split}"
    return f"{cuts}: the mentions that are cut off count as missed"


def _check_generation(
    run: Run, source: str, samples: dict[str, list[Sentence]], most: int | None
) -> Iterator[str]:
    from ner_utils.models.generation.prompts import Prompter  # late: it imports torch

    limit, room = run.model.training.max_length, run.model.max_new_tokens
    try:
        prompter = Prompter(run, source)
        forms.check(prompter.format)
        teacher = Prompter(run, source, run.held_out) if run.held_out else prompter
        if "dev" in samples:
            samples["dev"] = data.dev_sample(run, samples["dev"])
        longest = 0
        for split, sentences in samples.items():
            # The longest prompt is that of one of the sentences with most bytes.
            for sentence in sorted(sentences, key=_size, reverse=True)[:LONGEST]:
                longest = max(longest, len(prompter.ids(prompter.prompt(sentence))))
            if split == "train":
                base = len(teacher.example(Sentence("", None, ("a",), ()))["input_ids"])
                if base > limit:
                    raise ConfigError(
                        f"training.max_length is {limit}, but a prompt with the shortest answer has {base}"
                    )
                long = [s for s in sentences if base + _size(s) + len(teacher.answer(s).encode()) > limit]
                cut = sum(len(teacher.example(sentence)["input_ids"]) > limit for sentence in long)
                if cut:
                    yield (
                        f"max_length {limit} cuts {cut:,} of {len(sentences):,} training examples of "
                        f"{run.dataset_name}: their answers are learnt without an end, or not at all"
                    )
        if most and longest + room > most:
            yield (
                f"the longest prompt on {run.dataset_name} has {longest:,} tokens and its answer "
                f"may have {room:,}, but {run.model.label} was made for {most:,}"
            )
    except ConfigError:
        raise
    except Exception as error:  # templates and tokenizers raise errors of many libraries
        reason = f"{type(error).__name__}: {messages.first_line(error)}"
        raise ConfigError(f"its prompt cannot be made ({reason})") from None
    if run.model.constrained != "none":
        _check_grammars(run, source, prompter, [each for part in samples.values() for each in part])


def _size(sentence: Sentence) -> int:
    return len(sentence.text.encode())


def _check_grammars(run: Run, source: str, prompter, sentences: Sequence[Sentence]) -> None:
    """Write a random answer under the grammar of the longest sentences, and of the first with each kind of
    character."""
    from transformers import AutoConfig  # late, as the next: they take seconds to import

    from ner_utils.models.generation.constraints import Constraints

    vocabulary = AutoConfig.from_pretrained(source).get_text_config().vocab_size
    how = (run.model.constrained, prompter.format, prompter.tokenizer, vocabulary, run.model.max_new_tokens)
    makes, chance = Constraints(*how), np.random.default_rng(0)
    for sentence in oddest(sentences):
        try:
            answer = makes.of([prompter.plain_text(token) for token in sentence.tokens])
            written = answer.begin()
            while not written or written[-1] != makes.end:
                written = answer.choose(chance.normal(size=vocabulary))[0]
        except (RuntimeError, ValueError) as error:
            reason = messages.shortened(messages.first_line(error), 120)
            raise ConfigError(
                f"there is no grammar for answers to sentence {sentence.id} of {run.dataset_name} "
                f"({len(sentence.tokens)} tokens, {len(prompter.format.types)} types: {reason}); choose "
                "constrained: schema or none, or another output_format"
            ) from None


def oddest(sentences: Sequence[Sentence]) -> list[Sentence]:
    """The sentences of most tokens and of most characters, and the first with each Unicode category."""
    chosen = {max(sentences, key=lambda each: len(each.tokens)).id, max(sentences, key=_size).id}
    seen: set[str] = set()
    for sentence in sentences:
        kinds = {unicodedata.category(char) for char in set(sentence.text)}
        if kinds - seen:
            chosen.add(sentence.id)
            seen |= kinds
    return [sentence for sentence in sentences if sentence.id in chosen]
