#!/usr/bin/env bash
# The code rules that a text search can check. A line with a good reason to break one states it in a comment with
# `lint:allow`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

faults=0

# ban REASON PATTERN FOLDER...: no Swift file in these folders may match PATTERN.
ban() {
    local reason=$1 pattern=$2 found
    shift 2
    found=$(grep -rnE --include='*.swift' -- "$pattern" "$@" 2> /dev/null | grep -v 'lint:allow' | grep -vE '^[^:]+:[0-9]+: *///?' || true)
    [[ -z $found ]] && return
    printf '%s\n' "$reason:" "$found" "" >&2
    faults=1
}

core=Sources/SluiceCore geometry=Sources/SluiceGeometry io=Sources/SluiceIO engine=Sources/SluiceEngine tokenizer=Sources/SluiceTokenizer
results="$core $geometry $io $engine $tokenizer Plugins"

# Same bytes, anywhere: results must not depend on time, addresses or the system.
# shellcheck disable=SC2086
{
    ban "hashes that differ between processes" '\bHasher\(\)|\.hashValue\b' $results
    ban "random numbers that can't be repeated" 'SystemRandomNumberGenerator|\.random\(|\.shuffled\(\)|\.randomElement\(\)' $results
    ban "the time of day" '\bDate\(\)|\bDate\.now\b|gettimeofday|CLOCK_REALTIME' $results
    ban "Foundation, which is slow and large and rounds differently" '^ *(@[a-zA-Z_]+ +)?((public|package|internal|private|fileprivate) +)?import Foundation' $results
}
ban "a crash in place of an error" '\btry!|\bfatalError\(|\bas! ' Sources Plugins
ban "floating-point functions of the C library, whose last bit differs between versions" '([-=(+*/,] ?|return |Glibc\.)(exp|log|log2|pow|sin|cos|tan|tanh|cbrt)\(' "$geometry" Plugins
ban "unfinished work" '\b(TODO|FIXME|XXX|HACK)\b' Sources Plugins Tests examples

# Allowed dependencies between targets. A plugin's target has the name of its folder.
plugins=$(cd Plugins && printf '%s|' */ | tr -d /)
plugins=${plugins%|}
ours="Sluice[A-Za-z]+|$plugins"
ban "the core imports no other target of the package" "import ($ours)\$" "$core"
ban "the tokenizers import no other target of the package" "import ($ours)\$" "$tokenizer"
ban "the HTTP client imports no other target of the package" "import ($ours)\$" Sources/SluiceHTTP
for plugin in Plugins/*/; do
    ban "a plugin imports only the core, the geometry and the tokenizers" "^ *((public|package|internal) +)?import (Sluice(IO|Engine|Pipeline|Testing|Command)|$plugins)\$" "$plugin"
done
ban "the store imports only the HTTP client and the streams" "import (SluiceCore|SluiceGeometry|SluiceEngine|SluicePipeline|SluiceCommand|$plugins)\$" Sources/SluiceS3
ban "the engine knows neither plugins nor the spelling of definitions" "import (SluicePipeline|CYAML|$plugins)\$" "$engine"
ban "only SluicePipeline imports libyaml" 'import CYAML$' $core "$geometry" "$io" "$engine" Plugins Sources/SluiceCommand Sources/SluiceTesting Sources/sluice

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
echo "lint: all rules hold"
