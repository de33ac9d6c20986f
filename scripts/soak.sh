#!/usr/bin/env bash
# The long fault tests: every call of every run fails once, hundreds of kills, many damaged work files, and large inputs
# that strain the memory budget. SLUICE_FAULT_SEED changes the random moments and places. TEST_BUILD is the folder with
# the release build of the tests; see `make soak`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export SLUICE_SOAK=1
swift test -c release -Xswiftc -enable-testing --scratch-path "$TEST_BUILD" --skip-build \
    --filter 'FaultTests|BudgetShapeTests' "$@"
