#!/usr/bin/env python3
"""Times pyiqa and stlpips_pytorch on the images of benches/iqa.rs: median milliseconds a score, as pyiqa runs (float32).

    pip install pyiqa==0.1.16 stlpips_pytorch==0.0.2
    python benches/iqa_pyiqa.py
"""

import pathlib
import statistics
import sys
import time

import numpy as np
import torch
from PIL import Image

FIXTURES = pathlib.Path(__file__).parents[1] / "tests" / "fixtures" / "iqa"
sys.path.insert(0, str(FIXTURES))
import oracle  # noqa: E402

SIZE_PX = 512
ROUNDS = 7


def image(name: str) -> torch.Tensor:
    crop = np.asarray(Image.open(FIXTURES / name))
    return oracle.tensor(np.pad(crop, [(0, SIZE_PX - n) for n in crop.shape[:2]] + [(0, 0)], mode="symmetric"))


if __name__ == "__main__":
    reference, candidate = image("life.png"), image("life_distorted.png")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    with torch.no_grad():
        for name, metric in oracle.metrics(dtype=torch.float32).items():
            times = []
            for _ in range(ROUNDS + 1):
                start = time.perf_counter()
                metric(candidate, reference)
                times.append(1e3 * (time.perf_counter() - start))
            print(f"{name:12} {statistics.median(times[1:]):9.2f} ms  (best {min(times[1:]):.2f})")
