#!/usr/bin/env bash
# Runs the NEON path of the vector kernels under emulation and compares every kernel with the portable one, bit for bit, on
# many shapes; then compares this machine's own paths. Measures no speed. Exit status 1 if a bit differs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=()
command -v qemu-aarch64-static > /dev/null || packages+=(qemu-user-static)
[[ -e /usr/aarch64-linux-gnu/lib/libc.a ]] && command -v aarch64-linux-gnu-gcc > /dev/null ||
    packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
((${#packages[@]} == 0)) || {
    echo "This emulates another machine and needs ${packages[*]}:" >&2
    echo "  sudo apt-get install -y --no-install-recommends ${packages[*]}" >&2
    exit 2
}
# The compiler that builds the package: another one might contract floating-point operations.
clang=$(command -v clang || true)
[[ -n $clang ]] || clang=$(dirname "$(readlink -f "$(command -v swift)")")/clang

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compile() { "$clang" -O2 -Wall -I Sources/CVectorKernels/include "$@" Tests/NeonHarness/main.c Sources/CVectorKernels/*.c -lm; }
compile -o "$work/native"
compile --target=aarch64-linux-gnu -static -fuse-ld=lld -o "$work/arm"

status=0
# run NAME WANTED COMMAND...: fails unless the kernels use the path WANTED.
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
((digests == 1)) || { echo "the results differ between machines" && status=1; }
((status == 0)) && echo "neon: all bits are equal" || echo "neon: FAILED"
exit $status
