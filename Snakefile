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
    ALL = params.with_those_beside(STUDY, OVERRIDES)
    for run in ALL if config.get("from_results") else ():
        provenance.read_manifest(run)  # a stale PDF must not pass for this configuration's
except (params.ConfigError, ResultError) as error:
    sys.exit(f"error: {error}")
RUNS = {paths.relative(run.results): run for run in ALL}
STUDIES = list(dict.fromkeys(run.study for run in ALL))  # this one, and those beside it
CORPORA = sorted({f"results/{run.study}/{run.dataset_name}" for run in ALL})
GENERATED = f"thesis/generated/{STUDY}"
MANIFESTS = [paths.relative(provenance.manifest_path(run)) for run in ALL]
METRICS = expand("{run}/metrics.json", run=RUNS)
AUDITS = expand("{corpus}/audit.json", corpus=CORPORA)
COMPILED = expand("{corpus}/{name}.json", corpus=CORPORA, name=("differences", "confidence", "contamination"))
PDF = paths.relative(paths.thesis_pdf(STUDY))
WRITERS = [run for run in ALL if run.model.approach == "generation"]
PROBED = "|".join({run.study for run in WRITERS}) or "(?!)"
# Where ensembles lie, for the rules to look ahead from the study's name: another study's system may bear their name.
VOTING = "|".join({f"{run.study}/{run.dataset_name}/{run.system}/" for run in ALL if run.members}) or "(?!)"
# What a notebook prints is logged by papermill (on stderr); its raw output would repeat a part of it.
# Overrides are of this study, and not of those whose results its thesis shows, too.
PAPERMILL = (
    "papermill >/dev/null --no-progress-bar --log-output --kernel python3 {input.notebook} {log}"
    f" -r study {{wildcards.study}} -r overrides \"$([ {{wildcards.study}} != {STUDY} ] || echo '{OVERRIDES}')\""
)


def rooms(*names):
    return [f"ner_utils/{name}.py" for name in names]


def run_of(wildcards):
    return RUNS["results/{0.study}/{0.dataset}/{0.system}/seed{0.seed}".format(wildcards)]


def settings(wildcards):
    return f"params/studies/{wildcards.study}.yaml"


def metrics_on(wildcards):
    return [file for file in METRICS if file.startswith("results/{0.study}/{0.dataset}/".format(wildcards))]


def first(wildcards):
    return next(run.system for run in ALL if run.study == wildcards.study)


def needs(key):
    """What a job asks for: its run, or the largest of its study that writes. Estimated late, that takes seconds."""

    def estimate(wildcards):
        from ner_utils import fit

        if hasattr(wildcards, "system"):
            return fit.resources(run_of(wildcards))[key]
        writers = [run for run in WRITERS if run.study == wildcards.study]
        return max((fit.resources(run)[key] for run in writers), default=0)

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
        settings=[f"params/studies/{name}.yaml" for name in STUDIES],
        metrics=METRICS,
        audits=AUDITS,
        compiled=COMPILED,
        ledger=["params/claims.yaml", "params/guide.yaml"],
        discussion=[f for f in [f"thesis/discussions/{STUDY}.tex"] if (paths.ROOT / f).is_file()],
        bench=sorted(paths.relative(file) for file in (paths.RESULTS / "bench").glob("*.json")),
        rooms=rooms("study", "statistics", "report", "compiled", "differences", "confidence", "contamination", "flexibility", "label_efficiency", "telling", "thesis", "costs", "ledger", "guide", "robustness", "design", "tables", "claims", "plots", "latex", "prompts", "forms", "json_forms", "copy_forms", "evaluation", "speed"),
    output:
        f"{GENERATED}/numbers.tex",
        f"{GENERATED}/claims.tex",
    params: overrides=OVERRIDES
    log: notebook=f"runs/{STUDY}/05_analysis.ipynb"
    shell: PAPERMILL.replace("{wildcards.study}", STUDY)


