#!/usr/bin/env bash
# Installs the locked dependencies into .venv, with the uv of this machine or one brought into .uv of this checkout.
# Arguments go to `uv sync`. Fails with one sentence where there is no Python that can run intentstream.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly UV_VERSION=0.13.9 # brought where there is none
readonly OLDEST_UV=0.5.0   # tool.uv.required-version in pyproject.toml
readonly WANTED="intentstream needs Python 3.11 or 3.12 (or 3.13, with Redis and Postgres of your own)"

fail() {
    echo "$1" >&2
    exit 1
}

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in .venv/bin/python python3.12 python3.11 python3 python python3.13; do
        if command -v "$candidate" >/dev/null && fits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    if command -v python3 >/dev/null; then
        fail "$WANTED, and $(command -v python3) is $(python3 --version 2>&1): install one of those."
    fi
    fail "$WANTED, and there is no python3 in PATH: install one of those."
}

new_enough() {
    local version
    version=$("$1" --version 2>/dev/null | cut -d ' ' -f 2)
    [[ -n $version && $(printf '%s\n' "$OLDEST_UV" "$version" | sort -V | head -n 1) == "$OLDEST_UV" ]]
}

find_uv() {
    local python=$1 candidate
    for candidate in uv .uv/bin/uv; do
        if command -v "$candidate" >/dev/null && new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    echo "Bringing uv $UV_VERSION into .uv" >&2
    "$python" -m venv --clear .uv >/dev/null 2>&1 ||
        fail "$python cannot make virtual environments: install its venv module (python3-venv on Debian and Ubuntu) or uv."
    .uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION" >&2 ||
        fail "pip could not download uv: check the network or pip's index settings, or install uv yourself."
    echo .uv/bin/uv
}

python=$(find_python)
uv=$(find_uv "$python")
quiet=--quiet
[[ -t 2 ]] && quiet= # a person likes to see the downloads
# shellcheck disable=SC2086 # no word is meant where $quiet is empty
UV_PYTHON="$python" UV_PYTHON_DOWNLOADS=never "$uv" sync --frozen $quiet "$@" ||
    fail "uv could not install the locked dependencies: check the network or uv's index settings, then try again."
