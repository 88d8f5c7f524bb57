#!/usr/bin/env bash
# Name pip's cache after what decides its content. Reads HARNESS; sets the output `key`.
set -euo pipefail

version=$(python3 -c 'import sys; print("{}.{}".format(*sys.version_info))')
pins=$(sha256sum <"$HARNESS/constraints.txt" | cut -c1-16)
echo "key=attention-gate-pip-$RUNNER_OS-$RUNNER_ARCH-$version-$pins" >>"$GITHUB_OUTPUT"
