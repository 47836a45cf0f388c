#!/usr/bin/env bash
# Installs the locked dependencies into .venv, with the uv of this machine or one brought into .uv of this checkout.
# Arguments go to `uv sync`. Fails with one sentence where there is no Python that can run intentstream.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=infra/find_uv.sh
source infra/find_uv.sh

python=$(find_python)
uv=$(find_uv "$python")
quiet=--quiet
[[ -t 2 ]] && quiet= # a person likes to see the downloads
# shellcheck disable=SC2086 # no word is meant where $quiet is empty
UV_PYTHON="$python" UV_PYTHON_DOWNLOADS=never "$uv" sync --frozen $quiet "$@" ||
    fail "uv could not install the locked dependencies: check the network or uv's index settings, then try again."
