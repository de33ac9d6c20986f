#!/usr/bin/env bash
# Tests sluice_ray against a Ray cluster of two nodes on loopback. Arguments: tests, such as Tests.test_same_bytes.
# Installs Ray in a virtual environment below .build-engines.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export SLUICE_BINARY=${SLUICE_BINARY:-$PWD/.build/release/sluice}
here=$PWD/engines/tests venv=$PWD/.build-engines/ray
skip() { echo "skipped: tests of Ray: $1"; exit 0; }

[[ -x $SLUICE_BINARY ]] || { echo "engines: there is no $SLUICE_BINARY; \`make build\` makes it" >&2; exit 1; }
# All processes of the cluster die with their namespace, whatever happens, and see no network but their own.
unshare --net --uts --pid --mount-proc --fork --kill-child true 2> /dev/null || skip "only root can make network and process namespaces"
if [[ ! -e $venv/installed ]]; then
    rm -rf "$venv"
    mkdir -p .build-engines
    { python3 -m venv "$venv" && "$venv/bin/pip" install -q 'ray==2.60.0'; } > .build-engines/ray.log 2>&1 ||
        skip "Ray can't be installed: $(tail -n 1 .build-engines/ray.log)"
    touch "$venv/installed"
fi

work=$(mktemp -d /tmp/sluice-ray.XXXXXX)
export ENGINES_WORK=$work PYTHONPATH=$PWD/engines PATH=$venv/bin:$PATH
export RAY_USAGE_STATS_ENABLED=0 RAY_TMPDIR=$work/ray TMPDIR=$work RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$work/token
mkdir "$RAY_TMPDIR"
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH"
unshare --net --uts --pid --mount-proc --fork --kill-child bash -c \
    'ip link set lo up && ip address add 10.99.0.1/24 dev lo && ip address add 10.99.0.2/24 dev lo && hostname localhost && exec python -W ignore::ResourceWarning "$@"' ray-tests "${ENGINES_PROGRAM:-$here/ray_tests.py}" "$@" &
cluster=$!
# The last of its processes may write for a moment after that.
trap 'kill -KILL "$cluster" 2> /dev/null || true; rm -rf "$work" 2> /dev/null || { sleep 2; rm -rf "$work"; }' EXIT
trap 'exit 143' INT TERM
wait "$cluster"
