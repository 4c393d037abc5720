#!/usr/bin/env python3
"""The same work in this program and in PyTorch (and the metrics in pyiqa), row by row, and the ratios as a table.

    pip install torch==2.15.0 numpy pillow safetensors scipy pyiqa==0.1.16 stlpips_pytorch==0.0.2
    python benches/pytorch.py [--only REGEX] [--compile]

Each row runs this program's criterion bench, then PyTorch, at once, so that both see the same machine; the figures are
medians. PyTorch runs channels-last, eager; `--compile` adds torch.compile for the backbone, with its compilation not
counted. The limits of the machine are measured first: "share" is the arithmetic of the direct method over what a loop of
multiply-adds in registers reaches; Winograd's saves multiplications, so it can pass 1.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benches"), str(ROOT / "tests" / "fixtures" / "iqa")]
import mini  # noqa: E402

CONVS = [
    (4, 128, 128, 32, 3, 1),
    (1, 64, 64, 128, 3, 1),
    (1, 320, 320, 64, 3, 1),
    (4, 128, 128, 32, 1, 1),
    (16, 96, 64, 32, 3, 1),
    (16, 64, 64, 32, 3, 1),
    (16, 128, 64, 32, 3, 1),
    (16, 128, 128, 16, 3, 1),
    (16, 256, 128, 16, 3, 1),
    (16, 240, 240, 8, 3, 1),
    (16, 64, 128, 32, 3, 2),
    (16, 128, 240, 16, 3, 2),
    (16, 128, 64, 32, 1, 1),
    (1, 640, 640, 32, 3, 1),
    (1, 1280, 1280, 16, 3, 1),
    (1, 320, 320, 64, 3, 2),
    (1, 640, 640, 32, 3, 2),
    (1, 1280, 1280, 16, 3, 2),
    (1, 320, 320, 64, 1, 1),
    (1, 640, 640, 32, 1, 1),
    (1, 1280, 1280, 16, 1, 1),
    (2048, 2048, 2048, 1, 1, 1),
    (1024, 3072, 3072, 1, 1, 1),
]
NORMS = [(16, 64, 32), (16, 128, 16), (16, 240, 8)]
ATTENTIONS = [(1, 1024, 8, 64), (2, 4096, 8, 40), (1, 4096, 5, 64), (1, 1024, 24, 128)]
METRICS = ["ssim", "ms_ssim", "stlpips", "niqe", "brisque", "piqe", "psnr"]
SEEDS, PAIRS, SIZE_PX, STEPS = 16, 8, 128, 7
EVALUATIONS = 2 * STEPS - 1  # Heun, the last step Euler's


def last(t):
    return t.contiguous(memory_format=torch.channels_last)


def seconds(f, least=5, spend=0.7):
    """Median time of at least `least` runs, after two that do not count."""
    f(), f()
    times, began = [], time.perf_counter()
    while len(times) < least or time.perf_counter() - began < spend:
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


class Ours:
    """This program's bench executables, built once."""

    def __init__(self):
        benches = [word for name in ("nn", "model", "iqa", "curation") for word in ("--bench", name)]
        command = ["cargo", "bench", "--no-run", "--message-format=json", *benches]
        lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        artifacts = [json.loads(line) for line in lines if line.startswith("{")]
        self.executables = {a["target"]["name"]: a["executable"] for a in artifacts if a.get("executable")}

    def seconds(self, bench, name):
        """Median of one criterion bench, in seconds."""
        command = [self.executables[bench], "--bench", "--noplot", f"^{re.escape(name)}$"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Criterion's folders: group, function and parameter, each with its slashes replaced.
        group, _, rest = name.partition("/")
        folders = (name, f"{group}/{rest.replace('/', '_')}", name.replace("/", "_"))
        directory = next(d for f in folders if (d := ROOT / "target" / "criterion" / f / "new").exists())
        return json.loads((directory / "estimates.json").read_text())["median"]["point_estimate"] / 1e9


def conv_rows():
    for b, ci, co, side, k, s in CONVS:
        x, w, bias = last(torch.randn(b, ci, side, side)), last(torch.randn(co, ci, k, k)) / 10, torch.randn(co)
        dy = last(torch.randn(b, co, side // s, side // s))
        flop = 2 * b * co * (side // s) ** 2 * ci * k * k

        if side == 1:
            x, w, dy = x.reshape(b, ci), w.reshape(co, ci), dy.reshape(b, co)

        def op(x, w, bias, s=s, k=k, side=side):
            return F.linear(x, w, bias) if side == 1 else F.conv2d(x, w, bias, s, k // 2)

        def forward(x=x, w=w, bias=bias, op=op):
            with torch.no_grad():
                return op(x, w, bias)

        def both(x=x, w=w, bias=bias, dy=dy, op=op):
            op(*(t.detach().requires_grad_() for t in (x, w, bias))).backward(dy)

        name = f"conv_{b}_{ci}_{co}_{side}_{k}_{s}"
        label = f"conv {k}×{k}/{s} {b}×{side}² {ci}→{co}"
        yield "nn", f"{name}/forward", label, forward, flop, None
        yield "nn", f"{name}/forward_backward", f"{label} +bwd", both, 3 * flop, None


def op_rows():
    for b, c, side in NORMS:
        x, dy = (last(torch.randn(b, c, side, side)) for _ in range(2))
        weight, bias, scale, shift = torch.randn(c), torch.randn(c), torch.randn(b, c, 1, 1), torch.randn(b, c, 1, 1)

        def both(x=x, dy=dy, weight=weight, bias=bias, scale=scale, shift=shift):
            leaves = [t.detach().requires_grad_() for t in (x, weight, bias, scale, shift)]
            x, weight, bias, scale, shift = leaves
            F.silu(F.group_norm(x, 8, weight, bias) * (1 + scale) + shift).backward(dy)

        yield "nn", f"group_norm_silu/{b}_{c}_{side}", f"norm+scale+SiLU {b}×{side}² {c} +bwd", both, None, None
    for b, tokens, heads, d in ATTENTIONS:
        qkv = [torch.randn(b, tokens, heads, d) for _ in range(3)]
        dy = torch.randn(b, heads, tokens, d)
        flop = 4 * b * tokens * tokens * heads * d

        def forward(qkv=qkv):
            with torch.no_grad():
                return F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in qkv))

        def both(qkv=qkv, dy=dy):
            leaves = [t.detach().requires_grad_() for t in qkv]
            F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in leaves)).backward(dy)

        name, label = f"attention/{b}_{tokens}_{heads}_{d}", f"attention {b}×{tokens} tokens, {heads}×{d}"
        yield "nn", f"{name}/forward", label, forward, flop, None
        yield "nn", f"{name}/forward_backward", f"{label} +bwd", both, 7 * flop // 2, None


def model_rows(compiled):
    net = mini.load(ROOT / "assets" / "mini.safetensors").to(memory_format=torch.channels_last)
    policy = mini.load(ROOT / "assets" / "mini.safetensors").to(memory_format=torch.channels_last)
    images = torch.rand(4 * PAIRS, 3, SIZE_PX, SIZE_PX)

    def sampling(net):
        condition = last(images[:1].expand(SEEDS, -1, -1, -1))
        x = last(torch.randn(SEEDS, 3, SIZE_PX, SIZE_PX))
        with torch.inference_mode():
            for i in range(STEPS):
                v = net(x, torch.full((SEEDS,), i / STEPS), condition)
                ahead = x + v / STEPS
                if i + 1 < STEPS:
                    v_next = net(ahead, torch.full((SEEDS,), (i + 1) / STEPS), condition)
                    ahead = x + (v + v_next) / (2 * STEPS)
                x = ahead
            return condition + x / 5

    # As in benches/model.rs nothing is learned: once pairs are told apart gradients are subnormal, which some cores take
    # many times longer for.
    optimizer = torch.optim.AdamW(policy.parameters(), lr=0.0, weight_decay=0.01, fused=True)

    def step(reference, policy):
        condition = last(images[:PAIRS].repeat(2, 1, 1, 1))
        clean = 5 * (images[: 2 * PAIRS] - condition)
        noise = torch.randn(PAIRS, 3, SIZE_PX, SIZE_PX).repeat(2, 1, 1, 1)
        times = torch.sigmoid(torch.randn(PAIRS)).repeat(2)
        t = times[:, None, None, None]
        x_t, target = last(t * clean + (1 - t) * noise), last(clean - noise)
        with torch.no_grad():
            e_ref = (reference(x_t, times, condition) - target).square().mean((1, 2, 3))
        e = (policy(x_t, times, condition) - target).square().mean((1, 2, 3))
        d = e - e_ref
        F.softplus(500 * (d[:PAIRS] - d[PAIRS:])).mean().backward()
        torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    fast_net, fast_policy = (torch.compile(net), torch.compile(policy)) if compiled else (None, None)
    # Multiply-adds of the direct method in one forward pass of one image of 128×128, times two.
    flop = SEEDS * forward_flop(net)
    faster = (lambda: sampling(fast_net)) if compiled else None
    yield "model", "model/sampling", f"sampling, {SEEDS} seeds, Heun, {STEPS} steps", lambda: sampling(net), EVALUATIONS * flop, faster
    faster = (lambda: step(fast_net, fast_policy)) if compiled else None
    yield "model", "model/dpo_step", f"DPO step, {PAIRS} pairs", lambda: step(net, policy), 4 * flop, faster


def forward_flop(net):
    """Of all convolutions and linear layers, for one image."""
    total = 0

    def count(module, _, y):
        nonlocal total
        total += 2 * y.numel() * module.weight[0].numel()

    layers = [m for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    hooks = [m.register_forward_hook(count) for m in layers]
    with torch.no_grad():
        net(torch.zeros(1, 3, SIZE_PX, SIZE_PX), torch.zeros(1), torch.zeros(1, 3, SIZE_PX, SIZE_PX))
    for hook in hooks:
        hook.remove()
    return total


def metric_rows():
    import iqa_pyiqa
    import oracle

    reference, candidate = iqa_pyiqa.image("life.png"), iqa_pyiqa.image("life_distorted.png")
    known = oracle.metrics(dtype=torch.float32)
    for name in METRICS:

        def score(metric=known[name]):
            with torch.no_grad():
                metric(candidate, reference)

        yield "iqa", f"iqa/{name}/score", f"{name} 512×512", score, None, None


def rows(compiled):
    yield from conv_rows()
    yield from op_rows()
    yield from model_rows(compiled)
    yield from metric_rows()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose name matches this regular expression")
    parser.add_argument("--compile", action="store_true", help="time torch.compile too")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    ours = Ours()
    peak = ours_peak = None
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    flop = 2 * 2048**3
    lanes = {"AVX512": 16, "AVX2": 8}.get(torch.backends.cpu.get_cpu_capability(), 8)
    work = torch.get_num_threads() * 200_000 * 24 * 2 * lanes
    peak = work / ours.seconds("nn", "peak/multiply_add") / 1e9
    ours_peak = flop / ours.seconds("nn", "peak/matmul_2048") / 1e9
    torch_peak = flop / seconds(lambda: a @ b) / 1e9
    print(f"multiply-adds {peak:.0f} GFLOP/s; matmul 2048³: candle {ours_peak:.0f}, torch {torch_peak:.0f}\n")
    print("| work | ours, ms | PyTorch, ms | ratio | compiled, ms | ratio | share | PyTorch's |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for bench, name, label, theirs, flop, faster in rows(arguments.compile):
        if not re.search(arguments.only, name):
            continue
        faster_s = None
        if faster:
            try:
                faster_s = seconds(faster)
            except Exception as error:  # torch.compile needs a C++ compiler and fails in many ways
                print(f"torch.compile: {error}", file=sys.stderr)
        theirs_s = seconds(theirs)
        ours_s = ours.seconds(bench, name)
        share = [f"{flop / s / 1e9 / peak:.2f}" if flop else "" for s in (ours_s, theirs_s)]
        compiled = (f"{1e3 * faster_s:.2f}", f"{faster_s / ours_s:.2f}") if faster_s else ("", "")
        cells = [label, f"{1e3 * ours_s:.2f}", f"{1e3 * theirs_s:.2f}", f"{theirs_s / ours_s:.2f}", *compiled, *share]
        print("| " + " | ".join(cells) + " |", flush=True)
    if re.search(arguments.only, "curation/recurate_frozen"):
        for name in ("recurate_frozen/16", "recurate_per_group/16"):
            print(f"\nre-curation of 1,000 × 64 × 10, {name}: {1e3 * ours.seconds('curation', 'curation/' + name):.2f} ms")


if __name__ == "__main__":
    main()
