#!/usr/bin/env bash
# Builds with `--features cuda` on a machine with neither a GPU nor the CUDA toolkit: nvcc and the libraries come as
# wheels from PyPI (about 1.5 GB). Further arguments go to cargo; by default
# `build --release`. Where CUDA is installed this script is not needed: `cargo build --release --features cuda`.
#
# `.ci/cuda.sh device` leaves the stripped program and the tests that a GPU is judged by in target/device/device.tar.xz (less than
# 55 MB), to be carried to a machine that has a GPU and nothing else; benches/device.sh runs them there. FEATURES=cudnn takes
# cuDNN's convolutions along, of which only the machine with the GPU needs the library.
#
# CUDA_COMPUTE_CAP is the GPU's compute capability times ten (default 90, Hopper). The GPU's driver must know CUDA
# 13.0 (580 or newer). About 13 minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
tools="${CUDA_TOOLS:-$PWD/target/cuda-tools}"
if [ ! -x "$tools/venv/bin/pip" ]; then
    mkdir -p "$tools"
    python3 -m venv "$tools/venv"
    "$tools/venv/bin/pip" install --quiet \
        nvidia-cuda-nvcc==13.0.* nvidia-cuda-crt==13.0.* nvidia-cuda-runtime==13.0.* nvidia-cuda-nvrtc==13.0.* \
        nvidia-cuda-cccl==13.0.* nvidia-nvvm==13.0.* nvidia-cublas==13.0.* nvidia-curand
fi
home="$(echo "$tools"/venv/lib/python3*/site-packages/nvidia/cu13)"
# What nvcc and the linker look for. The program is linked with libraries of nothing, so that it needs none of NVIDIA's to start, and
# finds them as a GPU is opened (src/nn/kernels/cuda/libraries.rs); only CUDA's runtime, which registers kernels before that, is in it.
link="$tools/link"
mkdir -p "$link/lib"
for folder in bin include nvvm; do
    ln -sfn "$home/$folder" "$link/$folder"
done
ln -sfn lib "$link/lib64"
for library in cuda cublas cublasLt curand nvrtc cudnn; do
    [ -e "$link/lib/lib$library.so" ] || echo | cc -shared -x c - -o "$link/lib/lib$library.so"
done
echo "INPUT($home/lib/libcudart_static.a)" >"$link/lib/libcudart.so"
export CUDA_HOME="$link" CUDA_PATH="$link" CUDA_COMPUTE_CAP="${CUDA_COMPUTE_CAP:-90}" PATH="$home/bin:$PATH"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target/cuda}"
# Calls go through a table that is filled as they come.
export RUSTFLAGS="${RUSTFLAGS:-} -C relro-level=partial -C link-arg=-Wl,-z,lazy"
export RUSTFLAGS="$RUSTFLAGS -C link-arg=-Wl,--unresolved-symbols=ignore-all"
features="${FEATURES:-cuda}"
if [ "${1:-}" = device ]; then
    files="$(mktemp -d)"
    trap 'rm -rf "$files"' EXIT
    tests=(nn_operations nn_pytorch training)
    messages="$(cargo test --release --features "$features" "${tests[@]/#/--test=}" --no-run \
        --message-format=json-render-diagnostics)"
    # The tests of the package come with its program.
    cp "$CARGO_TARGET_DIR/release/dp2o-studio" "$files"
    for test in "${tests[@]}"; do
        cp "$(grep -o "\"executable\":\"[^\"]*/$test-[^\"]*\"" <<<"$messages" | cut -d '"' -f 4)" "$files/$test"
    done
    strip "$files"/*
    # All in one, as what they have in common is large.
    rm -rf target/device && mkdir -p target/device
    tar c -C "$files" . | xz -T1 --x86 --lzma2=preset=6,dict=256MiB >target/device/device.tar.xz
    size="$(stat -c %s target/device/device.tar.xz)"
    echo "target/device/device.tar.xz: $((size / 1000000)) MB"
    [ "$size" -lt 55000000 ]
    exit
fi
[ $# -gt 0 ] || set -- build --release
exec cargo "$@" --features "$features"
