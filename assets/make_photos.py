"""Makes assets/photos: no side above 1200 px, JPEG.

    python assets/make_photos.py FOLDER...

Needs Pillow and the packages scikit-image, scikit-learn and matplotlib, which carry most of the pictures. FOLDERs hold the
rest: the photographs of Debian's lomiri-wallpapers-16.04, and congress.jpg, the picture in tests/resources/congress.pdf of
pikepdf's source package (`pdfimages -all`). Authors and licences are listed in assets/photos/CREDITS.md.
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
PACKAGED = [
    *(SKIMAGE / f"{name}.png" for name in ("astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel")),
    SKIMAGE / "rocket.jpg",
    SKLEARN / "china.jpg",
    SKLEARN / "flower.jpg",
    MATPLOTLIB / "grace_hopper.jpg",
]
FILES = {
    "brushes": "Picture_1A_by_freespace.jpg",
    "congress": "congress.jpg",
    "friends": "friends_by_Aitzol_Berasategi.jpg",
    "picos": "picosdeeuropa_by_Aitzol_Berasategi.jpg",
    "seeding": "seeding_by_Clements_Engelhardt.jpg",
    "wine": "Wine_by_Jakkub_Mede.jpg",
}
# Left, upper, right, lower, in pixels of the file: the seed head without the blurred meadow around it.
PARTS = {"seeding": (480, 240, 2480, 1440)}


def save(source, name, quality):
    image = Image.open(source).convert("RGB")
    image = image.crop(PARTS.get(name, (0, 0, *image.size)))
    scale = min(1.0, LONGEST_SIDE_PX / max(image.size))
    if scale < 1.0:
        image = image.resize([round(side * scale) for side in image.size], Image.Resampling.LANCZOS)
    image.save(out / f"{name}.jpg", quality=quality, subsampling=0, optimize=True)


out = pathlib.Path(__file__).parent / "photos"
out.mkdir(exist_ok=True)
folders = [pathlib.Path(folder) for folder in sys.argv[1:]]
for source in PACKAGED:
    save(source, source.stem, 95)
for name, file in FILES.items():
    save(next(p for folder in folders for p in [folder / file] if p.exists()), name, 90)
