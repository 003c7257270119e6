#!/usr/bin/env bash
# build.sh [x86_64|arm64]: makes what the templates deploy, in build/lambda: the layer
# (layer.zip), and the function in C as one static program (order-c/bootstrap).
#
# DURABLED_LAYER may name a layer's zip that is there already. For Debian 12, as root or with
# sudo, as the presets that it runs.
set -euo pipefail
cd "$(dirname "$0")/../.."

arch=${1:-x86_64}
case $arch in x86_64 | arm64) ;; *)
    echo "usage: build.sh [x86_64|arm64]" >&2
    exit 2
    ;;
esac

if [ -z "${DURABLED_LAYER:-}" ]; then
    cmake --workflow --preset "layer-$arch"
    DURABLED_LAYER=build/dist/durabled-layer-$arch.zip
fi
cmake --preset "static-$arch"
cmake --build "build/static-$arch" --target lambda_order_c

mkdir -p build/lambda/order-c
cp "$DURABLED_LAYER" build/lambda/layer.zip
cp "build/static-$arch/bin/lambda_order_c" build/lambda/order-c/bootstrap
ls -l build/lambda/layer.zip build/lambda/order-c/bootstrap
