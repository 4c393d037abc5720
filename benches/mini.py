"""The embedded backbone in PyTorch, module for module and name for name that of src/backbones/mini.rs."""

import math

import torch
import torch.nn.functional as F
from torch import nn

CHANNELS = (64, 128, 240)
EMBEDDING = 256
FREQUENCIES = 32
GROUPS = 8
PATCH = 4
VALUES = 3 * PATCH * PATCH


class Block(nn.Module):
    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.time = nn.Linear(EMBEDDING, 2 * c_out)
        self.norm2 = nn.GroupNorm(GROUPS, c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else None

    def forward(self, x, time):
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        h = F.silu(self.norm2(h) * (1 + scale) + shift)
        return self.conv2(h) + (x if self.skip is None else self.skip(x))


def scale(enter, blocks) -> nn.ModuleDict:
    """Blocks named as the weights are: `0`, `1`, and `enter` where the scale is entered by a convolution."""
    parts = {str(i): block for i, block in enumerate(blocks)}
    if enter is not None:
        parts["enter"] = enter
    return nn.ModuleDict(parts)


class Mini(nn.Module):
    def __init__(self):
        super().__init__()
        c0, c1, c2 = CHANNELS
        self.time = nn.ModuleList([nn.Linear(2 * FREQUENCIES, EMBEDDING), nn.Linear(EMBEDDING, EMBEDDING)])
        self.input = nn.Conv2d(2 * VALUES, c0, 3, padding=1)

        def blocks(c_in, c):
            return [Block(c_in, c), Block(c, c)]

        def down(c_in, c):
            return nn.Conv2d(c_in, c, 3, stride=2, padding=1)

        def up(c_in, c):
            return nn.Conv2d(c_in, c, 3, padding=1)

        self.down = nn.ModuleDict(
            {"0": scale(None, blocks(c0, c0)), "1": scale(down(c0, c1), blocks(c1, c1)), "2": scale(down(c1, c2), blocks(c2, c2))}
        )
        self.up = nn.ModuleDict(
            {"2": scale(None, blocks(c2, c2)), "1": scale(up(c2, c1), blocks(2 * c1, c1)), "0": scale(up(c1, c0), blocks(2 * c0, c0))}
        )
        self.norm = nn.GroupNorm(GROUPS, c0)
        self.output = nn.Conv2d(c0, VALUES, 3, padding=1)

    def forward(self, x_t, times, condition):
        rates = torch.exp(-math.log(10_000.0) * torch.arange(FREQUENCIES, dtype=x_t.dtype) / FREQUENCIES)
        angles = 1000.0 * times[:, None] * rates
        time = torch.cat([angles.sin(), angles.cos()], dim=1)
        time = F.silu(self.time[1](F.silu(self.time[0](time))))
        h = torch.cat([F.pixel_unshuffle(x_t, PATCH), F.pixel_unshuffle(2 * condition - 1, PATCH)], dim=1)
        h = self.input(h)
        skips = []
        for i in "012":
            part = self.down[i]
            if "enter" in part:
                h = part["enter"](h)
            h = part["1"](part["0"](h, time), time)
            skips.append(h)
        for i in "210":
            part = self.up[i]
            if "enter" in part:
                h = part["enter"](F.interpolate(h, scale_factor=2, mode="nearest"))
                h = torch.cat([h, skips[int(i)]], dim=1)
            h = part["1"](part["0"](h, time), time)
        return F.pixel_shuffle(self.output(F.silu(self.norm(h))), PATCH)


def load(path) -> Mini:
    """With the weights of a safetensors file."""
    from safetensors.torch import load_file

    net = Mini()
    net.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return net
