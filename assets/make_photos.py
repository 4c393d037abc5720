"""Makes assets/photos from the folders the photographs come from: no side above 1200 px, JPEG.

    python assets/make_photos.py FOLDER...

Needs Pillow, and scikit-image for the four of its pictures. The photographs and their authors are listed in assets/photos/CREDITS.md.
"""

import pathlib
import sys

import skimage
from PIL import Image

NAMES = ["aitzgorri", "friends", "life", "picture_0b", "seeding", "sunset", "umang"]
LONGEST_SIDE_PX = 1200
# In the folder skimage/data of the package.
SMALL = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]

out = pathlib.Path(__file__).parent / "photos"
out.mkdir(exist_ok=True)
for name in NAMES:
    source = next(p for folder in sys.argv[1:] for p in [pathlib.Path(folder) / f"{name}.jpg"] if p.exists())
    image = Image.open(source).convert("RGB")
    scale = LONGEST_SIDE_PX / max(image.size)
    image = image.resize([round(side * scale) for side in image.size], Image.Resampling.LANCZOS)
    image.save(out / f"{name}.jpg", quality=90, subsampling=0, optimize=True)

for name in SMALL:
    image = Image.open(pathlib.Path(skimage.__file__).parent / "data" / name).convert("RGB")
    image.save(out / pathlib.Path(name).with_suffix(".jpg"), quality=95, subsampling=0, optimize=True)
