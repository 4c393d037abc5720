#!/usr/bin/env python3
"""pyiqa's side of `weights check`: the scores of the generated pair of images, with the weights that pyiqa downloads.

    pip install pyiqa==0.1.16
    python benches/pyiqa_scores.py [NAME …] > pyiqa.json      by default every learned metric of the paper

On this program's side, `dp2o-studio weights check FILE --json ours.json` prints the same two scores of each metric that the
file completes. They should agree to 1e-4 of the score (Q-Align: to the last bits of its 16-bit weights).

The images are integers from a counter (src/iqa/generated.rs): no file is needed on either side.
"""

import hashlib
import json
import sys

import numpy as np
import torch

NAMES = ["lpips", "lpips-vgg", "dists", "topiq_fr", "topiq_nr", "musiq", "musiq-ava", "musiq-spaq", "musiq-paq2piq", "clipiqa",
         "clipiqa+", "afine_fr", "afine_nr", "afine_all", "liqe", "maniqa-pipal", "maniqa", "nima", "topiq_iaa", "arniqa",
         "hyperiqa", "dbcnn", "qalign"]
SIZE_PX = (256, 288)
MASK = (1 << 64) - 1


def key(name: str) -> int:
    """FNV-1a in 64 bits."""
    hash_ = 0xCBF29CE484222325
    for byte in name.encode():
        hash_ = ((hash_ ^ byte) * 0x100000001B3) & MASK
    return hash_


def words(name: str, count: int) -> np.ndarray:
    """SplitMix64 of a counter."""
    with np.errstate(over="ignore"):
        z = np.uint64(key(name)) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def wave(t: np.ndarray, period: int) -> np.ndarray:
    at = t % (2 * period)
    return np.where(at < period, at, 2 * period - 1 - at)


def pair(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Reference and distorted image, (height, width, 3) uint8."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    noise = (words("image:reference", height * width * 3) >> np.uint64(60)).astype(np.int64).reshape(y.shape)
    reference = wave(3 * x + 2 * y + 37 * c, 97) + wave(x * x // 64 + 5 * y * (c + 1), 61) + wave(x + y * y // 96, 83) + noise
    padded = np.pad(reference, ((1, 1), (1, 1), (0, 0)), mode="edge")
    box = sum(padded[i:i + height, j:j + width] for i in range(3) for j in range(3))
    noise = (words("image:distorted", height * width * 3) >> np.uint64(58)).astype(np.int64).reshape(y.shape) - 32
    distorted = np.clip((box + 4) // 9 + noise, 0, 255)
    coarse = distorted // 16 * 16 + 8
    distorted = np.where((y // 8 + x // 8) % 3 == 0, coarse, distorted)
    return reference.astype(np.uint8), distorted.astype(np.uint8)


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))[None] / 255


def main() -> None:
    import pyiqa

    images = pair(*SIZE_PX)
    for name, image in zip(("reference", "distorted"), images):
        print(f"{name}: SHA-256 {hashlib.sha256(image.tobytes()).hexdigest()}", file=sys.stderr)
    scores = []
    for name in sys.argv[1:] or NAMES:
        metric = pyiqa.create_metric(name, device="cpu")
        # A-FINE normalizes its input in place: each call gets tensors of its own.
        given = lambda image: [tensor(image), tensor(images[0])] if metric.metric_mode == "FR" else [tensor(image)]
        with torch.no_grad():
            reference, distorted = (float(metric(*given(image))) for image in images)
        scores.append({"metric": name, "distorted": distorted, "reference": reference})
        print(f"{name}: {distorted:.6f} distorted, {reference:.6f} reference", file=sys.stderr)
    json.dump(scores, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
