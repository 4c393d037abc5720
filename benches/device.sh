#!/usr/bin/env bash
# What a build with CUDA proves on a machine that has a GPU and nothing else: no compiler, no network. Usage:
#
#     .ci/cuda.sh device            # anywhere: leaves the stripped program and tests in target/device
#     benches/device.sh DIR [OUT]   # on the machine with the GPU; DIR holds those files, OUT gets the results
#
# In order: parity of every operation and of the whole backbone with PyTorch's values; the law of step 0 and resuming;
# the same candidates on CPU and GPU, and on several GPUs where there are; sampling and training steps with their times on both;
# pretraining; the loop from photographs to a comparison, with the GPU's peak memory. About five minutes and never more than
# eight, each part with a limit of its own; a part that fails is counted and the next one goes on.
set -uo pipefail
cd "$(dirname "$0")/.."
files="$(cd "${1:?the folder that .ci/cuda.sh device left}" && pwd)"
out="${2:-$files/results}"
mkdir -p "$out"
program="$files/dp2o-studio"
for packed in "$files"/*.xz; do
    [ ! -e "$packed" ] || xz -d -f "$packed"
done
# Where the tests look for their fixtures.
export CARGO_MANIFEST_DIR="$PWD"
# Where CUDA's own libraries usually lie.
for lib in /usr/local/cuda/lib64 /usr/local/cuda/targets/x86_64-linux/lib; do
    [ -d "$lib" ] && export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}:$lib"
done
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
failed=0
parts=0
# Seconds for all of it.
limit_of_all="${LIMIT_SECS:-480}"

# part NAME SECONDS COMMAND…: runs a part, its output to OUT/NAME.txt and the last lines here.
part() {
    local name="$1" limit="$2" began=$SECONDS left=$((limit_of_all - SECONDS))
    shift 2
    parts=$((parts + 1))
    [ "$limit" -le "$left" ] || limit="$left"
    echo "== $name"
    if [ "$limit" -le 0 ]; then
        echo "-- $name: FAILED (no time is left)"
        failed=$((failed + 1))
        return
    fi
    if timeout "$limit" bash -c '"$@"' part "$@" >"$out/$name.txt" 2>&1; then
        tail -n "${LINES_SHOWN:-12}" "$out/$name.txt"
        echo "-- $name: good, $((SECONDS - began)) s"
    else
        tail -n 40 "$out/$name.txt"
        echo "-- $name: FAILED ($((SECONDS - began)) s)"
        failed=$((failed + 1))
    fi
}

# The highest memory in use on the GPU while a command runs, in MiB.
with_peak() {
    (while sleep 0.2; do nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits; done >"$work/memory") &
    local watch=$!
    "$@"
    local rc=$?
    kill "$watch"
    echo "peak memory of the GPU: $(sort -n "$work/memory" | tail -n 1) MiB"
    return "$rc"
}

# The same seeds on both devices must give the same pictures, but for rounding.
same_candidates() {
    local lr="$work/lr"
    "$program" new "$work/ws" --example --set data.crops=9 --set data.held_out_crops=3 || return 1
    mkdir -p "$lr" && i=0
    for image in "$work"/ws/images/*/lr.png; do
        i=$((i + 1)) && cp "$image" "$lr/$i.png"
        [ "$i" -lt 4 ] || break
    done
    "$program" upscale "$lr"/*.png --out "$work/gpu" --seeds 2 || return 1
    CUDA_VISIBLE_DEVICES="" "$program" upscale "$lr"/*.png --out "$work/cpu" --seeds 2 || return 1
    local lowest=1000
    for picture in "$work"/gpu/*.png; do
        local psnr
        psnr="$("$program" iqa --metric psnr --ref "$work/cpu/$(basename "$picture")" "$picture" | cut -f 2)" || return 1
        echo "$(basename "$picture") $psnr dB"
        lowest="$(printf '%s\n%s\n' "$psnr" "$lowest" | sort -g | head -n 1)"
    done
    echo "lowest PSNR between CPU and GPU: $lowest dB"
    # 8-bit pictures that differ by one level in one value of a hundred lie at 68 dB.
    [ "$(printf '%s\n60\n' "$lowest" | sort -g | head -n 1)" = 60 ]
}

# The same run on one GPU and on all of them must make the same weights, to the last bit.
same_on_all() {
    local of=("$work/one" "$work/all") i=0 devices
    for devices in cuda:0 "$1"; do
        "$program" --device "$devices" run "${of[$i]}" --preset mini-demo --set training.steps=4 \
            --set training.batch_pairs=4 --set training.accumulation=4 --set data.crops=9 --set sampling.m=8 --no-compare || return 1
        i=$((i + 1))
    done
    local last
    last="$(cd "$work/one" && find runs -name '*.safetensors' | sort | tail -n 1)"
    cmp "$work/one/$last" "$work/all/$last" && echo "$last is the same on $1"
}

export -f same_candidates same_on_all with_peak
export program work out

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
part operations 120 "$files/nn_pytorch" --test-threads=1
part training 120 "$files/training" --test-threads=1
part candidates 120 same_candidates
part bench-gpu 120 "$program" info --bench
mkdir "$work/photos" && cp assets/photos/*.jpg "$work/photos"
part bench-cpu 120 env CUDA_VISIBLE_DEVICES="" "$program" info --bench
gpus="$(nvidia-smi --list-gpus | grep -c '^GPU ')"
if [ "$gpus" -gt 1 ]; then
    part devices 120 same_on_all "$(seq -s , -f cuda:%g 0 $((gpus - 1)))"
else
    echo "== devices: one GPU, so that nothing is shared"
fi
part pretrain 60 "$program" pretrain --data "$work/photos" --hours 0.008 --out "$work/pretrained.safetensors"
part loop 300 with_peak "$program" run "$work/demo" --preset mini-demo --json "$out/loop.json"
echo "$failed of $parts parts failed; the whole output lies in $out"
[ "$failed" -eq 0 ]
