#!/bin/sh
# Build two environments as a lander would have them, install the wheel in both, and print what became of them:
# NAME=INTERPRETER or NAME=WHY NOT, joined by ';', for EDGEQUAKE_LANDER_PYTHONS. Run from the repository's root.
#   sh lander_environments.sh BUILDER PYTHON     BUILDER has setuptools, PYTHON makes the environments
set -eu
builder=$1
python=$2
pip="-m pip --disable-pip-version-check -q"

rm -rf build .wheel
$builder $pip wheel --no-deps --no-build-isolation --wheel-dir .wheel . >&2
wheel=$(ls "$PWD"/.wheel/edgequake-*.whl)

# environment FOLDER PYTHON REQUIREMENT...: make it once, then give it today's wheel
environment() {
    folder=$1 interpreter=$2
    shift 2
    if [ ! "$folder/ready" -nt pyproject.toml ]; then
        echo "setting up $folder" >&2
        rm -rf "$folder"
        "$interpreter" -m venv "$folder"
        "$folder/bin/python" $pip install "$@" >&2
        touch "$folder/ready"
    fi
    "$folder/bin/python" $pip install --no-deps --force-reinstall "$wheel" >&2
}

# tflite-runtime has no wheels beyond Python 3.11: look for one that it can use.
tflite="no Python 3.10 or 3.11 here, and tflite-runtime has no wheel for a newer one"
for candidate in "$python" python3.11 python3.10; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 12))' 2>/dev/null; then
        environment .env-lander-tflite "$candidate" "$wheel[edge]"
        tflite="$PWD/.env-lander-tflite/bin/python"
        break
    fi
done
environment .env-lander-litert "$python" "$wheel" "ai-edge-litert>=2.1" "numpy>=2"

echo "tflite-runtime=$tflite;ai-edge-litert=$PWD/.env-lander-litert/bin/python"
