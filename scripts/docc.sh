#!/usr/bin/env bash
# Makes the library's documentation with the toolchain's docc: .build/SluiceKit.doccarchive. A link to nothing, or any other
# warning, is an error, but not a parameter that its name explains.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tool=$(command -v docc || echo "$(dirname "$(readlink -f "$(command -v swift)")")/docc")
[[ -x $tool ]] || { echo "skipped: the library's documentation (the toolchain has no docc)"; exit 0; }

modules="SluiceKit SluiceCore SluicePipeline SluiceEngine SluiceTesting SluiceCommand $(cd Plugins && printf '%s ' */ | tr -d /)"
archive=.build/SluiceKit.doccarchive
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# This fails for modules in C, which nobody needs here; so the files that it leaves tell.
graphs=$(swift build --show-bin-path)/../symbolgraph
rm -rf "$graphs"
swift package dump-symbol-graph --minimum-access-level public --skip-synthesized-members > "$work/symbols.log" 2>&1 || true
mkdir "$work/graphs"
for module in $modules; do
    cp "$graphs/$module.symbols.json" "$work/graphs" || { tail -n 30 "$work/symbols.log" >&2; exit 1; }
    find "$graphs" -name "$module@*.symbols.json" -exec cp {} "$work/graphs" \;
done

"$tool" convert Sources/SluiceKit/SluiceKit.docc --additional-symbol-graph-dir "$work/graphs" --output-dir "$archive" \
    --fallback-display-name SluiceKit --fallback-bundle-identifier SluiceKit > "$work/docc.log" 2>&1 \
    || { cat "$work/docc.log" >&2; exit 1; }
if grep -E '(warning|error): ' "$work/docc.log" | grep -v "is missing documentation" >&2; then
    echo "make docc: the warnings above are errors" >&2
    exit 1
fi
echo "$archive is done; python3 -m http.server -d $archive shows it at /documentation/sluicekit"
