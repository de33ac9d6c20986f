#!/usr/bin/env bash
# Checks that the process tests are not flaky: runs them N (50) times next to two busy loops and counts the passes.
# Output of failed runs stays in a folder whose name is printed at the end. Build first: swift build --build-tests.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
count=${1:-50}
filter=${2:-'CommandTests|FaultTests'}
logs=$(mktemp -d "${TMPDIR:-/tmp}/sluice-steady-XXXXXX")

busy=()
for _ in 1 2; do
    while :; do :; done &
    busy+=($!)
done
trap 'kill "${busy[@]}" 2>/dev/null' EXIT

green=0
for ((run = 1; run <= count; run++)); do
    if swift test --skip-build --filter "$filter" >"$logs/$run.log" 2>&1; then
        green=$((green + 1))
        rm "$logs/$run.log"
    fi
    echo "run $run of $count: $green passed"
done
if ((green == count)); then rmdir "$logs"; else
    echo "failed runs: $logs"
    exit 1
fi
