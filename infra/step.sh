#!/usr/bin/env bash
# Runs one step of a make target: says what runs, and afterwards how long it took.
# Usage: step.sh NAME COMMAND...
set -uo pipefail

name=$1
shift
SECONDS=0
echo "== $name"
"$@"
status=$?
if ((status == 0)); then
    echo "== $name: done in $SECONDS s"
else
    echo "== $name: failed after $SECONDS s" >&2
fi
exit "$status"
