#!/usr/bin/env bash
# The long fault tests: every call of every run fails once, hundreds of kills, many damaged work files, and large inputs
# that strain the memory budget. Takes about an hour. SLUICE_FAULT_SEED changes the random moments and places.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export SLUICE_SOAK=1
swift test --filter FaultTests "$@"
SLUICE_BINARY=$PWD/.build/release/sluice swift test --skip-build --filter BudgetShapeTests
