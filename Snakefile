# The batch of a study: explore -> train -> evaluate -> analyse -> thesis, papermill all the way.
#
#   make study STUDY=wnut17-cpu     everything that is missing, then the PDF
#   make thesis STUDY=wnut17-cpu    from stored results alone: nothing is ever trained
#
# A run's result is its manifest, which bears the configuration's fingerprint in its name: an edited
# configuration asks for another file, an interrupted run has none, and file times decide nothing
# about training. Everything after prediction is cheap and follows file times.
import sys

from ner_utils import config as params
from ner_utils import paths, provenance
from ner_utils.predictions import ResultError

STUDY = config.get("study", "demo")
OVERRIDES = config.get("overrides") or ""
try:
    ALL = params.runs_of(STUDY, OVERRIDES)
    for run in ALL if config.get("from_results") else ():
        provenance.read_manifest(run)  # a stale PDF must not pass for this configuration's
except (params.ConfigError, ResultError) as error:
    sys.exit(f"error: {error}")
RUNS = {paths.run_id(run.dataset_name, run.system, run.seed): run for run in ALL}
DATASETS = sorted({run.dataset_name for run in ALL})
RESULTS, GENERATED = f"results/{STUDY}", f"thesis/generated/{STUDY}"
MANIFESTS = [paths.relative(provenance.manifest_path(run)) for run in ALL]
METRICS = expand(f"{RESULTS}/{{run}}/metrics.json", run=RUNS)
AUDITS = expand(f"{RESULTS}/{{dataset}}/audit.json", dataset=DATASETS)
COMPILED = ("differences", "confidence", "contamination")
COMPILED = expand(f"{RESULTS}/{{dataset}}/{{name}}.json", dataset=DATASETS, name=COMPILED)
PDF = paths.relative(paths.thesis_pdf(STUDY))
WRITERS = [run for run in ALL if run.model.approach == "generation"]
VOTING = "|".join({run.system for run in ALL if run.members}) or "(?!)"  # names of ensembles
# What a notebook prints is logged by papermill (on stderr); its raw output would repeat a part of it.
PAPERMILL = (
    "papermill >/dev/null --no-progress-bar --log-output --kernel python3"
    f" {{input.notebook}} {{log}} -r study {STUDY} -r overrides '{OVERRIDES}'"
)


def rooms(*names):
    return [f"ner_utils/{name}.py" for name in names]


def run_of(wildcards):
    return RUNS[f"{wildcards.dataset}/{wildcards.system}/seed{wildcards.seed}"]


def metrics_on(wildcards):
    return [file for file in METRICS if file.startswith(f"{RESULTS}/{wildcards.dataset}/")]


def needs(key):
    """What a job asks for, of a run or of the largest that writes; estimated late, for that takes seconds."""

    def estimate(wildcards):
        from ner_utils import fit

        runs = [run_of(wildcards)] if hasattr(wildcards, "system") else WRITERS
        return max((fit.resources(run)[key] for run in runs), default=0)

    return estimate


# Only a profile that submits jobs sets their number. What takes seconds waits in no queue.
JOB = {"mem_mb": needs("mem_mb"), "gpu": needs("gpus"), "runtime": needs("runtime")} if workflow.nodes else {}
localrules: thesis, analyse


# Everything is asked for by name: Snakemake does not miss what only a finished step once read.
rule all:
    message: "Study {STUDY}: everything is there"
    input: MANIFESTS, METRICS, AUDITS, COMPILED, PDF


rule thesis:
    message: "Thesis: LaTeX of study {STUDY} -> {output}"
    input:
        generated=[f"{GENERATED}/numbers.tex", f"{GENERATED}/claims.tex"],
        sources=sorted(paths.relative(file) for file in paths.THESIS.glob("*.*") if file.suffix != ".pdf"),
        chapters=sorted(paths.relative(file) for file in paths.THESIS.glob("[cd]*/*.tex")),
        script="scripts/typeset.sh",
    output: PDF
    shell: "{input.script} {STUDY} {output}"


rule analyse:
    message: "Analyse: all runs of {STUDY} -> figures, tables, numbers"
    input:
        notebook="notebooks/05_analysis.ipynb",
        settings=f"params/studies/{STUDY}.yaml",
        metrics=METRICS,
        audits=AUDITS,
        compiled=COMPILED,
        ledger=["params/claims.yaml", "params/guide.yaml"],
        discussion=[f for f in [f"thesis/discussions/{STUDY}.tex"] if (paths.ROOT / f).is_file()],
        bench=sorted(paths.relative(file) for file in (paths.RESULTS / "bench").glob("*.json")),
        rooms=rooms("study", "statistics", "report", "compiled", "differences", "confidence", "contamination", "flexibility", "label_efficiency", "telling", "thesis", "costs", "ledger", "guide", "robustness", "tables", "claims", "plots", "latex", "prompts", "forms", "json_forms", "copy_forms", "evaluation", "speed"),
    output:
        f"{GENERATED}/numbers.tex",
        f"{GENERATED}/claims.tex",
    params: overrides=OVERRIDES
    log: notebook=f"runs/{STUDY}/05_analysis.ipynb"
    shell: PAPERMILL


