//! Colour fixes against PyTorch, and what they are for.

use super::*;
use crate::imaging::fixture::{image, largest_difference, picture};
use crate::imaging::quantize::{Truncated, to_u8};

/// The script's `style`.
fn style() -> Image {
    let picture = picture(24, 20, 77);
    Image::new(24, 20, picture.data().iter().map(|v| 0.2 + 0.5 * v).collect()).unwrap()
}

#[test]
fn both_fixes_agree_with_pytorch() {
    let content = picture(24, 20, 0);
    let adain = ColorFix::AdaIn.apply(&content, &style()).unwrap();
    assert!(largest_difference(&adain, &image("adain"), 0) < 1e-5);
    let wavelet = ColorFix::Wavelet.apply(&content, &style()).unwrap();
    assert!(largest_difference(&wavelet, &image("wavelet"), 0) < 1e-5);
    assert_eq!(ColorFix::Off.apply(&content, &style()).unwrap(), content);
}

/// `make_color_fix.py`: as the official script leaves pictures, f32 and truncated.
#[test]
fn truncated_both_fixes_give_the_bytes_of_the_official_script() {
    let text = std::fs::read_to_string(crate::imaging::fixture::path("color_fix.json")).unwrap();
    let expected: std::collections::BTreeMap<String, Vec<u8>> = serde_json::from_str(&text).unwrap();
    let (content, style) = (picture(24, 20, 0), picture(24, 20, 77));
    for fix in [ColorFix::AdaIn, ColorFix::Wavelet] {
        let fixed = Truncated(fix.apply(&content, &style).unwrap()).whole().unwrap();
        let bytes: Vec<u8> = fixed.data().iter().map(|&v| to_u8(v)).collect();
        let off = bytes.iter().zip(&expected[fix.word()]).map(|(a, b)| a.abs_diff(*b));
        // A value that is whole but for the last bit of f32 may fall on either side.
        assert!(off.clone().all(|off| off <= 1) && off.filter(|off| *off == 1).count() <= 3, "{fix:?}");
    }
}

#[test]
fn a_colour_cast_is_removed() {
    let smooth = |x: usize, y: usize| 0.4 + 0.1 * (x as f32 * 0.05).sin() + 0.1 * (y as f32 * 0.04).cos();
    let plane: Vec<f32> = (0..96).flat_map(|y| (0..128).map(move |x| smooth(x, y))).collect();
    let hr = Image::new(128, 96, plane.repeat(3)).unwrap();
    let lr = crate::imaging::resize::shrink_x4(&hr).unwrap();
    let cast: Vec<f32> = (0..3).flat_map(|c| hr.plane(c).iter().map(move |v| v + 0.05 * c as f32)).collect();
    let cast = Image::new(128, 96, cast).unwrap();
    for fix in [ColorFix::AdaIn, ColorFix::Wavelet] {
        let fixed = fix.apply(&cast, &lr).unwrap();
        assert!(largest_difference(&fixed, &hr, 0) < 0.01, "{fix:?}");
    }
    // A flat image must not blow up.
    let flat = Image::new(8, 8, vec![0.5; 192]).unwrap();
    assert!(ColorFix::AdaIn.apply(&flat, &lr).unwrap().data().iter().all(|v| v.is_finite()));
}

#[test]
fn by_rows_the_fixed_picture_is_the_same_to_the_bit() {
    let (sr, lr) = (picture(52, 200, 0), picture(13, 50, 77));
    for fix in [ColorFix::Off, ColorFix::AdaIn, ColorFix::Wavelet] {
        let whole = fix.apply(&sr, &lr).unwrap();
        let fixed = Fixed::new(fix, &sr, &lr).unwrap();
        for rows in [0..3, 5..80, 90..91, 170..200] {
            assert_eq!(fixed.rows(rows.clone()).unwrap(), whole.rows(rows).unwrap(), "{fix:?}");
        }
    }
}
