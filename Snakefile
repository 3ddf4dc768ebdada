# The batch of a study: explore -> train -> evaluate -> analyse -> thesis, papermill all the way.
#
#   make study STUDY=wnut17-cpu     everything that is missing, then the PDF
#   make thesis STUDY=wnut17-cpu    from stored results alone: nothing is ever trained
#
# File times decide nothing about results. A run's result is its manifest, which bears the configuration's
# fingerprint in its name: an edited configuration asks for another file, an interrupted run has none. Scores,
# audits and comparisons hold the checksums of what they were made from, and are made again where these differ.
# Only what is never committed follows file times: figures, generated LaTeX, the PDF.
import os
import re
import sys
import time
from pathlib import Path

from ner_utils import config as params
from ner_utils import paths
from ner_utils.results import findings, provenance, stale
from ner_utils.sealed import ResultError
from ner_utils import thesis as written

# From the environment, which jobs inherit: --config would read the study 2024_06 as a number.
STUDY = os.environ.get("STUDY") or "demo"
OVERRIDES = os.environ.get("OVERRIDES", "")
try:
    ALL = params.with_companions(STUDY, OVERRIDES)
    # Before anything runs; and a stale PDF must not pass for this configuration's.
    (stale.check_all if config.get("from_results") else stale.check)(ALL)
except (params.ConfigError, ResultError) as error:
    sys.exit(f"error: {error}")
RUNS = {paths.relative(run.results): run for run in ALL}
STUDIES = list(dict.fromkeys(run.study for run in ALL))  # this one, and its companions
CORPORA = sorted({f"results/{run.study}/{run.dataset_name}" for run in ALL})
GENERATED = f"thesis/generated/{STUDY}"
MANIFESTS = [paths.relative(provenance.manifest_path(run)) for run in ALL]
METRICS = expand("{run}/metrics.json", run=RUNS)
AUDITS = expand("{corpus}/audit.json", corpus=CORPORA)
COMPILED = expand("{corpus}/{name}.json", corpus=CORPORA, name=findings.NAMES)
PDF = paths.relative(paths.thesis_pdf(STUDY))
WRITERS = [run for run in ALL if run.model.approach == "generation"]
PROBED = "|".join({re.escape(run.study) for run in WRITERS}) or "(?!)"
# Where ensembles lie, for the rules to look ahead from the study's name: another study may use their names.
VOTES = {f"{run.study}/{run.dataset_name}/{run.system}/" for run in ALL if run.members}
VOTING = "|".join(map(re.escape, VOTES)) or "(?!)"
# Overrides are this study's, and not those of its companions. They are no `params`: where these change,
# Snakemake makes every run anew, also those whose configuration is the same.
PAPERMILL = (
    "python -m ner_utils.experiments.notebook {input.notebook:q} {log:q}"
    " -r study {wildcards.study:q}"
    " -r overrides \"$([ {wildcards.study:q} != {STUDY:q} ] || printf %s {OVERRIDES:q})\""
)
STALE = {paths.relative(file) for file in stale.files(ALL)} if not config.get("from_results") else set()
NEWER = Path("runs/.stale")  # an input of each stale file, younger than it
if STALE:
    NEWER.parent.mkdir(exist_ok=True)
    NEWER.write_text(str(time.time_ns()))  # Snakemake ignores a younger file with the same content


def newer(output):
    return lambda wildcards: [str(NEWER)] if output.format(**wildcards) in STALE else []


def run_of(wildcards):
    return RUNS["results/{0.study}/{0.dataset}/{0.system}/seed{0.seed}".format(wildcards)]


def metrics_on(wildcards):
    folder = "results/{0.study}/{0.dataset}/".format(wildcards)
    # Of a step that must run again, Snakemake skips the steps that read ancient files of it.
    return [file if file in STALE else ancient(file) for file in METRICS if file.startswith(folder)]


def first(wildcards):
    return next(run.system for run in ALL if run.study == wildcards.study)


