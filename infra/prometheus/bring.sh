#!/usr/bin/env bash
# Brings Prometheus and promtool into .intentstream/prometheus, from Debian's package and without root, unless this
# machine has them. Fails with one sentence where apt cannot download it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly FOLDER=.intentstream/prometheus

has_both() {
    command -v prometheus >/dev/null && command -v promtool >/dev/null
}

if has_both || PATH="$FOLDER/usr/bin" has_both; then
    exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "This is no Debian or Ubuntu: install Prometheus yourself, so that promtool is in PATH." >&2
    exit 1
fi
mkdir -p "$FOLDER"
bringing=$(mktemp -d)
trap 'rm -rf "$bringing"' EXIT
chmod 755 "$bringing" # apt downloads as a user of its own
download() {
    (cd "$bringing" && apt-get download --quiet=2 prometheus) >/dev/null 2>&1
}
# Where the lists of packages are missing or old, they are fetched, which takes root.
download || { apt-get update --quiet=2 >/dev/null 2>&1 && download; } || {
    echo "apt-get could not download the package prometheus: update its lists (apt-get update) and try again." >&2
    exit 1
}
dpkg-deb --extract "$bringing"/prometheus_*.deb "$FOLDER"
