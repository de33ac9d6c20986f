#!/usr/bin/env bash
# Tests sluice_slurm against Slurm: a controller and two nodes on loopback. Arguments: tests, such as Tests.test_same_bytes.
# Installs Debian's packages of Slurm and MUNGE if they are missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export SLUICE_BINARY=${SLUICE_BINARY:-$PWD/.build/release/sluice}
here=$PWD/engines/tests
skip() { echo "skipped: tests of Slurm: $1"; exit 0; }

[[ -x $SLUICE_BINARY ]] || { echo "engines: there is no $SLUICE_BINARY; \`make build\` makes it" >&2; exit 1; }
# All processes of the cluster die with their namespace, whatever happens, and see no network but their own.
unshare --net --uts --pid --mount-proc --fork --kill-child true 2> /dev/null || skip "only root can make network and process namespaces"
export PATH=$PATH:/usr/sbin
if ! { command -v slurmctld && command -v slurmd && command -v munged; } > /dev/null; then
    command -v apt-get > /dev/null || skip "there is no slurmctld, and no apt-get to install it"
    mkdir -p .build-engines
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends slurm-wlm munge; } \
        > .build-engines/slurm.log 2>&1 || skip "slurm-wlm and munge can't be installed: $(tail -n 1 .build-engines/slurm.log)"
fi

work=$(mktemp -d /tmp/sluice-slurm.XXXXXX)
chmod 755 "$work"
export ENGINES_WORK=$work PYTHONPATH=$PWD/engines TMPDIR=$work SLURM_CONF=$work/slurm.conf
unshare --net --uts --pid --mount-proc --fork --kill-child bash -c \
    'ip link set lo up && ip address add 10.99.0.1/24 dev lo && hostname localhost && exec python3 -W ignore::ResourceWarning "$@"' slurm-tests "${ENGINES_PROGRAM:-$here/slurm_tests.py}" "$@" &
cluster=$!
# The last of its processes may write for a moment after that.
trap 'kill -KILL "$cluster" 2> /dev/null || true; rm -rf "$work" 2> /dev/null || { sleep 2; rm -rf "$work"; }' EXIT
trap 'exit 143' INT TERM
wait "$cluster"
