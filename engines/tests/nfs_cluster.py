"""An NFS server and two clients, each with a network, a name and mounts of its own: for the kernel, three machines."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

EXPORT = Path("/export")
# The folder that all nodes see, under the same path.
SHARED = Path("/shared")


def _run(*command):
    found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert found.returncode == 0, f"{' '.join(command)}: {found.stdout}"


class Server:
    """The kernel's server, on an ext4 of its own."""

    # Clients have as many seconds to take their locks back after a restart.
    GRACE = 10

    def __init__(self):
        _run("truncate", "-s", "1G", "/run/disk")
        _run("mke2fs", "-q", "-t", "ext4", "/run/disk")
        EXPORT.mkdir(exist_ok=True)
        _run("mount", "-o", "loop", "/run/disk", str(EXPORT))
        # Here, too, files have the names that nodes have for them.
        SHARED.mkdir(exist_ok=True)
        _run("mount", "--bind", str(EXPORT), str(SHARED))
        for name in ("nfsdcld", "sm", "sm.bak", "v4recovery"):
            Path("/var/lib/nfs", name).mkdir(exist_ok=True)
        for name in ("etab", "rmtab"):
            Path("/var/lib/nfs", name).touch()
        for name in ("nfsv4leasetime", "nfsv4gracetime"):
            Path("/proc/fs/nfsd", name).write_text(f"{self.GRACE}\n")
        Path("/proc/sys/fs/nfs/nlm_grace_period").write_text(f"{self.GRACE}\n")
        for command in (["rpcbind"], ["rpc.statd"], ["nfsdcld"], ["rpc.mountd"]):
            _run(*command)
        Path("/etc/exports").write_text(f"{EXPORT} *(rw,sync,no_root_squash,no_subtree_check,fsid=1)\n")
        _run("exportfs", "-a")
        self.start()

    def start(self):
        _run("rpc.nfsd", "4")

    def stop(self):
        """As if the machine went down: clients wait. What it knew about open files and locks is gone."""
        _run("rpc.nfsd", "0")

    def restart(self):
        self.stop()
        self.start()
        # Tells the clients of version 3 to take their locks back.
        _run("sm-notify", "-f")


class Node:
    """A client: a worker, and processes beside it."""

    def __init__(self, number):
        self.name = "ab"[number - 1]
        self.address, self.server = f"10.99.{number}.2", f"10.99.{number}.1"
        self._worker = subprocess.Popen(
            ["unshare", "--net", "--uts", "--mount", "--ipc", sys.executable, "-u", "nfs_node.py"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self.ask("exists", "/")
        link = f"node-{self.name}"
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(self._worker.pid))
        _run("ip", "address", "add", f"{self.server}/24", "dev", link)
        _run("ip", "link", "set", link, "up")
        # Its own state of locks, and nothing of the server's.
        self.shell(f"""
            hostname {self.name}
            ip link set lo up && ip address add {self.address}/24 dev eth0 && ip link set eth0 up
            umount {SHARED} {EXPORT}
            for folder in /run /var/lib/nfs; do mount -t tmpfs node $folder; done
            mkdir -p /var/lib/nfs/sm /var/lib/nfs/sm.bak /run/sluice
            rpcbind && rpc.statd""")

    def mount(self, options):
        self.shell(f"mount -t nfs -o hard,{options} {self.server}:{EXPORT} {SHARED}")

    def unmount(self):
        self.shell(f"umount {SHARED}")

    def cut(self, is_cut):
        """Takes the node's network away, or gives it back."""
        _run("ip", "link", "set", f"node-{self.name}", "down" if is_cut else "up")

    # Work

    def ask(self, *request):
        """What the worker answers."""
        self._worker.stdin.write(json.dumps(request) + "\n")
        self._worker.stdin.flush()
        line = self._worker.stdout.readline()
        assert line, f"the worker of {self.name} has ended"
        return json.loads(line)

    def start(self, *command, **more):
        """A process on the node."""
        return subprocess.Popen(
            ["nsenter", "-t", str(self._worker.pid), "--net", "--uts", "--mount", "--ipc", "--", *map(str, command)], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)

    def run(self, *command, seconds=300):
        """A process on the node, to its end: status, standard output and standard error."""
        process = self.start(*command)
        out, err = process.communicate(timeout=seconds)
        return process.returncode, out, err

    def shell(self, text):
        status, out, err = self.run("bash", "-ec", text)
        assert status == 0, f"{self.name}: {text}: {out}{err}"
        return out
