#!/usr/bin/env bash
# The tables and curves of README's "What fine-tuning does to it", each with three training seeds. Usage:
#
#     cargo build --release
#     benches/tables.sh target/release/dp2o-studio DIR
#
# At a size that two cores get through in hours: CROPS of the example's training photographs, m = 16, STEPS steps of 16 pairs,
# reported on the example's held-out crops. A sweep that was stopped goes on where it was. DIR gets a folder of CSV and SVG for
# each table.
set -euo pipefail
program="$(realpath "${1:?the program}")"
dir="${2:?a folder}"
mkdir -p "$dir"
cd "$dir"
crops="${CROPS:-32}"
steps="${STEPS:-30}"
seeds="${SEEDS:-3}"

# table NAME SET GRID…: a sweep of one workspace, whose candidates all tables share.
table() {
    local name="$1" set="$2"
    shift 2
    # shellcheck disable=SC2086
    "$program" sweep ws --grid "$@" --seeds "$seeds" --on held-out --set "steps=$steps" --set eval_every=0 $set --out "$name" | tee "$name.txt"
}

[ -d ws ] || "$program" new ws --example --preset mini-demo --set "crops=$crops"
table objectives "" objective=dpo,ipo,nft,group,sft
table anchor "--set scope=decoupled" anchor=0,0.25,2
table scopes "" scope=frozen,robust,per_group,decoupled
table times "--set scope=decoupled" times=backbone,noisy,clean noise=drawn,winner
table winners "" winners=best,truth
# HPO at an effective sample size of 80 % on every scope, against none.
table hpo "--set alpha_intra=1 --set alpha_inter=1" ess=0,0.8
table no-hpo "--set alpha_inter=0" alpha_intra=0
table ratio "" ratio=1/2,1/4,1/8,1/16 m=8,16
table one-pair "" ratio=1/16
# Online against offline: 16 candidates an image and as many steps in all, however they are spread over rounds.
table offline "--set ratio=1/4" m=16 rounds=1
table online "--set ratio=1/4 --set steps=$((steps / 2))" m=8 rounds=2 pool=1,2
