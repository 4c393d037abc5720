"""Gathers the photographs that the embedded backbone was trained on: no side above 1600 px, JPEG.

    apt-get download kphotoalbum libjxl-testdata lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 mate-backgrounds \\
        plasma-workspace-wallpapers
    for package in *.deb; do dpkg-deb -x "$package" ROOT; done
    python assets/make_training_photos.py ROOT OUT

Needs Pillow and the package scikit-image. Authors and licences: each package's copyright file; in short CC0 and BSD
(libjxl's), public domain (scikit-image's), CC BY 4.0, CC BY-SA 3.0 and 4.0 (lomiri), GPL 2 or later (the others).
"""

import pathlib
import sys

import skimage
from PIL import Image, ImageOps

LONGEST_SIDE_PX = 1600
LOMIRI = (
    "Fossa_by_Jasper_Roks Kleiber_by_Lukas_Baubkus Painting-Colors_by__herobrine7gamer Picture_0B_by_freespace "
    "aitzgorri_by_Aitzol_Berasategi analogpattern_by_Peter_Nerlich free_by_Peter_Nerlich greentock_by_Peter_Nerlich "
    "life_by_Aitzol_Berasategi sunset_by_Aitzol_Berasategi"
)
MATE = "Aqua Blinds Dune FreshFlower GreenMeadow LadyBird RainDrops Storm TwoWings Wood"
PLASMA = "Autumn BytheWater ColdRipple ColorfulCups EveningGlow FallenLeaf Grey"
LIBJXL = "cvo9xd_keong_macan_srgb8 tmshre_riaphotographs_srgb8 u76c0g_bliznaca_srgb8"
# Old and compressed, so taken at half their size.
KPHOTOALBUM = (
    "anne_helene bar55 bar55_2 blackie cold_water donna donna_2 grand_canyon_1 grand_canyon_2 jesper jesper_2 new_wave_1 "
    "new_wave_2 pool pool_2 qt-logo skagen_2 snow spiff spiff_2 wayne"
)

root, out = map(pathlib.Path, sys.argv[1:])
share = root / "usr/share"
sources = [share / f"backgrounds/{name}.jpg" for name in LOMIRI.split()]
sources += [share / f"backgrounds/mate/nature/{name}.jpg" for name in MATE.split()]
sources += [share / f"wallpapers/{name}/contents/images/2560x1600.jpg" for name in PLASMA.split()]
sources += [share / f"libjxl-testdata/external/wesaturate/500px/{name}.png" for name in LIBJXL.split()]
sources += [share / "libjxl-testdata/jxl/flower/flower.png"]
sources += [pathlib.Path(skimage.__file__).parent / "data/hubble_deep_field.jpg"]
halved = [share / f"kphotoalbum/demo/{name}.jpg" for name in KPHOTOALBUM.split()]
out.mkdir(parents=True, exist_ok=True)
for source in sources + halved:
    image = ImageOps.exif_transpose(Image.open(source)).convert("RGB")
    scale = min(0.5 if source in halved else 1.0, LONGEST_SIDE_PX / max(image.size))
    if scale < 1.0:
        image = image.resize([round(side * scale) for side in image.size], Image.Resampling.LANCZOS)
    name = source.parts[-4].lower() if source.stem == "2560x1600" else source.stem
    image.save(out / f"{name}.jpg", quality=95, subsampling=0)
