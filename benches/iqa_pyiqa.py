#!/usr/bin/env python3
"""Times pyiqa and stlpips_pytorch on the images of benches/iqa.rs and benches/learned.rs, as they run (float32).

    pip install pyiqa==0.1.16 stlpips_pytorch==0.0.2
    python benches/iqa_pyiqa.py                        metrics about pixels: median milliseconds a score
    python benches/iqa_pyiqa.py --learned [NETWORK …]  networks on generated weights: an image, each of a batch of 16, peak memory

Each network has a process of its own, so that none inherits another's memory. BATCH=4 takes fewer at once; where pyiqa takes
no batch, they go one by one.
"""

import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from PIL import Image

TESTS = pathlib.Path(__file__).parents[1] / "tests" / "fixtures"
FIXTURES = TESTS / "iqa"
sys.path[:0] = [str(FIXTURES), str(TESTS)]

SIZE_PX = 512
ROUNDS = 7
ENOUGH_SECS = 30
VARIABLE = "DP2O_BENCH_NETWORK"


def image(name: str) -> torch.Tensor:
    import oracle

    crop = np.asarray(Image.open(FIXTURES / name))
    return oracle.tensor(np.pad(crop, [(0, SIZE_PX - n) for n in crop.shape[:2]] + [(0, 0)], mode="symmetric"))


def about_pixels() -> None:
    import oracle

    reference, candidate = image("life.png"), image("life_distorted.png")
    for name, metric in oracle.metrics(dtype=torch.float32).items():
        seconds = rounds(lambda: metric(candidate, reference))
        print(f"{name:12} {1e3 * statistics.median(seconds):9.2f} ms  (best {1e3 * min(seconds):.2f})")


def rounds(work) -> list:
    """Seconds of some rounds after one that is not counted."""
    began, times = time.perf_counter(), []
    while len(times) <= ROUNDS and (len(times) < 2 or time.perf_counter() - began < ENOUGH_SECS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times[1:]


def peak_mib() -> int:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def learned(name: str) -> None:
    import make_learned

    build, _, compares = make_learned.NETWORKS[name]
    network = build(name)
    reference, distorted = make_learned.pair(SIZE_PX, SIZE_PX)
    batch = int(os.environ.get("BATCH", 16))
    # A-FINE normalizes its input in place: each call gets tensors of its own.
    score = lambda count: network(distorted.repeat(count, 1, 1, 1), *[reference.repeat(count, 1, 1, 1)] * compares)
    try:
        # From now on the kernel counts the peak anew; what is resident counts.
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
    single = statistics.median(rounds(lambda: score(1)))
    try:
        batched = statistics.median(rounds(lambda: score(batch))) / batch
    except (RuntimeError, AssertionError, ValueError):
        batched = single
    print(f"{name:22} {1e3 * single:10.0f} {1e3 * batched:14.0f} {peak_mib():9}", flush=True)


if __name__ == "__main__":
    with torch.no_grad():
        if name := os.environ.get(VARIABLE):
            learned(name)
        elif "--learned" in sys.argv:
            import make_learned

            print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
            print(f"{'network':22} {'single ms':>10} {'batched ms':>14} {'peak MiB':>9}", flush=True)
            wanted = [name for name in sys.argv[1:] if not name.startswith("-")]
            for name in wanted or make_learned.NETWORKS:
                subprocess.run([sys.executable, __file__], env={**os.environ, VARIABLE: name}, check=False)
        else:
            print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
            about_pixels()
