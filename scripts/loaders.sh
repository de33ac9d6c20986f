#!/usr/bin/env bash
# Reads what `record: messages` writes with the programs that train on it: `datasets`, chat templates of `transformers`, and
# TRL's own data functions, which need no PyTorch. They come from PyPI into .loaders/, which git ignores (0.6 GB).
# Argument: the path of the program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export SLUICE_BINARY=$PWD/$1

folder=.loaders
packages="datasets==5.2.0 transformers==5.23.0 jinja2==3.1.6"
alone="trl==1.16.0"
python=$folder/bin/python

command -v python3 > /dev/null || { echo "loaders: skipped: there is no python3" >&2; exit 0; }
if [[ ! -f $folder/complete || $(< $folder/complete) != "$packages $alone" ]]; then
    rm -rf $folder
    echo "loaders: installing $packages $alone into $folder/"
    # shellcheck disable=SC2086
    if ! { python3 -m venv $folder && $python -m pip install --quiet $packages \
        && $python -m pip install --quiet --no-deps $alone; }; then
        echo "loaders: skipped: the packages can't be installed" >&2
        rm -rf $folder
        exit 0
    fi
    echo "$packages $alone" > $folder/complete
fi
exec $python -W ignore Tests/LoaderTests/loader_tests.py
