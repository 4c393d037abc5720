#!/usr/bin/env python3
"""C-SD2 at full size with random weights, 512x512, here and in diffusers: f32, channels-last, each row by row, so that both see
the same machine; and the ratios as a table. Each side's row is a process of its own, whose peak is its own.

    pip install torch==2.15.0 diffusers==0.42.1 transformers==5.24.0
    python benches/sd2_pytorch.py [forward] [step] [decode] [encode] [open] [--folder DIR] [--runs N]

DIR gets 6.6 GB of random weights, which stay there. "bf16" are frozen weights kept in 16 bits here; diffusers' are f32.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
WHAT = ["open", "forward", "step", "decode", "encode"]
UNET = dict(
    sample_size=64,
    in_channels=4,
    out_channels=4,
    down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    block_out_channels=[320, 640, 1280, 1280],
    layers_per_block=2,
    norm_num_groups=32,
    cross_attention_dim=1024,
    attention_head_dim=[5, 10, 20, 20],
    use_linear_projection=True,
)
VAE = dict(
    down_block_types=["DownEncoderBlock2D"] * 4,
    up_block_types=["UpDecoderBlock2D"] * 4,
    block_out_channels=[128, 256, 512, 512],
    layers_per_block=2,
    latent_channels=4,
    norm_num_groups=32,
)


def theirs(what, folder, runs):
    """One row in this process: seconds, and the most memory that was resident."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    import torch.nn.functional as F
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count())
    last = lambda t: t.contiguous(memory_format=torch.channels_last)

    def timed(run):
        run()
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return min(times)

    def networks():
        with torch.no_grad():
            unet = UNet2DConditionModel(**UNET)
            control = ControlNetModel.from_unet(unet)
            for p in control.parameters():
                if not p.any():
                    p.normal_(std=0.02)
        return [net.eval().requires_grad_(False).to(memory_format=torch.channels_last) for net in (unet, control)]

    x, target = last(torch.randn(2, 4, 64, 64)), last(torch.randn(2, 4, 64, 64))
    image, text, t = last(torch.rand(2, 3, 512, 512)), torch.randn(2, 77, 1024), torch.tensor([500, 500])

    def predict(unet, control):
        skips, middle = control(x, t, text, image, return_dict=False)
        return unet(
            x,
            t,
            text,
            down_block_additional_residuals=skips,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]

    if what == "open":
        from safetensors.torch import load_file

        def run():
            with torch.device("meta"):
                unet = UNet2DConditionModel(**UNET)
                control = ControlNetModel.from_unet(unet, load_weights_from_unet=False)
            base = folder / "stable-diffusion-2-base/unet/diffusion_pytorch_model.safetensors"
            for net, file in ((unet, base), (control, folder / "c-sd2/model.safetensors")):
                net.load_state_dict(load_file(file), assign=True)
                # Mapped files are read when they are used.
                for p in net.parameters():
                    p.data = p.data.clone()

        seconds = timed(run)
    elif what == "forward":
        unet, control = networks()
        with torch.no_grad():
            seconds = timed(lambda: predict(unet, control))
    elif what == "step":
        import copy

        unet, reference = networks()
        policy = copy.deepcopy(reference).requires_grad_(True)
        optimizer = torch.optim.AdamW(policy.parameters(), lr=0.0, weight_decay=0.01)

        def run():
            errors = lambda net: (predict(unet, net) - target).pow(2).mean(dim=[1, 2, 3]).chunk(2)
            with torch.no_grad():
                of_reference = errors(reference)
            of_policy = errors(policy)
            moved = [a - b for a, b in zip(of_policy, of_reference)]
            loss = -F.logsigmoid(-0.5 * 5000 * (moved[0] - moved[1])).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        seconds = timed(run)
    else:
        vae = AutoencoderKL(**VAE).eval().requires_grad_(False).to(memory_format=torch.channels_last)
        latents, picture = last(torch.randn(1, 4, 64, 64)), last(torch.rand(1, 3, 512, 512))
        with torch.no_grad():
            seconds = timed(lambda: vae.decode(latents) if what == "decode" else vae.encode(picture))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({"seconds": seconds, "peak_gb": peak}))


def row(command):
    """Seconds and peak of one process, which prints them last; the peak is what was resident."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=WHAT)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "dp2o-sd2")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--binary", help="the bench's executable, where it is built already")
    parser.add_argument("--theirs", action="store_true", help="one row of diffusers alone, in this process")
    options = parser.parse_args()
    if options.theirs:
        return theirs(options.what[0], options.folder, options.runs)
    if options.binary:
        binary = options.binary
    else:
        build = ["cargo", "bench", "--no-run", "--message-format=json", "--bench", "sd2"]
        lines = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        artifacts = [json.loads(line) for line in lines if line.startswith("{")]
        binary = [a["executable"] for a in artifacts if a.get("target", {}).get("name") == "sd2" and a.get("executable")][0]
    if not (options.folder / "c-sd2/model.safetensors").exists():
        subprocess.run([binary, "make", options.folder], check=True)
    runs = ["--runs", str(options.runs)]
    print("| work | here | bf16 | diffusers | ratio | bf16 | peak here | bf16 | diffusers |\n" + "|---" * 9 + "|")
    for what in options.what:
        own = row([binary, what, options.folder, *runs])
        half = row([binary, what, options.folder, *runs, "--bf16"])
        other = row([sys.executable, __file__, what, "--theirs", "--folder", options.folder, *runs])
        ratios = [other["seconds"] / side["seconds"] for side in (own, half)]
        print(
            f"| {what} | {own['seconds']:.2f} s | {half['seconds']:.2f} s | {other['seconds']:.2f} s "
            f"| {ratios[0]:.2f}× | {ratios[1]:.2f}× "
            f"| {own['peak_gb']:.2f} GB | {half['peak_gb']:.2f} GB | {other['peak_gb']:.2f} GB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
