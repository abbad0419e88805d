#!/bin/sh
# Two environments like that of a lander. Run from the repository's root.
#   sh lander_environments.sh prepare PYTHON           make those that are missing, with the requirements of the wheel
#   sh lander_environments.sh install BUILDER PYTHON   install today's wheel in both, built by BUILDER (which has
#       setuptools), and print NAME=INTERPRETER or NAME=REASON, joined by ';', for EDGEQUAKE_LANDER_PYTHONS
# `prepare` needs no other environment, so that it can run while another one is set up.
set -eu
pip="-m pip --disable-pip-version-check -q"
mode=$1
shift

# tflite-runtime has no wheels beyond Python 3.11: look for one that it can use.
find_tflite_python() {
    for candidate in "$1" python3.11 python3.10; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 12))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

# make_environment FOLDER PYTHON EXTRA REQUIREMENT...: only if pyproject.toml is newer than FOLDER
make_environment() {
    folder=$1 interpreter=$2 extra=$3
    shift 3
    [ ! "$folder/ready" -nt pyproject.toml ] || return 0
    echo "setting up $folder" >&2
    rm -rf "$folder"
    "$interpreter" -m venv "$folder"
    mkdir "$folder/source"  # a copy: another environment may be building here at the same time
    cp -r pyproject.toml README.md LICENSE CITATION.cff docs examples src edge train convert export_c scan serve benchmarks "$folder/source"
    "$folder/bin/python" $pip wheel --no-deps --wheel-dir "$folder/wheel" "$folder/source" >&2
    rm -rf "$folder/source"
    "$folder/bin/python" $pip install "$(ls "$PWD/$folder"/wheel/edgequake-*.whl)$extra" "$@" >&2
    touch "$folder/ready"
}

if [ "$mode" = prepare ]; then
    tflite_python=$(find_tflite_python "$1")
    [ -z "$tflite_python" ] || make_environment .env-lander-tflite "$tflite_python" "[edge]"
    make_environment .env-lander-litert "$1" "" "ai-edge-litert>=2.1" "numpy>=2"
    exit
fi

rm -rf build .wheel
"$1" $pip wheel --no-deps --no-build-isolation --wheel-dir .wheel . >&2
tflite="no Python 3.10 or 3.11 here, and tflite-runtime has no wheel for a newer one"
[ -z "$(find_tflite_python "$2")" ] || tflite="$PWD/.env-lander-tflite/bin/python"
for folder in .env-lander-tflite .env-lander-litert; do
    [ ! -d "$folder" ] || "$folder/bin/python" $pip install --no-deps --force-reinstall "$PWD"/.wheel/edgequake-*.whl >&2
done
echo "tflite-runtime=$tflite;ai-edge-litert=$PWD/.env-lander-litert/bin/python"
