#!/usr/bin/env bash
# What we are made of, and whether anything of it is known to be vulnerable; both from uv.lock, of all that serving and
# its extras install.
#
#   infra/supply_chain.sh sbom FILE    writes a CycloneDX bill of materials
#   infra/supply_chain.sh audit        asks OSV, or the service of its kind that AUDIT_SERVICE_URL names
#
# audit ends with 0 where nothing is known, with 1 where something is, and with 75, saying so, where nobody could be
# asked: that is no good news.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=infra/find_uv.sh
source infra/find_uv.sh

readonly OLDEST_THAT_AUDITS=0.13.0
readonly NOT_AUDITED=75 # EX_TEMPFAIL of sysexits.h

python=$(find_python)
uv=$(find_uv "$python" "$OLDEST_THAT_AUDITS")
export UV_PYTHON="$python" UV_PYTHON_DOWNLOADS=never

write_bill() {
    mkdir -p "$(dirname "$1")"
    "$uv" export --quiet --frozen --no-dev --all-extras --preview-features sbom-export --format cyclonedx1.5 \
        --output-file "$1" >/dev/null
    echo "$1: CycloneDX 1.5"
}

audit() {
    local status=0 said
    said=$("$uv" audit --frozen --no-dev --preview-features audit-command \
        ${AUDIT_SERVICE_URL:+--service-url "$AUDIT_SERVICE_URL"} 2>&1) || status=$?
    echo "$said"
    if ((status > 1)); then
        echo "NOT AUDITED: the service that knows of vulnerabilities could not be asked; nothing is said of any." >&2
        exit "$NOT_AUDITED"
    fi
    exit "$status"
}

case ${1:-} in
sbom) write_bill "${2:?a file to write to}" ;;
audit) audit ;;
*) fail "Say sbom FILE, or audit." ;;
esac
