"""Makes assets/fonts: Inter (OFL 1.1) cut down to the letters the studio uses, with figures of equal width.

    python assets/make_fonts.py FOLDER_WITH_INTER_OTF

Needs fonttools. Debian's package fonts-inter holds the files; egui knows no OpenType features, so the tabular
figures (feature tnum) are made the ordinary ones here: numbers that change must not jump.
"""

import pathlib
import sys

from fontTools import subset
from fontTools.ttLib import TTFont

TEXT = (
    [*range(0x20, 0x7F), *range(0xA0, 0x180)]  # Latin
    + [0x304, *range(0x391, 0x3CA), 0x3D5]  # Greek
    + [0x2009, 0x2013, 0x2014, 0x2018, 0x2019, 0x201C, 0x201D, 0x2020, 0x2022, 0x2026, 0x2032, 0x20AC]
    + [*range(0x2070, 0x208F), *range(0x2190, 0x2194), 0x2196, 0x2197, 0x2198, 0x2199, 0x21B5, 0x2318, 0x21E7]
    + [0x2202, 0x2206, 0x2211, 0x2212, 0x221A, 0x221E, 0x2248, 0x2260, 0x2264, 0x2265, 0x25CF, 0x25CB, 0x2713, 0x2717]
    + [0x21BA, 0x2205, 0x25A0, 0x25A1, 0x25B2, 0x25B6, 0x25BC, 0x25C0, 0x25C6, 0x26A0]
)

out = pathlib.Path(__file__).parent / "fonts"
out.mkdir(exist_ok=True)
for weight in ["Regular", "SemiBold"]:
    font = TTFont(pathlib.Path(sys.argv[1]) / f"Inter-{weight}.otf")
    gsub = font["GSUB"].table
    tabular = {}
    for record in gsub.FeatureList.FeatureRecord:
        if record.FeatureTag == "tnum":
            for index in record.Feature.LookupListIndex:
                for table in gsub.LookupList.Lookup[index].SubTable:
                    tabular.update(getattr(getattr(table, "ExtSubTable", table), "mapping", {}))
    for table in font["cmap"].tables:
        table.cmap = {
            code: tabular.get(name, name) if chr(code) in "0123456789+-.,−" else name
            for code, name in table.cmap.items()
        }
    options = subset.Options()
    options.layout_features = ["kern"]
    options.hinting = False
    options.name_IDs = [0, 1, 2, 13, 14]
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=TEXT)
    subsetter.subset(font)
    font.save(out / f"Inter-{weight}.otf")
