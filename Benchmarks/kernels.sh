#!/usr/bin/env bash
# Prints the fraction of this machine's limit that each vector kernel reaches, on one core. Takes about a minute.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
clang=$(command -v clang || true)
[[ -n $clang ]] || clang=$(dirname "$(readlink -f "$(command -v swift)")")/clang
program=$(mktemp)
trap 'rm -f "$program"' EXIT
"$clang" -O2 -Wall -I Sources/CVectorKernels/include Benchmarks/kernels/main.c Sources/CVectorKernels/*.c -lm -o "$program"
"$program"
