#!/usr/bin/env bash
# Runs all tests: of the package, and of examples/custom-stage, a package of its own. Argument: the path of the release
# program, which the command tests run, since a debug build is slow on the real data.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export SLUICE_BINARY=$PWD/$1

[[ -d ../shared/data ]] || echo "skipped: tests on real data (../shared/data does not exist)"

swift test "${@:2}"

cd examples/custom-stage
swift test
swift run custom-sluice run example.yaml --force --progress none