# The thesis alone: stored results are its sources, and no rule below exists that could make them.
if not config.get("from_results"):

    localrules: explore, evaluate, combine, compare, trust

    if not WRITERS:  # nobody is probed, so nobody waits for a machine

        localrules: probe

    rule explore:
        message: "Explore: audit of corpus {wildcards.dataset}"
        input:
            notebook="notebooks/01_data_exploration.ipynb",
            settings=lambda w: f"params/datasets/{paths.corpus(w.dataset)}.yaml",
            rooms=rooms(*provenance.READERS, "spans", "audit"),
        output: f"{RESULTS}/{{dataset}}/audit.json"
        log: notebook=f"runs/{STUDY}/{{dataset}}/01_data_exploration.ipynb"
        shell: f"{PAPERMILL} -r dataset {{wildcards.dataset}}"

    rule train:
        message:
            "Train and predict: {wildcards.dataset}, {wildcards.system}, seed {wildcards.seed}"
            + (": {resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} minutes" if JOB else "")
        input:
            # ancient: an edited comment must not cost a day of training; the thesis warns instead.
            notebook=lambda w: ancient(
                "notebooks/02_encoder.ipynb" if run_of(w).model.approach == "tagging" else "notebooks/03_llm.ipynb"
            ),
            base=lambda w: [
                ancient(paths.relative(provenance.manifest_path(base))) for base in [run_of(w).base] if base
            ],
        output: f"{RESULTS}/{{dataset}}/{{system}}/seed{{seed}}/manifest-{{fingerprint}}.json"
        log: notebook=f"runs/{STUDY}/{{dataset}}/{{system}}/seed{{seed}}/train-{{fingerprint}}.ipynb"
        wildcard_constraints: seed=r"\d+", system=f"(?!(?:{VOTING})/)[^/]+"
        # All cores, for what takes timings shares the machine with nothing; a job has its profile's share.
        threads: lambda _: workflow.cores
        resources: **JOB
        shell:
            # Fetched beforehand, where there is a network: a cluster's nodes may have none.
            f"HF_HUB_OFFLINE=1 {PAPERMILL} -r dataset {{wildcards.dataset}} -r system {{wildcards.system}} -p seed {{wildcards.seed}}"

    rule combine:
        message: "Vote: {wildcards.dataset}, {wildcards.system}, seed {wildcards.seed}"
        input:
            notebook="notebooks/06_ensemble.ipynb",
            members=lambda w: [ancient(paths.relative(provenance.manifest_path(run))) for run in run_of(w).members],
        output: f"{RESULTS}/{{dataset}}/{{system}}/seed{{seed}}/manifest-{{fingerprint}}.json"
        log: notebook=f"runs/{STUDY}/{{dataset}}/{{system}}/seed{{seed}}/vote-{{fingerprint}}.ipynb"
        wildcard_constraints: seed=r"\d+", system=VOTING
        shell:
            f"{PAPERMILL} -r dataset {{wildcards.dataset}} -r system {{wildcards.system}} -p seed {{wildcards.seed}}"

    rule evaluate:
        message: "Evaluate: {wildcards.dataset}, {wildcards.system}, seed {wildcards.seed}"
        input:
            notebook="notebooks/04_evaluation.ipynb",
            manifest=lambda w: paths.relative(provenance.manifest_path(run_of(w))),
            rooms=rooms(*provenance.READERS, "spans", "span_table", "scoring", "conventions", "evaluation"),
        output:
            f"{RESULTS}/{{dataset}}/{{system}}/seed{{seed}}/metrics.json",
            f"{RESULTS}/{{dataset}}/{{system}}/seed{{seed}}/counts.jsonl",
        log: notebook=f"runs/{STUDY}/{{dataset}}/{{system}}/seed{{seed}}/04_evaluation.ipynb"
        wildcard_constraints: seed=r"\d+"
        shell:
            f"{PAPERMILL} -r dataset {{wildcards.dataset}} -r system {{wildcards.system}} -p seed {{wildcards.seed}}"


    rule compare:
        message: "Compare: all systems on {wildcards.dataset}"
        input:
            notebook="notebooks/07_differences.ipynb",
            settings=f"params/studies/{STUDY}.yaml",
            metrics=metrics_on,
            rooms=rooms(*provenance.READERS, "spans", "span_table", "scoring", "statistics", "breakdown", "errors"),
        output: f"{RESULTS}/{{dataset}}/differences.json"
        params: system=ALL[0].system  # whose sentences are shown
        log: notebook=f"runs/{STUDY}/{{dataset}}/07_differences.ipynb"
        shell: f"{PAPERMILL} -r dataset {{wildcards.dataset}} -r system {{params.system}}"


    rule trust:
        message: "Confidence: all systems on {wildcards.dataset}"
        input:
            notebook="notebooks/08_confidence.ipynb",
            settings=f"params/studies/{STUDY}.yaml",
            metrics=metrics_on,
            rooms=rooms(*provenance.READERS, "spans", "statistics", "confidence"),
        output: f"{RESULTS}/{{dataset}}/confidence.json"
        params: system=ALL[0].system
        log: notebook=f"runs/{STUDY}/{{dataset}}/08_confidence.ipynb"
        shell: f"{PAPERMILL} -r dataset {{wildcards.dataset}} -r system {{params.system}}"


    rule probe:
        message: "Probe: do the language models know {wildcards.dataset}?"
        input:
            notebook="notebooks/09_contamination.ipynb",
            settings=f"params/studies/{STUDY}.yaml",
            rooms=rooms(*provenance.READERS, "spans", "perturb", "contamination"),
        output: f"{RESULTS}/{{dataset}}/contamination.json"
        log: notebook=f"runs/{STUDY}/{{dataset}}/09_contamination.ipynb"
        threads: lambda _: workflow.cores
        resources: **JOB
        shell: f"HF_HUB_OFFLINE=1 {PAPERMILL} -r dataset {{wildcards.dataset}}"


onsuccess:
    print(f"The thesis of study {STUDY}: {PDF}")
