#!/usr/bin/env bash
# Fetches Python packages from PyPI into a virtual environment, once. Arguments: its folder, then the packages with their versions.
set -euo pipefail
folder=$1 packages=${*:2}
[[ -f $folder/complete && $(< "$folder/complete") == "$packages" ]] && exit
rm -rf "$folder"
python3 -m venv "$folder"
"$folder/bin/python" -m pip install --quiet "${@:2}"
echo "$packages" > "$folder/complete"
