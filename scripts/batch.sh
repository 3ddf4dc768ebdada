#!/usr/bin/env bash
# batch.sh STUDY OVERRIDES [snakemake arguments]: the workflow, one at a time. PROFILE is a folder of
# profiles/; on a cluster this runs on the node from which jobs are submitted.
set -euo pipefail
cd "$(dirname "$0")/.."
export STUDY=$1 OVERRIDES=$2
shift 2
export NER_BATCH="${NER_BATCH:-} $$"  # what runs for it ends with it, see ner_utils/experiments/notebook.py
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}  # see Makefile; jobs of a cluster inherit it
# The lock dies with its process, whatever kills it; the children must not inherit it. It is this
# machine's: from another login node a study is kept out by its runs' own locks alone.
exec 9>runs/.lock
flock --nonblock 9 || {
    # 1 is flock's word for a lock that another process holds; all else is that of the file system.
    [ $? != 1 ] || { echo "error: another study is running in this folder" >&2; exit 1; }
    echo "warning: runs/.lock: this file system has no locks: nothing keeps out a second study in this folder" >&2
}
run=(snakemake --profile "profiles/${PROFILE:-local}" "$@")
case " $* " in
    # A reason may name each of a hundred files; the first ones say it.
    *" --dry-run "*) "${run[@]}" 2>&1 9>&- | sed -E 's/^(Reason: .{200}).+/\1 …/'; exit ;;
    *" from_results=1 "*) ;;
    *) python -m ner_utils.experiments.preflight "$STUDY" "$OVERRIDES" ;;
esac
"${run[@]}" 9>&-
