#!/usr/bin/env bash
# The tables and curves of README's "What fine-tuning does to it", each with three training seeds. Usage:
#
#     cargo build --release
#     benches/tables.sh target/release/dp2o-studio DIR [TABLE…]
#
# `mini-demo` at 60 steps, reported on the twelve test crops of the example, 8 seeds each: on two cores some hours. A sweep that
# was stopped goes on where it was, and a run that two tables have is made once. DIR gets a folder of CSV and SVG for each table.
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
    "$program" sweep ws --grid "$@" --seeds "$seeds" $set --out "$name" | tee "$name.txt"
}

[ -d ws ] || "$program" new ws --example --preset mini-demo --set steps=60 --set eval_seeds=8 --set eval_every=0 --set checkpoint_every=0
table objectives "" objective=dpo,ipo,nft,group,sft
table scopes "" scope=frozen,robust,per_group,decoupled
# What is taken out of the reward: what a seed does to every image, and what follows grain beside it; nothing.
table regardless "" "regardless=seed;seed,grain"
table of-all "--set regardless=" scope=frozen,decoupled
table balance "" balance=0.4,0.5,0.6,0.7
# All weights instead of low rank, at rates that suit them.
table full "--set mode=full" lr=1e-5,2e-5
table winners "" winners=best,truth
# HPO as in the paper, at an effective sample size of 80 %, and none; with several pairs of an image, so that all of it counts.
table hpo "--set ratio=1/4 --set eval_every=20" ess=0,0.8
table no-hpo "--set ratio=1/4 --set alpha_inter=0 --set eval_every=20" alpha_intra=0
# As many effective pairs as 60 steps have at 80 %.
table no-hpo-48 "--set ratio=1/4 --set alpha_inter=0 --set steps=48 --set eval_every=16" alpha_intra=0
# With the reward over steps. The smallest ratio of each is best against worst, N = 1.
table ratio-m16 "--set eval_every=20 --set m=16" ratio=1/2,1/4,1/8,1/16
table ratio-m8 "--set eval_every=20 --set m=8" ratio=1/2,1/4,1/8
table times "" times=backbone,noisy,clean
table noise "" noise=winner
table anchor "" anchor=0.25
# Online against offline: as many candidates and steps in all, in one round or in two.
table offline "" m=16 ratio=1/16 rounds=1
table online "--set ratio=1/8 --set steps=30" m=8 rounds=2 pool=1
