#!/usr/bin/env bash
# How steady the tests are that start processes: runs them N times (50) beside two busy loops, and says how many were green.
# Output of those that were not stays in a folder that is named at the end. Build the tests first: swift build --build-tests.
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
    echo "run $run of $count: $green green"
done
if ((green == count)); then rmdir "$logs"; else
    echo "the others: $logs"
    exit 1
fi
