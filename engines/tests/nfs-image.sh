#!/usr/bin/env bash
# Makes WORK/image.cpio, what the virtual machine of nfs.sh has in memory: programs of this machine and of the packages unpacked in ROOT,
# the libraries that they need, Python, the drivers' code and its tests. Arguments: WORK ROOT SLUICE DATA.
set -euo pipefail
work=$1 root=$2 sluice=$3 data=$4
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
image=$work/image
busybox=$root/bin/busybox
export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu
mkdir -p "$image"/{usr/bin,usr/sbin,usr/lib64,etc,proc,sys,dev,run,tmp,root,var/lib/nfs,var/tmp,mnt,shared,modules,sluice/tests,data}
for name in bin sbin lib lib64; do ln -s "usr/$name" "$image/$name"; done

# Copies a program or library, and the libraries that it needs, each to the folder where the loader looks for it.
copy() {
    cp -L "$1" "$image$2"
    { ldd "$1" || true; } | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-linux[^ ]*\) .*/\1/p' | while read -r library; do
        local folder
        folder=$(dirname "${library#"$root"}")
        mkdir -p "$image$folder"
        [[ -e $image$folder/$(basename "$library") ]] || cp -L "$library" "$image$folder/"
    done
}

mkdir -p "$image/usr/lib/x86_64-linux-gnu"
cp "$busybox" "$image/usr/bin/busybox"
"$busybox" --list | grep -vx busybox | while read -r name; do ln -sf busybox "$image/usr/bin/$name"; done
# In place of the links.
for name in usr/bin/unshare usr/bin/nsenter bin/mount bin/umount bin/bash bin/ip; do
    rm -f "$image/usr/bin/$(basename "$name")"
    copy "$root/$name" /usr/bin/
done
for name in usr/sbin/{rpc.nfsd,rpc.mountd,exportfs,nfsdcld} sbin/{mount.nfs,rpcbind,rpc.statd,sm-notify}; do copy "$root/$name" /usr/sbin/; done
ln -s mount.nfs "$image/usr/sbin/mount.nfs4"
copy "$(command -v mke2fs)" /usr/sbin/
copy "$sluice" /usr/bin/sluice
for name in passwd group netconfig rpc protocols services nsswitch.conf; do cp "/etc/$name" "$image/etc/" 2> /dev/null || true; done
grep -q ^_rpc: "$image/etc/passwd" || echo '_rpc:x:998:65534::/run/rpcbind:/bin/false' >> "$image/etc/passwd"
[[ -e $image/etc/netconfig ]] || cp "$root/etc/netconfig" "$image/etc/"

# Python, without what tests of files don't need.
copy /usr/bin/python3 /usr/bin/
library=$(/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
mkdir -p "$image$library"
tar -C "$library" -cf - --exclude=./test --exclude=./idlelib --exclude=./lib2to3 --exclude=./tkinter --exclude=./ensurepip \
    --exclude=./pydoc_data --exclude=./dist-packages --exclude='./config-*' --exclude=./lib-dynload . | tar -C "$image$library" -xf -
mkdir "$image$library/lib-dynload"
for name in "$library"/lib-dynload/*.so; do copy "$name" "$library/lib-dynload/"; done

# The kernel's modules, in the order in which they are loaded.
version=$(basename "$root"/lib/modules/*)
[[ -e $root/lib/modules/$version/modules.dep ]] || "$busybox" depmod -b "$root" "$version"
for name in virtio_pci virtio_console loop veth nfsd nfsv3 nfsv4; do
    { sed -n "s|^\(.*/$name\.ko\):|\1 |p" "$root/lib/modules/$version/modules.dep" || true; } | tr ' ' '\n' | sed '/^$/d' | "$busybox" tac |
        while read -r path; do
            file=$(basename "$path")
            [[ -e $image/modules/$file ]] || { cp "$root/lib/modules/$version/$path" "$image/modules/"; echo "$file" >> "$image/modules/order"; }
        done
done

# The drivers, the tests, and real records.
cp -r "$here/../sluice_tasks" "$image/sluice/"
cp "$here"/{scene,nfs_tests,nfs_cluster,nfs_node}.py "$image/sluice/tests/"
for file in "$data"/p3-*.jsonl.zst; do
    if [[ -e $file ]] && command -v zstd > /dev/null; then
        { zstd -dcq "$file" 2> /dev/null || true; } | head -n 1250 > "$image/data/$(basename "$file" .zst)"
    fi
done
install -m 755 "$here/nfs-init.sh" "$image/init"
(cd "$image" && find . | "$busybox" cpio -o -H newc > "$work/image.cpio")
rm -rf "$image"