def needs(key):
    """What a job asks for: its run, or the largest generator of its study. Estimated late: that takes seconds."""

    def estimate(wildcards):
        from ner_utils.experiments.memory import fit

        if hasattr(wildcards, "system"):
            return fit.resources(run_of(wildcards))[key]
        writers = [run for run in WRITERS if run.study == wildcards.study]
        return max((fit.resources(run)[key] for run in writers), default=0)

    return estimate


# Only a profile that submits jobs sets their number. What takes seconds waits in no queue.
JOB = {"mem_mb": needs("mem_mb"), "gpu": needs("gpus"), "runtime": needs("runtime")} if workflow.nodes else {}
localrules: thesis, analyse


# Every file is listed, because Snakemake does not rebuild a missing input of a finished step.
rule all:
    message: "Study {STUDY}: everything is there"
    input: MANIFESTS, METRICS, AUDITS, COMPILED, PDF


rule thesis:
    message: "Thesis: LaTeX of study {STUDY} -> {output}"
    input:
        generated=[f"{GENERATED}/numbers.tex", f"{GENERATED}/claims.tex", paths.relative(written.digests(STUDY))],
        sources=sorted(paths.relative(file) for file in paths.THESIS.glob("*.*") if file.suffix != ".pdf"),
        chapters=sorted(paths.relative(file) for file in paths.THESIS.glob("[cd]*/*.tex")),
        script="scripts/typeset.sh",
    output: PDF
    shell: "{input.script:q} {STUDY:q} {output:q}"


rule analyse:
    message: "Analyse: all runs of {STUDY} -> figures, tables, numbers"
    input:
        notebook="notebooks/05_analysis.ipynb",
        settings=[f"params/studies/{name}.yaml" for name in STUDIES],
        metrics=METRICS,
        audits=AUDITS,
        compiled=COMPILED,
        ledger=["params/claims.yaml", "params/guide.yaml"],
        discussion=[f for f in [f"thesis/discussions/{STUDY}.tex"] if (paths.ROOT / f).is_file()],
        bench=sorted(paths.relative(file) for file in (paths.RESULTS / "bench").glob("*.json")),
        code=paths.relative(max((paths.ROOT / "ner_utils").rglob("*.py"), key=lambda file: file.stat().st_mtime)),
    output:
        f"{GENERATED}/numbers.tex",
        f"{GENERATED}/claims.tex",
        paths.relative(written.digests(STUDY)),
    params: overrides=OVERRIDES
    log: f"runs/{STUDY}/05_analysis.ipynb"
    shell: PAPERMILL.replace("{wildcards.study:q}", "{STUDY:q}")


