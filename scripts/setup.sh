#!/usr/bin/env bash
# setup.sh [test]: installs LaTeX and the Python environment on a bare machine, and with `test` what only tests
# need. What is installed already is kept.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p runs

say() { printf '\033[1m[setup]\033[0m %s\n' "$*"; }
fail() { printf '[setup] %s\n' "$*" >&2; exit 1; }

# LaTeX first: without it, nothing else should be downloaded.
if ! { command -v latexmk && command -v biber && command -v pdftocairo && kpsewhich tgtermes.sty; } >/dev/null; then
    packages=$(tr '\n' ' ' <apt.txt)
    command="apt-get update && apt-get install -y --no-install-recommends $packages"
    if ! command -v apt-get >/dev/null; then
        fail "LaTeX is missing, or a part of it (latexmk, biber, the fonts of TeX Gyre, pdftocairo of poppler). Install a TeX distribution that has them (see apt.txt), then run again."
    elif [ "$(id -u)" = 0 ]; then
        run="bash -c"
    elif sudo -n true 2>/dev/null; then
        run="sudo bash -c"
    else
        fail "LaTeX is missing, or a part of it (latexmk, biber, the fonts of TeX Gyre, pdftocairo of poppler), and installing it needs root. Run this, then again: sudo bash -c '$command'"
    fi
    say "installing LaTeX from Debian's packages (apt.txt, about 290 MB): $command"
    DEBIAN_FRONTEND=noninteractive $run "$command" >runs/apt.log 2>&1 ||
        { tail -n 5 runs/apt.log >&2; fail "installing LaTeX failed; the whole log is runs/apt.log"; }
fi

# Two tests run a study on Slurm and open pages in a browser. They need root, and are reported if they are skipped.
if [ "${1:-}" = test ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null &&
    ! { command -v slurmctld && command -v chromedriver; } >/dev/null; then
    packages=$(tr '\n' ' ' <apt-test.txt)
    say "installing Slurm and Chromium for tests from Debian's packages (apt-test.txt, about 125 MB)"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } \
        >runs/apt.log 2>&1 || say "installing them failed (the whole log is runs/apt.log); going on without"
fi

# The stamp is a hash of the pins, so a change of pins installs again.
wanted=$(cat constraints.txt pyproject.toml | sha256sum | cut -d' ' -f1)
if [ "$(cat .venv/.installed 2>/dev/null)" != "$wanted" ]; then
    python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"
    say "making .venv with the versions of constraints.txt"
    [ -x .venv/bin/python ] || "$python" -m venv .venv ||
        fail "python3 -m venv failed; on Debian: apt-get install python3-venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --constraint constraints.txt --editable '.[dev]' || fail "pip could not install the pinned packages"
    echo "$wanted" >.venv/.installed
fi
