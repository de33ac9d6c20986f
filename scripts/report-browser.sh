#!/usr/bin/env bash
# Opens pages of `sluice report` in headless Chromium, which it installs from Debian's package if it is missing, and checks what a browser makes of them.
# Usage: scripts/report-browser.sh BINARY [FOLDER]; screenshots are left in FOLDER.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binary=$(realpath "$1")
if ! command -v chromium > /dev/null; then
    log=$(mktemp)
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium fonts-dejavu-core; } > "$log" 2>&1 || {
        echo "skipped: chromium can't be installed: $(tail -n 1 "$log")"
        rm "$log"
        exit 0
    }
    rm "$log"
fi
folder=${2:-$(mktemp -d)}
mkdir -p "$folder"
folder=$(realpath "$folder")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The demo data, and records that try to run scripts.
"$binary" run "$root/examples/ltd.yaml" --output "$work/ltd" --progress none 2> "$work/log" || { cat "$work/log"; exit 1; }
python3 - "$work" << 'PYTHON'
import json, sys
attacks = ["</script><img src=x onerror=document.title='broken'>", "\"><svg onload=document.title='broken'>",
           "<script>document.title='broken'</script>", "</style></title><iframe srcdoc='<script>top.document.title=1</script>'>"]
with open(sys.argv[1] + "/hostile.jsonl", "w") as file:
    for i in range(80):
        record = {"text": f"{attacks[i % 4]} number {i // 2} {attacks[(i + 1) % 4]}", "kind": attacks[i % 3], attacks[2]: i}
        file.write(json.dumps(record) + "\n")
    file.write(attacks[0] + "\n")
with open(sys.argv[1] + "/hostile.yaml", "w") as file:
    file.write("""sluice: 1
input: {files: [hostile.jsonl], dedupe: {on: [text]}}
stages:
  - format: {template: "{text}"}
  - embed: {model: lexical, dimensions: 16}
  - coreset: {keep: 5, per: kind}
output: {directory: hostile}
""")
PYTHON
(cd "$work" && "$binary" run hostile.yaml --progress none 2> log || { cat log; exit 1; })
"$binary" report "$work/ltd" --output "$folder/ltd.html"
"$binary" report "$work/hostile" "$work/ltd" --output "$folder/hostile.html"
exec python3 "$root/scripts/report_browser.py" "$folder"
