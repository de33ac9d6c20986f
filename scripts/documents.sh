#!/usr/bin/env bash
# Runs every code block of the documents. Argument: the path of the program; with --fetch instead, the Python packages that
# some blocks use are fetched from PyPI into .documents/. Blocks whose packages are missing are skipped, and say so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=.documents
packages="zstandard==0.25.0 numpy==2.4.6 pandas==3.1.1 datasets==5.2.0"

command -v python3 > /dev/null || { echo "skipped: code blocks of the documents (there is no python3)"; exit 0; }

# shellcheck disable=SC2086
[[ $1 != --fetch ]] || exec scripts/fetch-python.sh $folder $packages

python=$(command -v python3)
[[ -f $folder/complete ]] && python=$PWD/$folder/bin/python
python3 Tests/DocumentTests/document_tests.py "$1"
exec python3 scripts/documents.py "$@" --python "$python"
