#!/usr/bin/env bash
# Fuzzes each reader for FUZZ_SECONDS (60) with libFuzzer and the address sanitizer, from the seeds in Fuzz/corpus.
# Inputs that crash are saved in Fuzz/crashes, new useful inputs in .build-fuzz/corpus.
#   scripts/fuzz.sh [TARGET ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${FUZZ_SECONDS:-60}
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(lines json streams definition workfiles models)

echo "building the fuzzing program"
SLUICE_EXTRAS=1 swift build -c release --product fuzz --scratch-path .build-fuzz \
    -Xswiftc -sanitize=fuzzer,address -Xswiftc -parse-as-library -Xswiftc -enable-testing -Xswiftc -use-ld=lld \
    -Xcc -fsanitize=fuzzer-no-link,address -Xlinker -u -Xlinker LLVMFuzzerRunDriver

mkdir -p Fuzz/crashes
status=0
for target in "${targets[@]}"; do
    mkdir -p ".build-fuzz/corpus/$target"
    log=.build-fuzz/$target.log
    if SLUICE_FUZZ_TARGET=$target ASAN_OPTIONS=detect_leaks=0 .build-fuzz/release/fuzz \
        ".build-fuzz/corpus/$target" "Fuzz/corpus/$target" -artifact_prefix="Fuzz/crashes/$target-" \
        -max_total_time="$seconds" -max_len=8192 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1; then
        echo "$target: no crash in $(grep -oE 'number_of_executed_units: *[0-9]+' "$log" | grep -oE '[0-9]+$') inputs"
    else
        status=1
        echo "$target: FAILED; the input is in Fuzz/crashes, the output in $log"
        grep -E 'Fatal error|ERROR|SUMMARY' "$log" | head -5
    fi
done
exit $status
