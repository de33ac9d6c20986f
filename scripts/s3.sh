#!/usr/bin/env bash
# Reads inputs from a real S3-compatible server, moto's, through a proxy that checks signatures and makes faults. Argument: the
# path of the program; with --fetch instead, the server is fetched from PyPI into .build-s3/. Without it, a python3 that has
# moto is used; without that the tests are skipped, and say so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=.build-s3
packages="moto[s3,server]==5.2.1 boto3==1.43.11"

# shellcheck disable=SC2086
[[ $1 != --fetch ]] || exec scripts/fetch-python.sh $folder $packages

python=$(command -v python3 || true)
[[ -f $folder/complete ]] && python=$PWD/$folder/bin/python
if [[ -z $python ]] || ! "$python" -c 'import boto3, moto.server' 2> /dev/null; then
    echo "skipped: tests of inputs from an object store (no moto; \`scripts/s3.sh --fetch\` fetches it)"
    exit 0
fi
export SLUICE_BINARY=$PWD/$1
exec "$python" -W ignore Tests/S3Tests/s3_tests.py "${@:2}"