# The thesis alone: stored results are its sources, and no rule below exists that could make them.
if not config.get("from_results"):

    localrules: explore, evaluate, combine, compare, trust, probe_nobody

    rule explore:
        message: "Explore: audit of corpus {wildcards.dataset} ({wildcards.study})"
        input:
            notebook="notebooks/01_data_exploration.ipynb",
            settings=lambda w: f"params/datasets/{paths.corpus(w.dataset)}.yaml",
            rooms=rooms(*provenance.READERS, "spans", "audit"),
        output: "results/{study}/{dataset}/audit.json"
        log: notebook="runs/{study}/{dataset}/01_data_exploration.ipynb"
        shell: f"{PAPERMILL} -r dataset {{wildcards.dataset}}"

    rule train:
        message:
            "Train and predict: {wildcards.dataset}, {wildcards.system}, seed {wildcards.seed} ({wildcards.study})"
            + (": {resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} minutes" if JOB else "")
        input:
            # ancient: an edited comment must not cost a day of training; the thesis warns instead.
            notebook=lambda w: ancient(
                "notebooks/02_encoder.ipynb" if run_of(w).model.approach == "tagging" else "notebooks/03_llm.ipynb"
            ),
            base=lambda w: [
                ancient(paths.relative(provenance.manifest_path(base))) for base in [run_of(w).base] if base
            ],
        output: "results/{study}/{dataset}/{system}/seed{seed}/manifest-{fingerprint}.json"
        log: notebook="runs/{study}/{dataset}/{system}/seed{seed}/train-{fingerprint}.ipynb"
        wildcard_constraints: seed=r"\d+", study=f"(?!{VOTING})[^/]+"
        # All cores, for what takes timings shares the machine with nothing; a job has its profile's share.
        threads: lambda _: workflow.cores
        resources: **JOB
        shell:
            # Fetched beforehand, where there is a network: a cluster's nodes may have none.
            f"HF_HUB_OFFLINE=1 {PAPERMILL} -r dataset {{wildcards.dataset}} -r system {{wildcards.system}} -p seed {{wildcards.seed}}"

    rule combine:
        message: "Vote: {wildcards.dataset}, {wildcards.system}, seed {wildcards.seed} ({wildcards.study})"
        input:
            notebook="notebooks/06_ensemble.ipynb",
            members=lambda w: [ancient(paths.relative(provenance.manifest_path(run))) for run in run_of(w).members],
        output: "results/{study}/{dataset}/{system}/seed{seed}/manifest-{fingerprint}.json"
        log: notebook="runs/{study}/{dataset}/{system}/seed{seed}/vote-{fingerprint}.ipynb"
        wildcard_constraints: seed=r"\d+", study=f"(?={VOTING})[^/]+"
        shell:
            f"{PAPERMILL} -r dataset {{wildcards.dataset}} -r system {{wildcards.system}} -p seed {{wildcards.seed}}"

    rule evaluate:
        message: "Evaluate: {wildcards.dataset}, {wildcards.system}, seed {wildcards.seed} ({wildcards.study})"
        input:
            notebook="notebooks/04_evaluation.ipynb",
            manifest=lambda w: paths.relative(provenance.manifest_path(run_of(w))),
            rooms=rooms(*provenance.READERS, "spans", "span_table", "scoring", "conventions", "evaluation"),
        output:
            "results/{study}/{dataset}/{system}/seed{seed}/metrics.json",
            "results/{study}/{dataset}/{system}/seed{seed}/counts.jsonl",
        log: notebook="runs/{study}/{dataset}/{system}/seed{seed}/04_evaluation.ipynb"
        wildcard_constraints: seed=r"\d+"
        shell:
            f"{PAPERMILL} -r dataset {{wildcards.dataset}} -r system {{wildcards.system}} -p seed {{wildcards.seed}}"


    rule compare:
        message: "Compare: all systems on {wildcards.dataset} ({wildcards.study})"
        input:
            notebook="notebooks/07_differences.ipynb",
            settings=settings,
            metrics=metrics_on,
            rooms=rooms(*provenance.READERS, "spans", "span_table", "scoring", "statistics", "breakdown", "errors"),
        output: "results/{study}/{dataset}/differences.json"
        params: system=first  # whose sentences are shown
        log: notebook="runs/{study}/{dataset}/07_differences.ipynb"
        shell: f"{PAPERMILL} -r dataset {{wildcards.dataset}} -r system {{params.system}}"


    rule trust:
        message: "Confidence: all systems on {wildcards.dataset} ({wildcards.study})"
        input:
            notebook="notebooks/08_confidence.ipynb",
            settings=settings,
            metrics=metrics_on,
            rooms=rooms(*provenance.READERS, "spans", "statistics", "confidence"),
        output: "results/{study}/{dataset}/confidence.json"
        params: system=first
        log: notebook="runs/{study}/{dataset}/08_confidence.ipynb"
        shell: f"{PAPERMILL} -r dataset {{wildcards.dataset}} -r system {{params.system}}"


    rule probe:
        message: "Probe: do the language models know {wildcards.dataset}? ({wildcards.study})"
        input:
            notebook="notebooks/09_contamination.ipynb",
            settings=settings,
            rooms=rooms(*provenance.READERS, "spans", "perturb", "contamination"),
        output: "results/{study}/{dataset}/contamination.json"
        log: notebook="runs/{study}/{dataset}/09_contamination.ipynb"
        wildcard_constraints: study=PROBED
        threads: lambda _: workflow.cores
        resources: **JOB
        shell: f"HF_HUB_OFFLINE=1 {PAPERMILL} -r dataset {{wildcards.dataset}}"


    use rule probe as probe_nobody with:
        message: "Probe: study {wildcards.study} has no language model"
        wildcard_constraints: study=f"(?!({PROBED})/)[^/]+"
        threads: 1


onsuccess:
    print(f"The thesis of study {STUDY}: {PDF}")
