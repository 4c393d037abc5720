//! The colours of maps, in one place: shaders and colour bars read the same table.
//!
//! Viridis and inferno are the degree-six polynomials by Matt Zucker (2019, released under CC0) that fit matplotlib's
//! perceptually uniform maps, themselves CC0. The diverging map goes straight from Moreland's blue over his grey to red.

use egui::Color32;

/// Entries of a table.
pub const ENTRIES: usize = 256;

/// How a value becomes a colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Colormap {
    #[default]
    Viridis,
    Inferno,
    /// For differences: grey in the middle.
    Diverging,
}

const VIRIDIS: [[f32; 3]; 7] = [
    [0.277_727_33, 0.005_407_344_5, 0.334_099_8],
    [0.105_093_04, 1.404_613_5, 1.384_590_2],
    [-0.330_861_83, 0.214_847_56, 0.095_095_16],
    [-4.634_230_5, -5.799_101, -19.332_441],
    [6.228_27, 14.179_933, 56.690_55],
    [4.776_385, -13.745_145, -65.353_03],
    [-5.435_456, 4.645_852_6, 26.312_435],
];

const INFERNO: [[f32; 3]; 7] = [
    [0.000_218_940_37, 0.001_651_004_6, -0.019_480_898],
    [0.106_513_42, 0.563_956_44, 3.932_712_4],
    [11.602_493, -3.972_854, -15.942_394],
    [-41.703_995, 17.436_398, 44.354_145],
    [77.162_94, -33.402_36, -81.807_31],
    [-71.319_43, 32.626_064, 73.209_52],
    [25.131_126, -12.242_669, -23.070_325],
];

const BLUE: [f32; 3] = [0.230, 0.299, 0.754];
const GREY: [f32; 3] = [0.865, 0.865, 0.865];
const RED: [f32; 3] = [0.706, 0.016, 0.150];

impl Colormap {
    /// Those for maps; the diverging one is for differences alone.
    pub const SEQUENTIAL: [Colormap; 2] = [Colormap::Viridis, Colormap::Inferno];

    /// Its name on the screen.
    pub fn title(self) -> &'static str {
        match self {
            Colormap::Viridis => "Viridis",
            Colormap::Inferno => "Inferno",
            Colormap::Diverging => "Blue to red",
        }
    }

    /// The colour at a share in [0, 1], gamma encoded.
    pub fn color(self, share: f32) -> Color32 {
        let t = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        let rgb: [f32; 3] = match self {
            Colormap::Viridis => std::array::from_fn(|c| polynomial(&VIRIDIS, c, t)),
            Colormap::Inferno => std::array::from_fn(|c| polynomial(&INFERNO, c, t)),
            Colormap::Diverging => {
                let (from, to, s) = if t < 0.5 { (BLUE, GREY, t * 2.0) } else { (GREY, RED, t * 2.0 - 1.0) };
                std::array::from_fn(|c| from[c] + (to[c] - from[c]) * s)
            }
        };
        let [r, g, b] = rgb.map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8);
        Color32::from_rgb(r, g, b)
    }

    /// The colours of [`ENTRIES`] shares from 0 to 1.
    pub fn table(self) -> Vec<Color32> {
        (0..ENTRIES).map(|i| self.color(i as f32 / (ENTRIES - 1) as f32)).collect()
    }
}

fn polynomial(coefficients: &[[f32; 3]; 7], channel: usize, t: f32) -> f32 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * t + c[channel])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequential_maps_get_lighter_all_the_way_and_end_where_matplotlibs_do() {
        for map in Colormap::SEQUENTIAL {
            let light = |c: Color32| 0.2126 * f32::from(c.r()) + 0.7152 * f32::from(c.g()) + 0.0722 * f32::from(c.b());
            let table = map.table();
            assert!(table.windows(2).all(|pair| light(pair[1]) >= light(pair[0]) - 0.8), "{map:?}");
        }
        let close = |a: Color32, b: [u8; 3]| a.to_array().iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 8);
        assert!(close(Colormap::Viridis.color(0.0), [68, 1, 84]));
        assert!(close(Colormap::Viridis.color(0.5), [33, 145, 140]));
        assert!(close(Colormap::Viridis.color(1.0), [253, 231, 37]));
        assert!(close(Colormap::Inferno.color(0.5), [188, 55, 84]));
        assert!(close(Colormap::Diverging.color(0.5), [221, 221, 221]));
    }
}
