"""Writes a trained model as a folder that transformers loads.

``make model STUDY=… SYSTEM=… SEED=…`` calls it; ``python -m ner_utils.sharing.model_folder --help`` lists all
options. The folder needs transformers alone, that of a GLiNER gliner2. It holds the weights that dev chose,
as they predicted: of an LLM, the dequantised weights with the adapter merged into them. With ``--adapter`` it
holds the adapter, for peft, where the base is on the Hugging Face hub. Its README.md is a model card.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from ner_utils import config, data, files, messages, paths
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.experiments import experiment
from ner_utils.results.study import Results, load_results
from ner_utils.sharing.card import model_card

KEPT = ("*.json", "*.safetensors", "*.jinja", "*.model", "vocab.txt", "merges.txt")
NOT_KEPT = ("checksums.json", "trainer_state.json")


def write_model(results: Results, run: Run, adapter: bool = False) -> Path:
    """Write the folder of a finished run's model, and return it. A training whose checkpoint is no longer on
    this machine is repeated.

    Raises `ConfigError` where a run is not one of the study's, has no trained weights of its own, or has no
    adapter that others can load.
    """
    _check(results, run, adapter)
    name = f"{run.dataset_name}-{run.system}-seed{run.seed}" + ("-adapter" if adapter else "")
    target = paths.RUNS / run.study / "models" / name
    partial = target.with_name(f".{name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    record = experiment.train_run(run, data.load(run.dataset_name, run.dataset))
    with files.naming(partial):
        _write_weights(run, experiment.best_checkpoint(run, record), partial, adapter)
        (partial / "README.md").write_text(model_card(results, run, partial, adapter), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return target


def _check(results: Results, run: Run, adapter: bool) -> None:
    where = f"{run.study}: {run.system}"
    if run.fingerprint not in {item.run.fingerprint for item in results.stored}:
        raise ConfigError(f"{run.study}: no results of {run.title}, which its card would show")
    if run.untrained or run.members or not run.has_weights:
        raise ConfigError(f"{where} has no trained weights: it is prompted, or votes")
    if run.perturbed and run.base:
        raise ConfigError(
            f"{where} reads disturbed sentences with the weights of {run.base.system}: name that"
        )
    if adapter and not run.model.lora:
        raise ConfigError(f"{where} has no adapter: all its weights were trained; leave out --adapter")
    if adapter and not run.model.weights.hub:
        raise ConfigError(
            f"{where}: the base of its adapter is not on the Hugging Face hub, so it could not be loaded "
            "elsewhere; leave out --adapter for the merged weights"
        )


def _write_weights(run: Run, checkpoint: Path, target: Path, adapter: bool) -> None:
    """Weights and tokenizer; libraries of models are imported late, because they take seconds."""
    from ner_utils.models import generation, tagging, weights

    source = weights.resolve(run.model.weights)
    if adapter:
        _copy(checkpoint, target)
        _name_base(run, target)
    elif run.model.approach == "gliner":
        from ner_utils.models.gliner import load_extractor

        load_extractor(checkpoint).save_pretrained(target)
        return  # with its tokenizer
    elif run.writes:
        _copy(generation.merge(run, checkpoint), target)
    elif run.model.lora:
        tagging.load_trained(run, checkpoint).save_pretrained(target)
    else:
        _copy(checkpoint, target)
    if run.writes:
        tokenizer = generation.Prompter(run, source).tokenizer
    else:
        tokenizer = tagging.load_tokenizer(source, run.model.pad_token)
    tokenizer.save_pretrained(target)


def _copy(folder: Path, target: Path) -> None:
    """Copy what a model needs of a checkpoint, and not the state of its training."""
    for pattern in KEPT:
        for file in folder.glob(pattern):
            if file.name not in NOT_KEPT:
                shutil.copy(file, target)


def _name_base(run: Run, target: Path) -> None:
    """Let an adapter name its base as others find it."""
    path, hub = target / "adapter_config.json", run.model.weights.hub
    values = json.loads(path.read_text(encoding="utf-8"))
    values |= {"base_model_name_or_path": hub.repo, "revision": hub.revision}
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def push(folder: Path, repository: str, run: Run) -> str:
    """Upload a folder to a private repository of the hub, with the token of ``hf auth login`` or of HF_TOKEN;
    returns its address. Raises `ConfigError` for a private corpus, for a repository that is public, and where
    the hub refuses."""
    from httpx2 import HTTPError  # the library of huggingface_hub
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    api, where = HfApi(), f"nothing was uploaded; the folder is {paths.relative(folder)}"
    if run.dataset.private:
        what = "is private, and models can repeat what they were trained on"
        raise ConfigError(f"{run.dataset_name} {what}: {where}")
    message = f"{run.label}, study {run.study}, run {run.fingerprint[:12]}"
    try:
        address = api.create_repo(repository, private=True, exist_ok=True)
        if not api.repo_info(repository).private:  # one that existed stays as it was
            raise ConfigError(f"{repository} is public, and only private repositories are written: {where}")
        api.upload_folder(folder_path=folder, repo_id=repository, commit_message=message)
    except (HTTPError, HFValidationError, OSError) as error:
        raise ConfigError(f"{repository}: {messages.first_line(error)}: {where}") from None
    return str(address)


def main() -> None:
    """Write the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("system")
    parser.add_argument("seed", type=int)
    parser.add_argument("--dataset", help="the corpus; default: the study's first")
    parser.add_argument("--adapter", action="store_true", help="the adapter alone, for peft")
    parser.add_argument("--push", metavar="REPOSITORY", help="upload it to a private repository of the hub")
    options = parser.parse_args()
    results = load_results(options.study)
    dataset = options.dataset or results.study.datasets[0]
    run = config.load_run(options.study, dataset, options.system, options.seed)
    folder = write_model(results, run, options.adapter)
    size = sum(file.stat().st_size for file in folder.rglob("*"))
    print(f"{paths.relative(folder)}: {size / 1e6:,.0f} MB")
    if options.push:
        print(push(folder, options.push, run))


if __name__ == "__main__":
    with messages.errors_as_lines(*experiment.ERRORS):
        main()
