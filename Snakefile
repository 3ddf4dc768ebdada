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
from pathlib import Path

from ner_utils import paths
from ner_utils.config import ConfigError
from ner_utils.experiments.workflow.graph import Workflow
from ner_utils.sealed import ResultError

# From the environment, which jobs inherit: --config would read the study 2024_06 as a number.
STUDY = os.environ.get("STUDY") or "demo"
OVERRIDES = os.environ.get("OVERRIDES", "")
try:
    ALL = Workflow(STUDY, OVERRIDES, bool(config.get("from_results")))
except (ConfigError, ResultError) as error:
    raise SystemExit(f"error: {error}") from None
GENERATED = f"thesis/generated/{STUDY}"
DIGESTS = paths.relative(paths.thesis_digests(STUDY))
PDF = paths.relative(paths.thesis_pdf(STUDY))
# Overrides are for this study, not for its companions. They are no `params`: if these change, Snakemake makes
# every run again, also the runs whose configuration is the same.
PAPERMILL = (
    "python -m ner_utils.experiments.workflow.notebook {input.notebook:q} {log:q} -r study {wildcards.study:q}"
    " -r overrides \"$([ {wildcards.study:q} != {STUDY:q} ] || printf %s {OVERRIDES:q})\""
)
ON_CORPUS = PAPERMILL + " -r dataset {wildcards.dataset:q}"
OF_RUN = ON_CORPUS + " -r system {wildcards.system:q} -p seed {wildcards.seed}"
# Models were fetched beforehand, where there is a network: a cluster's nodes may have none.
OFFLINE = "HF_HUB_OFFLINE=1 "
CORPUS, RUN = "{study}/{dataset}", "{study}/{dataset}/{system}/seed{seed}"
newer = ALL.mark_stale(Path("runs/.stale"))
# Ensembles are recognised by their study, dataset and system; the rule looks ahead from the study's name.
ENSEMBLES, GENERATORS = ALL.ensembles(), ALL.studies_with_generators()
# Only a profile that submits jobs sets their number. Steps of seconds run where `make` does, in no queue.
JOB = ALL.resources() if workflow.nodes else {}
localrules: thesis, analyse

def of_any_age(files):
    # Where a step must run again, Snakemake skips the steps that read ancient files of it.
    return lambda wildcards: [file if file in ALL.stale else ancient(file) for file in files(wildcards)]

# Every file is listed, because Snakemake does not rebuild a missing input of a finished step.
rule all:
    message: "Study {STUDY}: everything is there"
    input: ALL.manifests, ALL.metrics, ALL.audits, ALL.comparisons, PDF

rule thesis:
    message: "Thesis: LaTeX of study {STUDY} -> {output}"
    input:
        generated=[f"{GENERATED}/numbers.tex", f"{GENERATED}/claims.tex", DIGESTS],
        sources=sorted(paths.relative(file) for file in paths.THESIS.glob("*.*") if file.suffix != ".pdf"),
        chapters=sorted(paths.relative(file) for file in paths.THESIS.glob("[cdl]*/*.tex")),
        script="scripts/typeset.sh",
    output: PDF
    shell: "{input.script:q} {STUDY:q} {output:q}"

