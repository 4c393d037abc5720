#!/usr/bin/env bash
# What a build with CUDA proves on a machine that has a GPU and nothing else: no compiler, no network. Usage:
#
#     .ci/cuda.sh device            # anywhere: leaves the stripped program and tests in target/device
#     benches/device.sh DIR [OUT]   # on the machine with the GPU, beside the repository; DIR holds that file, OUT gets the results
#
# In order: parity of every operation and of the whole backbone with PyTorch's values; the law of step 0, resuming and the stop at
# NaN; sampling and training steps with their times and the GPU's peak memory, the same on the CPU; the same candidates on CPU
# and GPU; the same weights on several GPUs where there are; pretraining; the loop from photographs to a comparison. About five
# minutes and never more than eight, each part with a limit of its own; a part that fails is counted and the next one goes on.
# All that is said lies in OUT/report.txt, whole outputs beside it.
#
# DEVICE (cuda:0) is what is proved; it has to be usable, nothing else is computed on in its place. DEVICE=cpu, with a DIR that holds
# programs built for that, proves this script. PATIENCE=N takes all limits N times, for machines with other work.
set -uo pipefail
cd "$(dirname "$0")/.."
given="$(cd "${1:?the folder that .ci/cuda.sh device left}" && pwd)"
out="${2:-$given/results}"
mkdir -p "$out" && out="$(cd "$out" && pwd)"
exec > >(tee "$out/report.txt") 2>&1
device="${DEVICE:-cuda:0}"
patience="${PATIENCE:-1}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
files="$given"
if [ -e "$given/device.tar.xz" ]; then
    files="$work/files"
    mkdir "$files"
    # Python knows xz where the machine does not.
    tar xJf "$given/device.tar.xz" -C "$files" 2>/dev/null ||
        python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$given/device.tar.xz" "$files" || exit 2
fi
program="$files/dp2o-studio"
# Where the tests look for their fixtures.
export CARGO_MANIFEST_DIR="$PWD"
# Where CUDA's own libraries usually lie.
for lib in /usr/local/cuda/lib64 /usr/local/cuda/targets/x86_64-linux/lib; do
    [ -d "$lib" ] && export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}:$lib"
done
failed=0
parts=0
# Seconds for all of it.
limit_of_all=$((480 * patience))

# part NAME SECONDS COMMAND…: runs a part, its output to OUT/NAME.txt and the last lines here.
part() {
    local name="$1" limit=$(($2 * patience)) began=$SECONDS left=$((limit_of_all - SECONDS))
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

# The highest memory in use while a program runs, in MiB: of the GPU, or of the program's own where there is none.
with_peak() {
    "$@" &
    local running=$! now peak=0
    while kill -0 "$running" 2>/dev/null; do
        case "$device" in
        cuda*) now="$(nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits --id="${device#cuda:}")" ;;
        *) now="$(awk '/VmHWM/ { print int($2 / 1024) }' "/proc/$running/status" 2>/dev/null)" ;;
        esac
        [ "${now:-0}" -le "$peak" ] || peak="$now"
        sleep 0.2
    done
    wait "$running"
    local rc=$?
    echo "peak memory of $device: $peak MiB"
    return "$rc"
}

# The same seeds on both devices must give the same pictures, but for rounding.
same_candidates() {
    local lr="$work/lr" i=0 lowest=1000 picture psnr
    "$program" new "$work/ws" --example --set data.crops=9 --set data.held_out_crops=3 || return 1
    mkdir -p "$lr"
    for picture in "$work"/ws/images/*/lr.png; do
        i=$((i + 1)) && cp "$picture" "$lr/$i.png"
        [ "$i" -lt 4 ] || break
    done
    "$program" --device "$device" upscale "$lr"/*.png --out "$work/device" --seeds 2 || return 1
    "$program" --device cpu upscale "$lr"/*.png --out "$work/cpu" --seeds 2 || return 1
    for picture in "$work"/device/*.png; do
        psnr="$("$program" --device cpu iqa --metric psnr --ref "$work/cpu/$(basename "$picture")" "$picture" | cut -f 2)" || return 1
        echo "$(basename "$picture") $psnr dB"
        lowest="$(printf '%s\n%s\n' "$psnr" "$lowest" | sort -g | head -n 1)"
    done
    echo "lowest PSNR between cpu and $device: $lowest dB"
    # 8-bit pictures that differ by one level in one value of a hundred lie at 68 dB.
    [ "$(printf '%s\n60\n' "$lowest" | sort -g | head -n 1)" = 60 ]
}

# The same run on one device and on several must make the same weights, to the last bit.
same_on_all() {
    local of=("$work/one" "$work/all") i=0 devices last
    for devices in "$device" "$1"; do
        "$program" --device "$devices" run "${of[$i]}" --preset mini-demo --set training.steps=4 \
            --set training.batch_pairs=4 --set training.accumulation=4 --set data.crops=9 --set data.held_out_crops=3 \
            --set sampling.m=4 --set training.eval_seeds=4 --no-compare || return 1
        i=$((i + 1))
    done
    last="$(cd "$work/one" && find runs -name '*.safetensors' | sort | tail -n 1)"
    [ -n "$last" ] && cmp "$work/one/$last" "$work/all/$last" && echo "$last is the same on $1"
}

export -f same_candidates same_on_all with_peak
export program work out device

# A loop that a CPU gets through, unless there is a GPU.
several=cpu:2
smaller=(--set data.crops=9 --set data.held_out_crops=3 --set sampling.m=4 --set training.steps=2 --set training.eval_seeds=4)
case "$device" in
cuda*)
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || exit 2
    gpus="$(nvidia-smi --list-gpus | grep -c '^GPU ')"
    several="$(seq -s , -f cuda:%g 0 $((gpus - 1)))"
    smaller=()
    ;;
esac
part operations 90 "$files/nn_operations" --test-threads=1
part backbone 90 "$files/nn_pytorch" --test-threads=1
part training 120 "$files/training" --test-threads=1
part bench 90 with_peak "$program" --device "$device" info --bench
part candidates 120 same_candidates
mkdir "$work/photos" && cp assets/photos/*.jpg "$work/photos"
part loop 200 with_peak "$program" --device "$device" run "$work/demo" --preset mini-demo "${smaller[@]}" --json "$out/loop.json"
part pretrain 60 "$program" --device "$device" pretrain --data "$work/photos" --hours 0.008 --out "$work/pretrained.safetensors"
if [ "$several" != "$device" ]; then
    part devices 120 same_on_all "$several"
else
    echo "== devices: one GPU, so that nothing is shared"
fi
part bench-cpu 90 "$program" --device cpu info --bench
echo "$failed of $parts parts failed; the whole output lies in $out"
[ "$failed" -eq 0 ]
