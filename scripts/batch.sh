#!/usr/bin/env bash
# batch.sh STUDY OVERRIDES [snakemake arguments]: runs the workflow, one at a time. PROFILE is a folder of
# profiles/. On a cluster this runs on the node from which jobs are submitted.
set -euo pipefail
cd "$(dirname "$0")/.."
export STUDY=$1 OVERRIDES=$2
shift 2
export NER_BATCH="${NER_BATCH:-} $$"  # its notebooks end with it, see ner_utils/experiments/workflow/notebook.py
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}  # see Makefile, as for the next; jobs of a cluster inherit both
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
# The lock ends with its process, however that ends; children must not inherit it. It holds on this machine
# alone: against a study on another login node, only the locks of the runs protect.
exec 9>runs/.lock
flock --nonblock 9 || {
    # flock exits with 1 if another process holds the lock, and with another code if the file system has none.
    [ $? != 1 ] || { echo "error: another study is running in this folder" >&2; exit 1; }
    echo "warning: runs/.lock: this file system has no locks: nothing keeps out a second study in this folder" >&2
}
python -m ner_utils.experiments.workflow.batch "$STUDY" "$OVERRIDES" --profile "profiles/${PROFILE:-local}" "$@" 9>&-
