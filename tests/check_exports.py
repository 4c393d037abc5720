"""Reads what the program exports with the readers of others: Hugging Face `datasets`, pyarrow, pandas and TensorBoard.

    DP2O_KEEP_EXPORTS=exports cargo test --release --test exchange pairs_and_curves     # writes them into exports/
    python tests/check_exports.py exports

Needs `pip install datasets pandas tensorboard`, which bring pyarrow and Pillow.
"""

import io
import json
import pathlib
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Image, load_dataset
from PIL import Image as Picture
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

root = pathlib.Path(sys.argv[1]).resolve()
cache = root / "cache"


def same(a, b, what):
    assert a == b, f"{what}: {a} is not {b}"


# Pairs as a folder of pictures.
lines = [json.loads(line) for line in (root / "hf/metadata.jsonl").read_text().splitlines()]
pairs = load_dataset("imagefolder", data_dir=str(root / "hf"), split="train", cache_dir=str(cache))
same(len(pairs), len(lines), "rows of hf")
for side in ["winner", "loser", "lr"]:
    assert isinstance(pairs.features[side], Image), pairs.features
for row, line in zip(pairs, lines):
    same((row["winner_seed"], row["loser_seed"], row["gap"], row["w"]), (line["winner_seed"], line["loser_seed"], line["gap"], line["w"]), "a row")
    for side in ["winner", "loser", "lr"]:
        with Picture.open(root / "hf" / line[f"{side}_file_name"]) as file:
            assert row[side].tobytes() == file.convert(row[side].mode).tobytes(), line
    same(row["winner"].size, tuple(4 * side for side in row["lr"].size), "sizes")
print(f"datasets, imagefolder: {len(pairs)} pairs of {', '.join(pairs.features)}")

# The same in the columns of Diffusion-DPO's script.
dpo = load_dataset(str(root / "dpo"), split="train", cache_dir=str(cache))
same(len(dpo), len(lines), "rows of dpo")
for row, line in zip(dpo, lines):
    same(row["label_0"] + row["label_1"], 1.0, "labels")
    winner, loser = ("0", "1") if row["label_0"] == 1 else ("1", "0")
    same((row[f"seed_{winner}"], row[f"seed_{loser}"]), (line["winner_seed"], line["loser_seed"]), "seeds")
    for side, column in [("winner", f"jpg_{winner}"), ("loser", f"jpg_{loser}"), ("lr", "lr")]:
        same(row[column], (root / "hf" / line[f"{side}_file_name"]).read_bytes(), column)
        Picture.open(io.BytesIO(row[column])).load()
    assert isinstance(row["caption"], str)
print(f"datasets, Parquet of Diffusion-DPO: {len(dpo)} pairs of {', '.join(dpo.features)}")

# Tables: each form says the same, in columns of one type.
types = {"image": pa.string(), "metric": pa.string(), "seed": pa.uint64(), "value": pa.float64(), "winner_seed": pa.uint64(), "gap": pa.float64(), "step": pa.uint64(), "loss": pa.float64(), "training.beta": pa.float64()}
for name in ["scores", "pairs", "run"]:
    table = pq.read_table(root / f"{name}.parquet")
    for field in table.schema:
        if field.name in types:
            same(field.type, types[field.name], f"{name}.{field.name}")
    frame, csv, lines_of = table.to_pandas(), pd.read_csv(root / f"{name}.csv"), pd.read_json(root / f"{name}.jsonl", lines=True)
    same(list(csv), list(frame), f"columns of {name}")
    same(list(lines_of), list(frame), f"columns of {name}")
    for column in frame.select_dtypes("number"):
        for other in [csv, lines_of]:
            worst = (other[column].astype(float) - frame[column].astype(float)).abs().max()
            assert not worst > 1e-12 * frame[column].abs().max(), (name, column, worst)
    print(f"pyarrow and pandas, {name}: {len(frame)} rows × {len(list(frame))} columns")

# The curves of the run.
run = pd.read_csv(root / "run.csv").set_index("step")
assert len(pd.read_json(root / "run.json")) == len(run)
events = EventAccumulator(str(root / "ws/runs/run-1/tensorboard"))
events.Reload()
tags = events.Tags()["scalars"]
columns = {"train/loss": "loss", "error/policy_winner": "policy_winner_error", "train/learning_rate": "learning_rate"}
columns |= {tag: "validation_mean" for tag in tags if tag.startswith("validation/mean@")}
columns |= {tag: tag.replace("validation_metric/", "validation.") for tag in tags if tag.startswith("validation_metric/")}
for tag, column in columns.items():
    known = run[column].dropna()
    same([scalar.step for scalar in events.Scalars(tag)], list(known.index), f"steps of {tag}")
    for scalar in events.Scalars(tag):
        assert abs(scalar.value - known[scalar.step]) <= 1e-6 * abs(known[scalar.step]), (tag, scalar)
print(f"TensorBoard: {len(tags)} curves, {', '.join(columns)} as in the table of the run")
