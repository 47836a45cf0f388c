# To be sourced: finds a Python that can run intentstream, and a uv, or brings one into .uv of this checkout.
# shellcheck shell=bash

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
    [[ -n $version && $(printf '%s\n' "$2" "$version" | sort -V | head -n 1) == "$2" ]]
}

# Arguments: the Python to make one with, and the oldest version that will do, if not the usual one.
find_uv() {
    local python=$1 oldest=${2:-$OLDEST_UV} candidate
    for candidate in uv .uv/bin/uv; do
        if command -v "$candidate" >/dev/null && new_enough "$candidate" "$oldest"; then
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
