#!/usr/bin/env bash
# build.sh [x86_64|arm64...]: the wheel that is a whole installation: `durabled` as a static
# binary, `durablectl`, and the Python client. Without a name, for this machine.
#
# The wheels are in build/dist. The binary runs on any Linux, with or without glibc, hence
# both families of tags.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
work=$root/build/wheel

case $(uname -m) in aarch64 | arm64) own=arm64 ;; *) own=x86_64 ;; esac
[ $# -gt 0 ] || set -- "$own"

export SOURCE_DATE_EPOCH=1700000000
mkdir -p "$work" build/dist
# The version of the backend stands in the wheel.
echo 'hatchling==1.33.0' >"$work/constraints.txt"

for arch in "$@"; do
    case $arch in
        x86_64) machine=x86_64 ;;
        arm64) machine=aarch64 ;;
        *) echo "usage: build.sh [x86_64|arm64...]" >&2 && exit 2 ;;
    esac
    cmake --workflow --preset "static-$arch" >"$work/$arch.log" 2>&1 ||
        { tail -n 40 "$work/$arch.log" >&2 && exit 1; }
    [ -x "$work/venv/bin/pip" ] || /usr/bin/python3 -m venv "$work/venv"
    rm -rf "${work:?}/$arch" "$work/programs"
    mkdir "$work/programs"
    cp "build/static-$arch/bin/durabled" deploy/wheel/durablectl "$work/programs/"
    PIP_CONSTRAINT=$work/constraints.txt \
        DURABLED_WHEEL_BIN=$work/programs \
        DURABLED_WHEEL_LICENCES=$root/build/static/$arch/licences \
        DURABLED_WHEEL_TAG=py3-none-manylinux_2_17_$machine.manylinux2014_$machine.musllinux_1_1_$machine \
        "$work/venv/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --no-cache-dir \
        --wheel-dir "$work/$arch" ./client/python
    rm -f build/dist/durabled-*"_$machine.whl"
    mv "$work/$arch"/*.whl build/dist/
done
ls -l build/dist/*.whl
