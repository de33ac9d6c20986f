#!/usr/bin/env bash
# Writes docs/reference from what the program says of itself. Arguments: the path of the program; with --check nothing is
# written, and a difference is an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
sluice=$1
export COLUMNS=80

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

"$sluice" stages --markdown > "$made/stages.md"

{
    printf '# Commands\n\nThe help of each command, as `sluice help NAME` prints it.\n'
    commands=$("$sluice" help | sed -n '/^SUBCOMMANDS:/,$p' | sed -nE 's/^  ([a-z]+)( .*)?$/\1/p')
    for command in $commands; do
        printf '\n## `sluice %s`\n\n```text\n%s\n```\n' "$command" "$("$sluice" help "$command")"
    done
} > "$made/commands.md"

if [[ ${2-} == --check ]]; then
    diff -ru docs/reference "$made" >&2 && exit
    echo "docs/reference is not what the program says of itself; \`make docs\` writes it" >&2
    exit 1
fi
mkdir -p docs/reference
cp "$made"/*.md docs/reference/
