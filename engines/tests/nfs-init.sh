#!/bin/sh
# The first process of the virtual machine of nfs.sh. Its arguments are those of the tests.
export PATH=/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
while read -r module; do insmod "/modules/$module" || echo "$module is not loaded"; done < /modules/order
mount -t rpc_pipefs rpc /var/lib/nfs/rpc_pipefs 2> /dev/null
mount -t nfsd nfsd /proc/fs/nfsd
ip link set lo up
hostname server
port=$(grep -l tests /sys/class/virtio-ports/*/name | head -n 1)
port=/dev/$(basename "$(dirname "$port")")
cd /sluice/tests
PYTHONPATH=/sluice:/sluice/tests python3 -W ignore::ResourceWarning nfs_tests.py "$@" > "$port" 2>&1
echo "status $?" > "$port"
sync
poweroff -f
