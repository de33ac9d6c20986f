#!/usr/bin/env bash
# Tests what runs on several nodes rely on against NFS: a server and two clients. Arguments: tests, such as Tests.test_same_bytes.
# The kernel of this machine need not know NFS: all of it runs in a virtual machine, in memory, from Debian's packages, which are
# unpacked below .build-engines. ENGINES_TCG=1 emulates the processor, as where there is no /dev/kvm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
sluice=${SLUICE_BINARY:-$PWD/.build/release/sluice}
here=$PWD/engines/tests build=$PWD/.build-engines/nfs data=$PWD/../shared/data
skip() { echo "skipped: tests of NFS: $1"; exit 0; }

[[ -x $sluice ]] || { echo "engines: there is no $sluice; \`make build\` makes it" >&2; exit 1; }
[[ $(uname -m) == x86_64 ]] || skip "the virtual machine is one for x86-64"
[[ -x /usr/bin/python3 ]] || skip "there is no /usr/bin/python3 to copy into the virtual machine"
export PATH=$PATH:/usr/sbin
mkdir -p "$build"

# Programs

if ! command -v qemu-system-x86_64 > /dev/null || ! command -v mke2fs > /dev/null; then
    command -v apt-get > /dev/null || skip "there is no qemu-system-x86_64, and no apt-get to install it"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends qemu-system-x86 e2fsprogs; } \
        > "$build/install.log" 2>&1 || skip "qemu-system-x86 can't be installed: $(tail -n 1 "$build/install.log")"
fi
fetch() {
    local kernel
    apt-cache show linux-image-cloud-amd64 > /dev/null || apt-get update || return 1
    kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p' | head -n 1)
    [[ -n $kernel ]] || { echo "there is no linux-image-cloud-amd64"; return 1; }
    (cd "$build/packages" && apt-get download "$kernel" busybox-static bash iproute2 util-linux mount libmount1 libblkid1 \
        nfs-kernel-server nfs-common rpcbind libnfsidmap1 libwrap0 libtirpc3 libtirpc-common libevent-core-2.1-7 libsqlite3-0 \
        libkeyutils1 libdevmapper1.02.1 libbpf1 libelf1 libmnl0 libxtables12) || return 1
    for package in "$build"/packages/*.deb; do dpkg -x "$package" "$build/root" || return 1; done
}
if [[ ! -e $build/fetched ]]; then
    rm -rf "$build/packages" "$build/root"
    mkdir -p "$build/packages" "$build/root"
    fetch > "$build/fetch.log" 2>&1 || skip "Debian's packages can't be fetched: $(tail -n 1 "$build/fetch.log")"
    touch "$build/fetched"
fi

# The virtual machine's file system

work=$(mktemp -d /tmp/sluice-nfs.XXXXXX)
machine=
trap '[[ -z $machine ]] || kill "$machine" 2> /dev/null || true; rm -rf "$work"' EXIT
trap 'exit 143' INT TERM
"$here/nfs-image.sh" "$work" "$build/root" "$sluice" "$data" > "$build/image.log" 2>&1 ||
    { cat "$build/image.log" >&2; echo "engines: the virtual machine can't be made" >&2; exit 1; }

# The virtual machine

# Some machines have a /dev/kvm that runs no real kernel: such a one lacks instructions that each processor has had for years.
has_kvm() {
    [[ -z ${ENGINES_TCG:-} && -w /dev/kvm ]] && echo quit | timeout 10 qemu-system-x86_64 -accel kvm -cpu Nehalem,enforce \
        -machine q35 -S -nodefaults -display none -monitor stdio > /dev/null 2>&1
}
processor=(-accel tcg,thread=multi -cpu max)
if has_kvm; then processor=(-accel kvm -cpu host); fi
timeout --foreground "${ENGINES_SECONDS:-2400}" qemu-system-x86_64 "${processor[@]}" -machine q35 -smp 2 -m 3072 \
    -nodefaults -no-reboot -display none -kernel "$(echo "$build"/root/boot/vmlinuz-*)" -initrd "$work/image.cpio" \
    -append "console=ttyS0 quiet panic=-1 -- $*" -serial "file:$work/console" -device virtio-serial \
    -chardev "file,id=tests,path=$work/said" -device virtserialport,chardev=tests,name=tests &
machine=$!
touch "$work/said"
tail -n +1 -F --pid="$machine" "$work/said" 2> /dev/null | sed -u '/^status [0-9]*$/d' &
shown=$!
wait "$machine" || true
machine=
wait "$shown" || true
status=$(sed -n 's/^status \([0-9]*\)$/\1/p' "$work/said")
if [[ -z $status ]]; then
    tail -n 50 "$work/console" >&2
    echo "engines: the virtual machine ended before the tests" >&2
fi
exit "${status:-1}"
