#!/usr/bin/env bash
# Give the gate a Python with what it needs. Reads INPUT_INSTALL, INPUT_REQUIREMENTS, HARNESS, REPOSITORY;
# sets the output `python`.
set -euo pipefail

options=(--disable-pip-version-check)
case "$INPUT_INSTALL" in
pinned) # an environment of its own, with the versions that were tested together
    python3 -m venv "$RUNNER_TEMP/attention-gate-python"
    python="$RUNNER_TEMP/attention-gate-python/bin/python"
    options+=(--constraint "$HARNESS/constraints.txt" "$HARNESS")
    ;;
missing) # the present Python keeps what it has, its torch above all
    python=$(command -v python3)
    options+=("$HARNESS")
    ;;
none)
    python=$(command -v python3)
    ;;
*)
    echo "::error title=Attention gate::the input 'install' is '$INPUT_INSTALL': expected pinned, missing or none"
    exit 2
    ;;
esac
if [[ -n $INPUT_REQUIREMENTS ]]; then
    options+=(--requirement "$REPOSITORY/$INPUT_REQUIREMENTS")
fi
if ((${#options[@]} > 1)); then
    "$python" -m pip install "${options[@]}"
fi
echo "python=$python" >>"$GITHUB_OUTPUT"
