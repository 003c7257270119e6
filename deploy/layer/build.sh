#!/usr/bin/env bash
# build.sh x86_64|arm64: build/dist/durabled-layer-ARCH.zip, the Lambda layer, of the static
# binary that is built. `cmake --workflow --preset layer-ARCH` runs it.
#
# What is in it, as Lambda lays it below /opt:
#   extensions/durabled             the extension, which Lambda starts; all else is beside it
#   durabled-wrap, bootstrap,       the same program by other names
#   bin/durablectl
#   python/                         the Python client and what it imports, on Lambda's path
#   licenses/                       of all that is in it
set -euo pipefail
cd "$(dirname "$0")/../.."
arch=${1:-}
case $arch in x86_64 | arm64) ;; *) echo "usage: build.sh x86_64|arm64" >&2 && exit 2 ;; esac
static=build/static/$arch
tree=build/layer/$arch
zip=build/dist/durabled-layer-$arch.zip

rm -rf "$tree"
mkdir -p "$tree/extensions" "$tree/bin" "$tree/python" build/dist
cp "build/static-$arch/bin/durabled" "$tree/extensions/"
ln -s extensions/durabled "$tree/durabled-wrap"
ln -s extensions/durabled "$tree/bootstrap"
ln -s ../extensions/durabled "$tree/bin/durablectl"
cp -R client/python/src/durabled "$static/python_msgpack/msgpack" "$tree/python/"
find "$tree/python" -name __pycache__ -prune -exec rm -r {} +
cp -R "$static/licences" "$tree/licenses"
python3 deploy/layer/pack.py "$tree" "$zip"
echo "$zip: $(stat -c %s "$zip") bytes, $(du --bytes --summarize "$tree" | cut -f1) unpacked"
