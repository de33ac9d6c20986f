#!/usr/bin/env bash
# All tests: those of the package, and those of examples/custom-stage, a package of its own. Takes the path of the
# release program; the tests of the command run that one, since the real data is large.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export SLUICE_BINARY=$PWD/$1

[[ -d ../shared/data ]] || echo "skipped: tests on real data, since ../shared/data is not there"

swift test "${@:2}"

cd examples/custom-stage
swift test
swift run custom-sluice run example.yaml --force --progress none
