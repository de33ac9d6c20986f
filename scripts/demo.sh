#!/usr/bin/env bash
# Runs the quick start and says in three numbers what came of it. Takes the path of the program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
sluice=$1
out=demo-out

echo
"$sluice" run examples/quickstart.yaml --output "$out" --force

# run.json is written one key a line, so a line is enough to find a number in it.
number() { sed -nE "s/^ *\"$1\": ([-0-9.e]+),?\$/\1/p" "$out/run.json" | head -n 1; }
short() { awk -v x="$1" 'BEGIN { printf "%.2f", x }'; }

read_=$(number read) kept=$(number kept) duplicates=$(number duplicate)
radius=$(number largest_radius_of_a_group) factor=$(number largest_factor_of_a_group)
radius=${radius:-$(number radius)} factor=${factor:-$(number factor)}

echo
echo "The results are in $out/:"
echo "  kept.jsonl.zst        the records that stay, byte for byte, in input order (zstd -dc $out/kept.jsonl.zst)"
echo "  ledger.jsonl.zst      for every other record the stage and reason, and the kept record it lost to"
echo "  quarantine.jsonl.zst  the lines that are no good records, with file, line and byte"
echo "  run.json              the whole account, digests and certificates"
echo
awk -v kept="$kept" -v all="$read_" \
    'BEGIN { printf "  %d of %d records stay (%.1f %%), and the account of the others closes\n", kept, all, 100 * kept / all }'
echo "  ${duplicates:-0} exact duplicates were found, each with the record that it repeats"
if [[ -n $radius && -n $factor ]]; then
    echo "  $(short "$radius") is the farthest that a record of a cluster is from a kept one of its cluster, as a distance on the"
    echo "       unit sphere (0 same, 1.41 unrelated); $(short "$factor") times the best possible at most, which is proven, not estimated"
fi
