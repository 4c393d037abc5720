"""Makes assets/photos: no side above 1200 px, JPEG.

    python assets/make_photos.py FOLDER...

Needs Pillow and the packages scikit-image, scikit-learn and matplotlib, which carry most of the pictures; FOLDER holds
those of Debian's wallpaper packages. Authors and licences are listed in assets/photos/CREDITS.md.
"""

import pathlib
import sys

import matplotlib
import skimage
import sklearn
from PIL import Image

LONGEST_SIDE_PX = 1200
SKIMAGE = pathlib.Path(skimage.__file__).parent / "data"
SKLEARN = pathlib.Path(sklearn.__file__).parent / "datasets" / "images"
MATPLOTLIB = pathlib.Path(matplotlib.__file__).parent / "mpl-data" / "sample_data"
PACKAGED = [SKIMAGE / name for name in ("astronaut.png", "chelsea.png", "coffee.png", "grass.png", "gravel.png", "rocket.jpg")]
PACKAGED += [SKLEARN / "china.jpg", SKLEARN / "flower.jpg", MATPLOTLIB / "grace_hopper.jpg"]
WALLPAPERS = ["friends", "seeding", "umang"]

out = pathlib.Path(__file__).parent / "photos"
out.mkdir(exist_ok=True)
folders = [pathlib.Path(folder) for folder in sys.argv[1:]]
wallpapers = [next(p for folder in folders for p in [folder / f"{name}.jpg"] if p.exists()) for name in WALLPAPERS]
for source in wallpapers + PACKAGED:
    image = Image.open(source).convert("RGB")
    scale = min(1.0, LONGEST_SIDE_PX / max(image.size))
    if scale < 1.0:
        image = image.resize([round(side * scale) for side in image.size], Image.Resampling.LANCZOS)
    quality = 90 if source in wallpapers else 95
    image.save(out / f"{source.stem}.jpg", quality=quality, subsampling=0, optimize=True)
