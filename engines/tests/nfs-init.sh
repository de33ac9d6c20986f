#!/bin/sh
# The first process of the virtual machine of nfs.sh. Its arguments are those of the tests.
export PATH=/usr/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
while read -r module; do insmod "/modules/$module" || echo "$module is not loaded"; done < /modules/order
mkdir -p /var/lib/nfs/rpc_pipefs
mount -t rpc_pipefs rpc /var/lib/nfs/rpc_pipefs
mount -t nfsd nfsd /proc/fs/nfsd
ip link set lo up
ln -s /proc/self/mounts /etc/mtab
hostname server
port=$(grep -l tests /sys/class/virtio-ports/*/name | head -n 1)
exec 3> "/dev/$(basename "$(dirname "$port")")"
cd /sluice/tests
PYTHONPATH=/sluice:/sluice/tests python3 -W ignore::ResourceWarning nfs_tests.py "$@" >&3 2>&1
echo "status $?" >&3
sync
poweroff -f
