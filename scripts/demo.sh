#!/usr/bin/env bash
# Runs the quick start and sums up its result in three numbers. Argument: the path of the program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
sluice=$1
out=demo-out

echo
"$sluice" run examples/quickstart.yaml --output "$out" --force

# run.json has one key per line, so a search by line finds a number.
number() { sed -nE "s/^ *\"$1\": ([-0-9.e]+),?\$/\1/p" "$out/run.json" | head -n 1; }
short() { awk -v x="$1" 'BEGIN { printf "%.2f", x }'; }

read_=$(number read) kept=$(number kept) duplicates=$(number duplicate)
radius=$(number largest_radius_of_a_group) factor=$(number largest_factor_of_a_group)
radius=${radius:-$(number radius)} factor=${factor:-$(number factor)}

echo
echo "The results are in $out/:"
echo "  kept.jsonl.zst        kept records, byte for byte, in input order (zstd -dc $out/kept.jsonl.zst)"
echo "  ledger.jsonl.zst      each dropped record with its stage, its reason and the record it lost to"
echo "  quarantine.jsonl.zst  malformed lines with file, line and byte"
echo "  run.json              counts, digests and certificates"
echo
awk -v kept="$kept" -v all="$read_" \
    'BEGIN { printf "  %d of %d records are kept (%.1f %%); the ledger and the quarantine list all others\n", kept, all, 100 * kept / all }'
echo "  ${duplicates:-0} exact duplicates were dropped; the ledger names the original of each"
if [[ -n $radius && -n $factor ]]; then
    echo "  $(short "$radius") is the largest distance from a record to the nearest kept record of its cluster"
    echo "       (chord distance: 0 same, 1.41 unrelated); it is proven to be at most"
    echo "       $(short "$factor") times the best possible"
fi
