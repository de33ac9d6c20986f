#!/usr/bin/env bash
# The long loops: every call of every run fails once, hundreds of kills, many damaged work files. Takes an hour or so.
# SLUICE_FAULT_SEED draws other moments and places.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export SLUICE_SOAK=1
swift test --filter FaultTests "$@"
