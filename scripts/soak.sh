#!/usr/bin/env bash
# The long loops: every call of every run fails once, hundreds of kills, many damaged work files, and the large inputs
# that are hard on the memory budget. Takes an hour or so. SLUICE_FAULT_SEED draws other moments and places.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export SLUICE_SOAK=1
swift test --filter FaultTests "$@"
SLUICE_BINARY=$PWD/.build/release/sluice swift test --skip-build --filter BudgetShapeTests
