#!/bin/sh
# Set up an aarch64 userland like that of Raspberry Pi OS (Bookworm), run by qemu's user-mode emulation: Debian's Python
# 3.11, the aarch64 wheels that a lander needs, and this checkout's wheel. No mounts, no binfmt_misc.
# Prints the path of a script that is the guest's Python. Run from the repository's root.
#   sh arm_userland.sh BUILDER FOLDER     BUILDER has pip and setuptools; MIRROR=URL names another Debian archive
set -eu
builder=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
pip="-m pip --disable-pip-version-check -q"

for program in qemu-aarch64-static mmdebstrap; do
    command -v $program > /dev/null || {
        echo "$program is missing: apt-get install qemu-user-static mmdebstrap debian-archive-keyring" >&2
        exit 1
    }
done

if [ ! "$folder/ready" -nt "$0" ]; then
    echo "setting up $folder" >&2
    rm -rf "$folder/system" "$folder/packages" "$folder/ready"
    # Debian's packages are unpacked but not configured, so that no program of the guest has to run.
    mmdebstrap --quiet --variant=extract --architectures=arm64 --include=python3.11,libstdc++6 \
        bookworm "$folder/system" "${MIRROR:-http://deb.debian.org/debian}" >&2
    # By name, not as the `edge` extra: pip reads its markers for the Python that runs pip, not for the guest's.
    "$builder" $pip install --no-compile --only-binary :all: --implementation cp --python-version 3.11 \
        --abi cp311 --abi abi3 --abi none --platform manylinux_2_34_aarch64 --platform manylinux_2_28_aarch64 \
        --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 --target "$folder/packages" \
        'numpy<2' 'tflite-runtime==2.14.0' 'pymseed>=1.0.1' >&2
    cat > "$folder/python" <<GUEST
#!/bin/sh
unset PYTHONHOME
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$folder/edgequake:$folder/packages"
exec qemu-aarch64-static -L "$folder/system" "$folder/system/usr/bin/python3.11" "\$@"
GUEST
    chmod +x "$folder/python"
    touch "$folder/ready"
fi

rm -rf build "$folder/wheel" "$folder/edgequake"
"$builder" $pip wheel --no-deps --no-build-isolation --wheel-dir "$folder/wheel" . >&2
"$builder" $pip install --no-deps --no-compile --target "$folder/edgequake" "$folder"/wheel/edgequake-*.whl >&2
echo "$folder/python"
