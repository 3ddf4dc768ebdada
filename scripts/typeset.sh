#!/usr/bin/env bash
# typeset.sh STUDY PDF: typesets one study. Undefined references and citations, unknown results and false claims
# (thesis/style.sty) are errors.
set -euo pipefail
study=$1 pdf=$(realpath -m "$2")
cd "$(dirname "$0")/.."
python -m ner_utils.sealed "thesis/generated/$study/digests.json"  # files edited by hand are refused
cd thesis
build=build/$study
mkdir -p "$build/chapters" "$build/discussions"
trap 'rm -f "$pdf.partial"' EXIT
if ! latexmk -pdf -interaction=nonstopmode -halt-on-error -file-line-error -jobname=thesis \
    -usepretex="\\def\\study{$study}" -output-directory="$build" thesis.tex >"$build/latexmk.log" 2>&1; then
    grep -E '^(!|.+:[0-9]+: |Latexmk: )' "$build/latexmk.log" | head -n 12 >&2 || true
    echo "error: LaTeX failed; the whole log is thesis/$build/latexmk.log" >&2
    exit 1
fi
# latexmk accepts these; a thesis must not have them.
if grep -E "(Reference|Citation) .* undefined|There were undefined" "$build/thesis.log" >&2; then
    echo "error: undefined references in thesis/$build/thesis.log" >&2
    exit 1
fi
cp "$build/thesis.pdf" "$pdf.partial"
mv "$pdf.partial" "$pdf"
