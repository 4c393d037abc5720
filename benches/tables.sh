#!/usr/bin/env bash
# The tables and curves of README's "What fine-tuning does to it", each with three training seeds. Usage:
#
#     cargo build --release
#     benches/tables.sh target/release/dp2o-studio DIR [TABLE…]
#
# At a size that two cores get through in some hours: crops of 128 px of the example's training photographs, m = 8, 25 steps of 8
# pairs, reported on twelve crops of the example's held-out photographs, by the variants of NIQE and MS-SSIM that small crops
# have. A sweep that was stopped goes on where it was. DIR gets a folder of CSV and SVG for each table.
set -euo pipefail
program="$(realpath "${1:?the program}")"
dir="${2:?a folder}"
shift 2
wanted=" $* "
mkdir -p "$dir"
cd "$dir"
seeds="${SEEDS:-3}"

# table NAME SET GRID…: a sweep of one workspace, whose candidates all tables share.
table() {
    local name="$1" set="$2"
    shift 2
    [ "$wanted" = "  " ] || [[ $wanted == *" $name "* ]] || return 0
    # shellcheck disable=SC2086
    "$program" sweep ws --grid "$@" --seeds "$seeds" --on held-out $set --out "$name" | tee "$name.txt"
}

[ -d ws ] || "$program" new ws --example --preset mini-demo --set data.crop_px=128 --set crops=27 --set m=8 --set steps=25 \
    --set fr=stlpips:1,ms_ssim_s4:1 --set nr=niqe_b32:1,brisque:1 --set held_out=psnr,ssim,piqe,grain \
    --set batch=8 --set lr=2e-5 --set warmup=5 --set eval_every=0 --set checkpoint_every=0
table objectives "" objective=dpo,ipo,nft,group,sft
table scopes "" scope=frozen,robust,per_group,decoupled
table regardless "--set regardless=grain" scope=frozen,decoupled
table winners "" winners=best,truth
# HPO at an effective sample size of 80 % on every scope, against none.
table hpo "" ess=0.8
table no-hpo "--set alpha_inter=0" alpha_intra=0
# The smallest ratio of each m is best against worst, N = 1.
table ratio "" ratio=1/2,1/4,1/8 m=8
table ratio-of-16 "" ratio=1/2,1/4,1/16 m=16
table times "--set scope=decoupled --set regardless=grain" times=noisy,clean
table noise "--set scope=decoupled --set regardless=grain" noise=winner
table anchor "--set scope=decoupled --set regardless=grain" anchor=0.25,2
# Online against offline: as many candidates and steps in all, in one round or in two.
table offline "" m=16 ratio=1/4 rounds=1
table online "--set ratio=1/4 --set steps=13" m=8 rounds=2 pool=1,2
