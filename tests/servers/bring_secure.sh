#!/usr/bin/env bash
# Brings a Redis and a Postgres that speak TLS, as the embedded ones do not, into .intentstream/debian, from Debian's
# packages and without root. Fails with one sentence where apt cannot download them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly FOLDER=.intentstream/debian

if [[ -e $FOLDER/complete ]]; then
    exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "This is no Debian or Ubuntu: the tests of TLS for Redis and Postgres are left out." >&2
    exit 1
fi
bringing=$(mktemp -d)
trap 'rm -rf "$bringing"' EXIT
chmod 755 "$bringing" # apt downloads as a user of its own
download() {
    local postgres
    postgres=$(apt-cache depends postgresql 2>/dev/null | grep -o -m 1 'postgresql-[0-9]*')
    # redis-tools holds the server's program; two of its libraries are rarely there.
    (cd "$bringing" && apt-get download --quiet=2 "$postgres" redis-tools redis-server liblzf1 libjemalloc2) \
        >/dev/null 2>&1
}
# Where the lists of packages are missing or old, they are fetched, which takes root.
download || { apt-get update --quiet=2 >/dev/null 2>&1 && download; } || {
    echo "apt-get could not download Redis and Postgres: update its lists (apt-get update) and try again." >&2
    exit 1
}
for package in "$bringing"/*.deb; do
    dpkg-deb --extract "$package" "$FOLDER"
done
touch "$FOLDER/complete"
