//! Colours of other spaces to sRGB: ICC profiles, and what PNG says in chunks of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use moxcms::{
    ColorProfile, DataColorSpace, Layout, ProfileText, RenderingIntent, Transform8BitExecutor, Transform16BitExecutor,
    TransformOptions,
};

use super::layout::Color;
use super::{Note, one_line};

/// A conversion that moves no colour by more than this, a step of 8 bits, is none: the profile is one of the many
/// approximations of sRGB, and the values of the file are kept as they are.
const SAME: u8 = 1;

/// Characters of a profile's name that are shown.
const MAX_NAME: usize = 60;

/// The space of a file's values.
#[derive(Clone)]
pub(super) enum Space {
    /// sRGB, or nothing said.
    Srgb,
    /// As an ICC profile says.
    Icc(Vec<u8>),
    /// As other fields of the file say, made a profile; with what to call it.
    Described(Box<ColorProfile>, String),
    /// A profile is there, but not to be had whole.
    Unreadable,
}

impl Space {
    /// What a decoder found of an ICC profile.
    pub fn of_icc(profile: Option<Vec<u8>>) -> Self {
        profile.map_or(Self::Srgb, Self::Icc)
    }
}

/// A conversion to sRGB.
pub(super) struct Conversion {
    transform: Arc<Transform16BitExecutor>,
    /// The pixels are grey, but the profile is one of RGB.
    repeats_gray: bool,
}

impl Conversion {
    /// The conversion that pixels need, which may be none; nothing where the profile is not one of theirs. Tables of 16 bits
    /// take long to make: those of 8 bits tell first.
    fn new(profile: &ColorProfile, color: Color) -> Option<Option<Self>> {
        let layout = match (profile.color_space, color) {
            (DataColorSpace::Rgb, Color::Rgb | Color::Gray) => Layout::Rgb,
            (DataColorSpace::Gray, Color::Gray) => Layout::Gray,
            (DataColorSpace::Cmyk, Color::Cmyk) => Layout::Rgba,
            _ => return None,
        };
        let srgb = ColorProfile::new_srgb();
        // A profile of tables may have only the perceptual one.
        let intents = [RenderingIntent::RelativeColorimetric, RenderingIntent::Perceptual];
        let transform = intents.into_iter().find_map(|rendering_intent| {
            let options = TransformOptions { rendering_intent, prefer_fixed_point: false, ..Default::default() };
            if layout != Layout::Rgba {
                let quick = profile.create_transform_8bit(layout, &srgb, Layout::Rgb, options).ok()?;
                if is_none(&*quick, layout) {
                    return Some(None);
                }
            }
            Some(Some(profile.create_transform_16bit(layout, &srgb, Layout::Rgb, options).ok()?))
        })?;
        let repeats_gray = color == Color::Gray && layout == Layout::Rgb;
        Some(transform.map(|transform| Self { transform, repeats_gray }))
    }

    /// Converts interleaved colours to interleaved sRGB in [0, 1].
    pub fn apply(&self, colors: &[u16], rgb: &mut [f32]) {
        let mut words = vec![0; rgb.len()];
        let repeated: Vec<u16>;
        let colors = match self.repeats_gray {
            true => {
                repeated = colors.iter().flat_map(|&gray| [gray; 3]).collect();
                &repeated
            }
            false => colors,
        };
        // Lengths are those of whole pixels, which is all that can be wrong.
        let _ = self.transform.transform(colors, &mut words);
        rgb.iter_mut().zip(words).for_each(|(to, word)| *to = f32::from(word) / 65535.0);
    }
}

/// Whether a conversion changes nothing that 8 bits show.
fn is_none(transform: &Transform8BitExecutor, layout: Layout) -> bool {
    let grays = 0..=255u8;
    let side = || (0..=255u8).step_by(17);
    let samples: Vec<u8> = match layout {
        Layout::Gray => grays.collect(),
        Layout::Rgb => {
            let grid = side().flat_map(|r| side().flat_map(move |g| side().flat_map(move |b| [r, g, b])));
            grays.flat_map(|gray| [gray; 3]).chain(grid).collect()
        }
        _ => return false,
    };
    let mut converted = vec![0; samples.len() / layout.channels() * 3];
    let source = |i: usize| samples[if layout == Layout::Gray { i / 3 } else { i }];
    transform.transform(&samples, &mut converted).is_ok()
        && converted.iter().enumerate().all(|(i, value)| value.abs_diff(source(i)) <= SAME)
}