rule analyse:
    message: "Analyse: all runs of {STUDY} -> figures, tables, numbers"
    input:
        notebook="notebooks/05_analysis.ipynb",
        settings=[f"params/studies/{name}.yaml" for name in ALL.studies],
        results=ALL.metrics + ALL.audits + ALL.comparisons,
        ledger=["params/claims.yaml", "params/guide.yaml"],
        texts=sorted(paths.relative(file) for file in paths.THESIS.glob(f"[dl]*/{STUDY}.tex")),
        bench=sorted(paths.relative(file) for file in (paths.RESULTS / "bench").glob("*.json")),
        code=paths.relative(max((paths.ROOT / "ner_utils").rglob("*.py"), key=lambda file: file.stat().st_mtime)),
    output: f"{GENERATED}/numbers.tex", f"{GENERATED}/claims.tex", DIGESTS
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
            newer=newer(f"results/{CORPUS}/audit.json"),
        output: f"results/{CORPUS}/audit.json"
        log: f"runs/{CORPUS}/01_data_exploration.ipynb"
        shell: ON_CORPUS

    rule train:
        message:
            "Train and predict: {wildcards.dataset}, {wildcards.system}, seed {wildcards.seed} ({wildcards.study})"
            + (": {resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} minutes" if JOB else "")
        input:
            notebook=of_any_age(ALL.training_notebook),
            needed=of_any_age(ALL.needed),
        output: f"results/{RUN}/manifest-{{fingerprint}}.json"
        log: f"runs/{RUN}/train-{{fingerprint}}.ipynb"
        wildcard_constraints: seed=r"\d+", study=f"(?!{ENSEMBLES})[^/]+"
        # All cores, because nothing may run beside a job that takes timings; a cluster's profile sets its share.
        threads: lambda _: workflow.cores
        resources: **JOB
        shell: OFFLINE + OF_RUN

    rule combine:
        message: "Vote: {wildcards.dataset}, {wildcards.system}, seed {wildcards.seed} ({wildcards.study})"
        input:
            notebook=ancient("notebooks/17_ensembles.ipynb"),
            members=of_any_age(ALL.members),
        output: f"results/{RUN}/manifest-{{fingerprint}}.json"
        log: f"runs/{RUN}/vote-{{fingerprint}}.ipynb"
        wildcard_constraints: seed=r"\d+", study=f"(?={ENSEMBLES})[^/]+"
        shell: OF_RUN

    rule evaluate:
        message: "Evaluate: {wildcards.dataset}, {wildcards.system}, seed {wildcards.seed} ({wildcards.study})"
        input:
            notebook=ancient("notebooks/04_evaluation.ipynb"),
            manifest=of_any_age(ALL.manifest),
            newer=newer(f"results/{RUN}/metrics.json"),
        output: f"results/{RUN}/metrics.json", f"results/{RUN}/counts.jsonl"
        log: f"runs/{RUN}/04_evaluation.ipynb"
        wildcard_constraints: seed=r"\d+"
        shell: OF_RUN

    rule compare:
        message: "Compare: all systems on {wildcards.dataset} ({wildcards.study})"
        input:
            notebook=ancient("notebooks/11_differences.ipynb"),
            metrics=of_any_age(ALL.metrics_on),
            newer=newer(f"results/{CORPUS}/differences.json"),
        output: f"results/{CORPUS}/differences.json"
        params: system=ALL.first_system  # its sentences are shown
        log: f"runs/{CORPUS}/11_differences.ipynb"
        shell: ON_CORPUS + " -r system {params.system:q}"

    rule trust:
        message: "Confidence: all systems on {wildcards.dataset} ({wildcards.study})"
        input:
            notebook=ancient("notebooks/12_confidence.ipynb"),
            metrics=of_any_age(ALL.metrics_on),
            newer=newer(f"results/{CORPUS}/confidence.json"),
        output: f"results/{CORPUS}/confidence.json"
        params: system=ALL.first_system
        log: f"runs/{CORPUS}/12_confidence.ipynb"
        shell: ON_CORPUS + " -r system {params.system:q}"

    rule probe:
        message: "Probe: do the language models know {wildcards.dataset}? ({wildcards.study})"
        input:
            notebook=ancient("notebooks/13_contamination.ipynb"),
            manifests=of_any_age(ALL.manifests_on),
            newer=newer(f"results/{CORPUS}/contamination.json"),
        output: f"results/{CORPUS}/contamination.json"
        log: f"runs/{CORPUS}/13_contamination.ipynb"
        wildcard_constraints: study=GENERATORS
        threads: lambda _: workflow.cores
        resources: **JOB
        shell: OFFLINE + ON_CORPUS

    use rule probe as no_probe with:
        message: "Probe: study {wildcards.study} has no language model"
        wildcard_constraints: study=f"(?!({GENERATORS})/)[^/]+"
        threads: 1
