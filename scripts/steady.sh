#!/usr/bin/env bash
# Checks that the process tests are not flaky: runs them N (50) times, JOBS (1) runs at a time, next to two busy loops,
# and counts the passes. Output of failed runs stays in a folder whose name is printed at the end.
# TEST_BUILD is the folder with the release build of the tests; see `make steady`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
count=${1:-50}
filter=${2:-'CommandTests|FaultTests'}
jobs=${JOBS:-1}
logs=$(mktemp -d "${TMPDIR:-/tmp}/sluice-steady-XXXXXX")

busy=()
for _ in 1 2; do
    while :; do :; done &
    busy+=($!)
done
trap 'kill "${busy[@]}" 2>/dev/null' EXIT

# Not by `swift test`, whose lock lets only one run at a time proceed.
tests=$TEST_BUILD/release/SluicePackageTests.xctest
# once NUMBER: one run; leaves NUMBER.green or the output in NUMBER.log.
once() {
    if "$tests" --testing-library swift-testing --filter "$filter" >"$logs/$1.log" 2>&1; then
        mv "$logs/$1.log" "$logs/$1.green"
    fi
    echo "run $1 of $count ended; $(find "$logs" -name '*.green' | wc -l) passed so far"
}

for ((run = 1; run <= count; run++)); do
    # The busy loops are jobs, too.
    while (($(jobs -rp | wc -l) >= jobs + ${#busy[@]})); do wait -n; done
    once "$run" &
    [[ $run -lt 2 ]] && workers=()
    workers+=($!)
done
wait "${workers[@]}"

green=$(find "$logs" -name '*.green' | wc -l)
echo "$green of $count runs passed"
if ((green == count)); then rm -r "$logs"; else
    echo "failed runs: $logs"
    exit 1
fi