/// How colours of a space become sRGB, and what there is to say about it.
pub(super) fn conversion(space: &Space, color: Color) -> (Option<Conversion>, Option<Note>) {
    let plain = || (color == Color::Cmyk).then_some(Note::PlainCmyk);
    let made = || match space {
        Space::Srgb => Some(None),
        Space::Unreadable => None,
        Space::Icc(bytes) => {
            let profile = ColorProfile::new_from_slice(bytes).ok()?;
            let name =
                name(&profile).map_or("its colour profile".into(), |name| format!("its colour profile \"{name}\""));
            Some(Conversion::new(&profile, color)?.map(|conversion| (conversion, name)))
        }
        Space::Described(profile, name) => {
            Some(Conversion::new(profile, color)?.map(|conversion| (conversion, name.clone())))
        }
    };
    match catch_unwind(AssertUnwindSafe(made)).unwrap_or(None) {
        None if color == Color::Cmyk => (None, plain()),
        None => (None, Some(Note::ProfileUnreadable)),
        Some(None) => (None, plain()),
        Some(Some((conversion, name))) => (Some(conversion), Some(Note::Converted(name))),
    }
}

/// What a profile calls itself.
fn name(profile: &ColorProfile) -> Option<String> {
    let text = match profile.description.as_ref()? {
        ProfileText::PlainString(text) => text,
        ProfileText::Localizable(texts) => &texts.first()?.value,
        ProfileText::Description(text) => &text.ascii_string,
    };
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    let text = one_line(text);
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use moxcms::{ToneReprCurve, curve_from_gamma};

    use super::*;

    fn converted(profile: ColorProfile, color: Color, colors: &[u16]) -> Option<Vec<f32>> {
        let (conversion, _) = conversion(&Space::Described(Box::new(profile), "a test".into()), color);
        let mut rgb = vec![0.0; colors.len() / color.channels() * 3];
        conversion.map(|conversion| conversion.apply(colors, &mut rgb)).map(|()| rgb)
    }

    #[test]
    fn what_is_nearly_srgb_is_left_alone() {
        assert!(converted(ColorProfile::new_srgb(), Color::Rgb, &[1, 2, 3]).is_none());
        let mut other = ColorProfile::new_srgb();
        let curve = |v: f64| if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
        let table: Vec<u16> = (0..1024).map(|i| (curve(f64::from(i) / 1023.0) * 65535.0).round() as u16).collect();
        for trc in [&mut other.red_trc, &mut other.green_trc, &mut other.blue_trc] {
            *trc = Some(ToneReprCurve::Lut(table.clone()));
        }
        other.red_colorant.x += 0.0005;
        other.cicp = None;
        assert!(converted(other, Color::Rgb, &[1, 2, 3]).is_none());
    }

    #[test]
    fn gray_stays_gray_whatever_the_profile_is_of() {
        let mut rgb = ColorProfile::new_adobe_rgb();
        for trc in [&mut rgb.red_trc, &mut rgb.green_trc, &mut rgb.blue_trc] {
            *trc = Some(curve_from_gamma(1.0));
        }
        // Half of the light is 0.7354 in sRGB.
        for profile in [rgb, ColorProfile::new_gray_with_gamma(1.0)] {
            let values = converted(profile, Color::Gray, &[0, 32768, 65535]).unwrap();
            for (value, expected) in values.chunks(3).zip([0.0, 0.7354, 1.0]) {
                assert!(value.iter().all(|v| (v - expected).abs() < 2e-3), "{value:?} for {expected}");
            }
        }
    }

    #[test]
    fn a_profile_of_other_colors_or_of_nothing_is_said() {
        for (space, color) in [
            (Space::Described(Box::new(ColorProfile::new_gray_with_gamma(2.2)), String::new()), Color::Rgb),
            (Space::Icc(b"no profile".to_vec()), Color::Rgb),
            (Space::Unreadable, Color::Gray),
        ] {
            let (conversion, note) = conversion(&space, color);
            assert!(conversion.is_none() && note == Some(Note::ProfileUnreadable));
        }
        assert_eq!(conversion(&Space::Unreadable, Color::Cmyk).1, Some(Note::PlainCmyk));
    }
}
