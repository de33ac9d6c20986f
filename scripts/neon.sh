#!/usr/bin/env bash
# Runs the vector kernels' NEON path under emulation: every kernel against the portable one, bit for bit, on many shapes; then says whether
# this machine's own paths give the same. It says nothing about speed. Exit status 1 where a bit differs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=()
command -v qemu-aarch64-static > /dev/null || packages+=(qemu-user-static)
[[ -e /usr/aarch64-linux-gnu/lib/libc.a ]] && command -v aarch64-linux-gnu-gcc > /dev/null ||
    packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
((${#packages[@]} == 0)) || {
    echo "This runs programs for another machine, and takes ${packages[*]}:" >&2
    echo "  sudo apt-get install -y --no-install-recommends ${packages[*]}" >&2
    exit 2
}
# The compiler that builds the package: another one might contract what this one may not.
clang=$(command -v clang || true)
[[ -n $clang ]] || clang=$(dirname "$(readlink -f "$(command -v swift)")")/clang

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compile() { "$clang" -O2 -Wall -I Sources/CVectorKernels/include "$@" Tests/NeonHarness/main.c Sources/CVectorKernels/*.c -lm; }
compile -o "$work/native"
compile --target=aarch64-linux-gnu -static -fuse-ld=lld -o "$work/arm"

status=0
# run NAME WANTED COMMAND...: the path WANTED must be the one in use.
run() {
    local name=$1 wanted=$2
    shift 2
    echo "$name"
    "$@" > "$work/log" 2>&1 || status=1
    sed 's/^/  /' "$work/log"
    grep -q "^in use: $wanted;" "$work/log" || { echo "  the path in use is not $wanted" && status=1; }
    cat "$work/log" >> "$work/all"
}
run "Arm with the dot-product extension (Neoverse N1, emulated)" neon qemu-aarch64-static -cpu neoverse-n1 "$work/arm" --needs neon
run "Arm without it (Cortex-A53, emulated)" portable qemu-aarch64-static -cpu cortex-a53 "$work/arm"
run "this machine" '.*' "$work/native"

digests=$(sed -nE 's/.*digest of the results ([0-9a-f]+).*/\1/p' "$work/all" | sort -u | wc -l)
((digests == 1)) || { echo "the results are not the same on all machines" && status=1; }
((status == 0)) && echo "neon: all bits are equal" || echo "neon: FAILED"
exit $status
