#!/usr/bin/env bash
# Runs a command as the terminal's own foreground job, so that Ctrl-C reaches it and not the make that called us: make
# would end with an error, although the command stopped in order. Without a terminal there is nothing to arrange.
group_of() { ps -o "$1=" -p $$ 2>/dev/null | tr -d ' '; }

if [[ -t 0 && -n $(group_of pgid) && $(group_of pgid) == $(group_of tpgid) ]]; then
    set -m
    "$@"
    exit
fi
exec "$@"
