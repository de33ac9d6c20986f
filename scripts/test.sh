#!/usr/bin/env bash
# Runs all tests: of the package, and of examples/custom-stage, a package of its own. Argument: the path of the release
# program, which the command tests run, since a debug build is slow on the real data.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export SLUICE_BINARY=$PWD/$1

[[ -d ../shared/data ]] || echo "skipped: tests on real data (../shared/data does not exist)"

swift test "${@:2}"

scripts/reference.sh "$1" --check
scripts/documents.sh "$1"
scripts/s3.sh "$1"

echo "compiling what the long targets use"
SLUICE_EXTRAS=1 swift build --target fuzz
SLUICE_EXTRAS=1 swift build --target geometry-bench
clang=$(command -v clang || echo "$(dirname "$(readlink -f "$(command -v swift)")")/clang")
"$clang" -Wall -Werror -fsyntax-only -I Sources/CVectorKernels/include Benchmarks/kernels/main.c Tests/NeonHarness/main.c

cd examples/custom-stage
swift test
swift run custom-sluice run example.yaml --force --progress none
rm -rf ten-lines-out
swift run ten-lines