# The thesis alone: stored results are its sources, and no rule below exists that could make them.
if not config.get("from_results"):

    localrules: explore, evaluate, combine, compare, trust, no_probe

    rule explore:
        message: "Explore: audit of corpus {wildcards.dataset} ({wildcards.study})"
        input:
            notebook=ancient("notebooks/01_data_exploration.ipynb"),
            newer=newer("results/{study}/{dataset}/audit.json"),
        output: "results/{study}/{dataset}/audit.json"
        log: "runs/{study}/{dataset}/01_data_exploration.ipynb"
        shell: f"{PAPERMILL} -r dataset {{wildcards.dataset:q}}"

    rule train:
        message:
            "Train and predict: {wildcards.dataset}, {wildcards.system}, seed {wildcards.seed} ({wildcards.study})"
            + (": {resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} minutes" if JOB else "")
        input:
            notebook=lambda w: ancient(
                "notebooks/02_encoder.ipynb" if run_of(w).model.approach == "tagging" else "notebooks/03_qlora.ipynb"
            ),
            base=lambda w: [
                ancient(paths.relative(provenance.manifest_path(base))) for base in [run_of(w).base] if base
            ],
        output: "results/{study}/{dataset}/{system}/seed{seed}/manifest-{fingerprint}.json"
        log: "runs/{study}/{dataset}/{system}/seed{seed}/train-{fingerprint}.ipynb"
        wildcard_constraints: seed=r"\d+", study=f"(?!{VOTING})[^/]+"
        # All cores, for what takes timings shares the machine with nothing; a job has its profile's share.
        threads: lambda _: workflow.cores
        resources: **JOB
        shell:
            # Fetched beforehand, where there is a network: a cluster's nodes may have none.
            f"HF_HUB_OFFLINE=1 {PAPERMILL} -r dataset {{wildcards.dataset:q}} -r system {{wildcards.system:q}} -p seed {{wildcards.seed}}"

    rule combine:
        message: "Vote: {wildcards.dataset}, {wildcards.system}, seed {wildcards.seed} ({wildcards.study})"
        input:
            notebook=ancient("notebooks/17_ensembles.ipynb"),
            members=lambda w: [ancient(paths.relative(provenance.manifest_path(run))) for run in run_of(w).members],
        output: "results/{study}/{dataset}/{system}/seed{seed}/manifest-{fingerprint}.json"
        log: "runs/{study}/{dataset}/{system}/seed{seed}/vote-{fingerprint}.ipynb"
        wildcard_constraints: seed=r"\d+", study=f"(?={VOTING})[^/]+"
        shell:
            f"{PAPERMILL} -r dataset {{wildcards.dataset:q}} -r system {{wildcards.system:q}} -p seed {{wildcards.seed}}"

    rule evaluate:
        message: "Evaluate: {wildcards.dataset}, {wildcards.system}, seed {wildcards.seed} ({wildcards.study})"
        input:
            notebook=ancient("notebooks/04_evaluation.ipynb"),
            manifest=lambda w: ancient(paths.relative(provenance.manifest_path(run_of(w)))),
            newer=newer("results/{study}/{dataset}/{system}/seed{seed}/metrics.json"),
        output:
            "results/{study}/{dataset}/{system}/seed{seed}/metrics.json",
            "results/{study}/{dataset}/{system}/seed{seed}/counts.jsonl",
        log: "runs/{study}/{dataset}/{system}/seed{seed}/04_evaluation.ipynb"
        wildcard_constraints: seed=r"\d+"
        shell:
            f"{PAPERMILL} -r dataset {{wildcards.dataset:q}} -r system {{wildcards.system:q}} -p seed {{wildcards.seed}}"


    rule compare:
        message: "Compare: all systems on {wildcards.dataset} ({wildcards.study})"
        input:
            notebook=ancient("notebooks/11_differences.ipynb"),
            metrics=metrics_on,
            newer=newer("results/{study}/{dataset}/differences.json"),
        output: "results/{study}/{dataset}/differences.json"
        params: system=first  # the system whose sentences are shown
        log: "runs/{study}/{dataset}/11_differences.ipynb"
        shell: f"{PAPERMILL} -r dataset {{wildcards.dataset:q}} -r system {{params.system:q}}"


    rule trust:
        message: "Confidence: all systems on {wildcards.dataset} ({wildcards.study})"
        input:
            notebook=ancient("notebooks/12_confidence.ipynb"),
            metrics=metrics_on,
            newer=newer("results/{study}/{dataset}/confidence.json"),
        output: "results/{study}/{dataset}/confidence.json"
        params: system=first
        log: "runs/{study}/{dataset}/12_confidence.ipynb"
        shell: f"{PAPERMILL} -r dataset {{wildcards.dataset:q}} -r system {{params.system:q}}"


    rule probe:
        message: "Probe: do the language models know {wildcards.dataset}? ({wildcards.study})"
        input:
            notebook=ancient("notebooks/13_contamination.ipynb"),
            manifests=lambda w: [ancient(file) for file in MANIFESTS if file.startswith(f"results/{w.study}/{w.dataset}/")],
            newer=newer("results/{study}/{dataset}/contamination.json"),
        output: "results/{study}/{dataset}/contamination.json"
        log: "runs/{study}/{dataset}/13_contamination.ipynb"
        wildcard_constraints: study=PROBED
        threads: lambda _: workflow.cores
        resources: **JOB
        shell: f"HF_HUB_OFFLINE=1 {PAPERMILL} -r dataset {{wildcards.dataset:q}}"


    use rule probe as no_probe with:
        message: "Probe: study {wildcards.study} has no language model"
        wildcard_constraints: study=f"(?!({PROBED})/)[^/]+"
        threads: 1


onsuccess:
    print(f"The thesis of study {STUDY}: {PDF}")
