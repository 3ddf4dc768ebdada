# STUDY is a name in params/studies; OVERRIDES are "[system:]key=value ...", see params/README.md; PROFILE is
# a folder of profiles, see docs/cluster.md.
STUDY ?= demo
OVERRIDES ?=
export PROFILE ?= local
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export TOKENIZERS_PARALLELISM := false
export HF_HUB_DISABLE_TELEMETRY := 1
# Through the environment, so that no quotation mark in them ends an argument of the shell.
export STUDY OVERRIDES SYSTEM SEED
# Threads that wait for each other sleep: on a busy machine, training is several times as fast as with spinning.
export OMP_WAIT_POLICY ?= passive
# Memory in pages of 2 MB, which glibc asks for only if told before a process starts: bench/log.md.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1
BATCH = @NER_BATCH=$$PPID scripts/batch.sh "$$STUDY" "$$OVERRIDES"
.PHONY: help study tune dry-run fit thesis report model overleaf clean-runs test test-fast bench bench-gpu lab setup

help:           # list these commands
	@sed -nE 's/^([a-z-]+):[^#]*# (.*)/  make \1\t\2/p' Makefile | expand -t 18

study: setup    # train, evaluate and typeset whatever is missing
	$(BATCH)

tune: setup     # search hyperparameters for the systems whose settings are tuned, on dev alone
	@python -m ner_utils.experiments.tuning "$$STUDY" "$$OVERRIDES"

dry-run: setup  # say what `make study` would do, and why
	$(BATCH) --dry-run

fit: setup      # memory, disk and time that it would take, before anything is downloaded
	@python -m ner_utils.experiments.memory.fit "$$STUDY" "$$OVERRIDES"

thesis: setup   # typeset from stored results; never trains
	$(BATCH) --config from_results=1

# With a thread each: two processes that share two cores wait for each other's threads. All tests run three at
# a time, because the test on Slurm and those of notebooks often wait.
TESTS = python -m ner_utils.models.wheels && ruff check . && \
	OMP_NUM_THREADS=1 pytest --dist loadfile --no-loadscope-reorder

test:           # all tests
	@scripts/setup.sh test && $(TESTS) -n 3

test-fast: setup  # the tests that neither train nor run notebooks, LaTeX or a workflow: two minutes
	@$(TESTS) -n 2 -m "not slow"

ifneq (,$(and $(filter report,$(MAKECMDGOALS)),$(OVERRIDES)))
$(error make report shows a study as its file declares it: give these OVERRIDES a study of their own)
endif
report: thesis  # one HTML page of findings, figures, tables and sentences, for anybody
	@python -m ner_utils.sharing.report "$$STUDY"

model: setup    # a trained model as a folder that transformers loads, with its card: SYSTEM=… SEED=…
	@python -m ner_utils.sharing.model_folder "$$STUDY" "$$SYSTEM" "$${SEED:-1}" $(OPTIONS)

overleaf: thesis  # one zip of the thesis that compiles where there is no kit
	@python -m ner_utils.sharing.overleaf "$$STUDY"

clean-runs: setup  # list what nothing in runs/ needs any more; YES=1 deletes it
	@python -m ner_utils.experiments.clean_runs $(if $(filter 1,$(YES)),--yes)

bench: setup    # speed against plain library calls, side by side; and on a busy machine
	@python bench/bench.py && python bench/score.py && python bench/busy.py

bench-gpu: setup  # the same rows with models of full size and random weights, on the GPU at hand
	@python bench/bench.py --full-size

lab: setup      # explore in JupyterLab
	@jupyter lab notebooks

setup:          # make .venv, and install LaTeX if it is missing
	@scripts/setup.sh
