#!/usr/bin/env bash
# The rules of the code that a text search can check. A line that breaks one for a good reason says so in a comment
# with the words `lint:allow` and the reason.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

faults=0

# ban REASON PATTERN FOLDER...: no Swift file there may match.
ban() {
    local reason=$1 pattern=$2 found
    shift 2
    found=$(grep -rnE --include='*.swift' -- "$pattern" "$@" 2> /dev/null | grep -v 'lint:allow' | grep -vE '^[^:]+:[0-9]+: *///?' || true)
    [[ -z $found ]] && return
    printf '%s\n' "$reason:" "$found" "" >&2
    faults=1
}

core=Sources/SluiceCore geometry=Sources/SluiceGeometry io=Sources/SluiceIO engine=Sources/SluiceEngine
results="$core $geometry $io $engine Plugins"

# Same bytes anywhere: nothing that a result comes from may draw from time, addresses or the system.
# shellcheck disable=SC2086
{
    ban "hashes that differ from process to process" '\bHasher\(\)|\.hashValue\b' $results
    ban "random numbers that nobody can repeat" 'SystemRandomNumberGenerator|\.random\(|\.shuffled\(\)|\.randomElement\(\)' $results
    ban "the time of day" '\bDate\(\)|\bDate\.now\b|gettimeofday|CLOCK_REALTIME' $results
    ban "Foundation, where it is slow, large or rounds otherwise" '^ *(@[a-zA-Z_]+ +)?((public|package|internal|private|fileprivate) +)?import Foundation' $results
}
ban "an end of the program in place of an error" '\btry!|\bfatalError\(|\bas! ' Sources Plugins
ban "floating-point functions of the C library, whose last bit varies" '([-=(+*/,] ?|return |Glibc\.)(exp|log|log2|pow|sin|cos|tan|tanh|cbrt)\(' "$geometry" Plugins
ban "unfinished work" '\b(TODO|FIXME|XXX|HACK)\b' Sources Plugins Tests examples

# Who may know whom.
ours='Sluice[A-Za-z]+|Formatter|Embedder|Clusterer|CoresetSelector|RedundancyFilter'
ban "the core imports nothing of ours" "import ($ours)\$" "$core"
for plugin in Plugins/*/; do
    ban "a plugin imports the core and the geometry alone" "^ *((public|package|internal) +)?import (Sluice(IO|Engine|Pipeline|Testing|Command)|Formatter|Embedder|Clusterer|CoresetSelector|RedundancyFilter)\$" "$plugin"
done
ban "the engine knows no plugin by name, and no definition's spelling" 'import (SluicePipeline|CYAML|Formatter|Embedder|Clusterer|CoresetSelector|RedundancyFilter)$' "$engine"
ban "only SluicePipeline knows libyaml" 'import CYAML$' $core "$geometry" "$io" "$engine" Plugins Sources/SluiceCommand Sources/SluiceTesting Sources/sluice

placeholders=$(find Sources Plugins Tests examples -name '*laceholder*' -not -path '*/.build/*')
if [[ -n $placeholders ]]; then
    printf '%s\n' "placeholders:" "$placeholders" >&2
    faults=1
fi

if command -v swift-format > /dev/null || swift format --version > /dev/null 2>&1; then
    count=$(swift format lint --recursive --parallel Package.swift Sources Plugins Tests 2>&1 | grep -c 'warning:' || true)
    [[ $count -gt 0 ]] && echo "swift format would change $count places; \`make format\` does it" >&2
fi

((faults == 0)) || { echo "make lint: the rules above are broken (CONTRIBUTING.md)" >&2; exit 1; }
echo "lint: no rule is broken"
