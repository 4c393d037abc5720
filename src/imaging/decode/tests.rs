//! Every kind of file against the pixels the fixture script put into it.

use std::fs;

use super::*;
use crate::imaging::fixture;

/// The script's `rgb`, `gray` and `alpha` as 8-bit values.
fn rgb(x: usize, y: usize) -> [u32; 3] {
    [x as u32 * 28 + 3, y as u32 * 36 + 5, (x as u32 * y as u32 * 13 + 40) % 256]
}

fn gray(x: usize, y: usize) -> [u32; 3] {
    [x as u32 * 20 + y as u32 * 11; 3]
}

fn check(name: &str, expected: impl Fn(usize, usize) -> [f32; 3]) {
    let image = read(fixture::path(name)).unwrap();
    assert_eq!((image.width(), image.height()), (9, 7), "{name}");
    for (i, (x, y)) in (0..7).flat_map(|y| (0..9).map(move |x| (x, y))).enumerate() {
        for (channel, value) in expected(x, y).into_iter().enumerate() {
            let found = image.plane(channel)[i];
            assert!((found - value).abs() < 1e-6, "{name} at ({x}, {y}): {found} instead of {value}");
        }
    }
}

#[test]
fn eight_and_sixteen_bits_gray_and_palette() {
    let eight = |v: [u32; 3]| v.map(|v| v as f32 / 255.0);
    let sixteen = |v: [u32; 3]| v.map(|v| (v * 251 + 7) as f32 / 65535.0);
    for name in ["rgb8.png", "palette.png", "palette.bmp", "rgb8.bmp", "rgb8.tiff", "rgb8.webp"] {
        check(name, |x, y| eight(rgb(x, y)));
    }
    check("gray8.png", |x, y| eight(gray(x, y)));
    check("gray8.tiff", |x, y| eight(gray(x, y)));
    check("rgb16.png", |x, y| sixteen(rgb(x, y)));
    check("rgb16.tiff", |x, y| sixteen(rgb(x, y)));
    check("gray16.png", |x, y| sixteen(gray(x, y)));
    check("bilevel.png", |x, y| [((x + y) % 2) as f32; 3]);
}

#[test]
fn transparency_is_composited_on_white() {
    let over = |v: [u32; 3], x: usize| {
        let alpha = (255 - x as u32 * 30) as f32 / 255.0;
        v.map(|v| v as f32 / 255.0 * alpha + (1.0 - alpha))
    };
    for name in ["rgba8.png", "palette_transparent.png", "rgba8.webp"] {
        check(name, |x, y| over(rgb(x, y), x));
    }
    check("graya8.png", |x, y| over(gray(x, y), x));
}

/// The script's `smooth`, which orientation, or lossy compression, brings back.
fn check_smooth(name: &str, tolerance: f32) {
    let path = fixture::path(name);
    let image = read(&path).unwrap();
    let info = probe(&path).unwrap();
    assert_eq!((image.width(), image.height()), (24, 16), "{name}");
    assert_eq!((info.width, info.height), (24, 16), "{name}");
    for y in 0..16 {
        for x in 0..24 {
            for (channel, value) in [x * 10, y * 15, 128].into_iter().enumerate() {
                let found = image.plane(channel)[y * 24 + x] * 255.0;
                assert!((found - value as f32).abs() <= tolerance, "{name} at ({x}, {y}): {found} for {value}");
            }
        }
    }
}

#[test]
fn orientation_is_applied() {
    for orientation in 1..=8 {
        check_smooth(&format!("turned{orientation}.jpg"), 6.0);
    }
    for kind in ["png", "webp", "tiff"] {
        check_smooth(&format!("turned6.{kind}"), 0.01);
    }
}

#[test]
fn lossy_files_come_close() {
    check_smooth("progressive.jpg", 30.0);
    check_smooth("lossy.webp", 40.0);
    let gray = read(fixture::path("gray.jpg")).unwrap();
    assert_eq!(gray.plane(0), gray.plane(2));
}

#[test]
fn the_header_tells_what_is_inside() {
    let info = |name: &str| probe(fixture::path(name)).unwrap();
    let expected = ImageInfo { width: 9, height: 7, format: Format::Png, bits: 16, has_color: true, has_alpha: false };
    assert_eq!(info("rgb16.png"), expected);
    assert_eq!(info("graya8.png"), ImageInfo { bits: 8, has_color: false, has_alpha: true, ..expected });
    assert_eq!(info("rgb8.bmp").format, Format::Bmp);
    assert_eq!(info("rgb16.tiff").format, Format::Tiff);
    assert_eq!(info("gray.jpg").format, Format::Jpeg);
    assert_eq!(info("rgba8.webp").format, Format::WebP);
}

#[test]
fn the_extension_does_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("really a png.jpg");
    fs::copy(fixture::path("rgb8.png"), &path).unwrap();
    assert_eq!(read(&path).unwrap(), read(fixture::path("rgb8.png")).unwrap());
    assert_eq!(probe(&path).unwrap().format, Format::Png);
}

/// The message of a fixture file that is refused.
fn refused(name: &str) -> String {
    let message = read(fixture::path(name)).expect_err(name).to_string();
    assert!(message.contains(name) && !message.contains('\n'), "{message}");
    message
}

/// Files whose right pixels `make_color.py` recorded, from littlecms and from formulas.
#[test]
fn colors_become_srgb_and_alpha_and_ranges_are_understood() {
    let text = fs::read_to_string(fixture::path("colors.json")).unwrap();
    let files: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut faults = Vec::new();
    for (name, right) in &files {
        let decoded = match read_noted(fixture::path(name)) {
            Ok(decoded) => decoded,
            Err(error) => {
                faults.push(error.to_string());
                continue;
            }
        };
        let values: Vec<f64> = serde_json::from_value(right["values"].clone()).unwrap();
        let tolerance = right["tolerance"].as_f64().unwrap() + 1e-4;
        let channel = |c: usize| decoded.image.plane(c).iter().map(|&v| f64::from(v) * 255.0).collect::<Vec<_>>();
        let planes = [0, 1, 2].map(channel);
        let found = |i: usize| planes[i % 3][i / 3];
        let far = |(i, value): (usize, &f64)| ((found(i) - value).abs() > tolerance).then_some((i, *value));
        if let Some((i, value)) = values.iter().enumerate().find_map(far) {
            let place = (i / 3 % 9, i / 27, i % 3);
            faults.push(format!("{name} at {place:?}: {} instead of {value}", found(i)));
        }
        let notes: Vec<String> = decoded.notes.iter().map(Note::to_string).collect();
        let right = right["note"].as_str();
        if notes.is_empty() != right.is_none() || !notes.iter().zip(right).all(|(note, right)| note.starts_with(right))
        {
            faults.push(format!("{name}: {notes:?}, not {right:?}"));
        }
    }
    assert!(files.len() > 30 && faults.is_empty(), "{faults:#?}");
}

#[test]
fn tiles_of_a_tiff_are_put_together() {
    let image = read(fixture::path("tiles.tiff")).unwrap();
    assert_eq!((image.width(), image.height()), (35, 20));
    for (i, value) in image.data().iter().enumerate() {
        let (channel, y, x) = (i / 700, i % 700 / 35, i % 35);
        assert_eq!(*value, rgb(x % 9, y % 7)[channel] as f32 / 255.0, "({x}, {y})");
    }
}

#[test]
fn what_has_no_right_picture_is_refused() {
    for (name, cause) in [
        ("float_beyond.tiff", "reach from 3 to 252, beyond 0 to 1"),
        ("float_beyond_declared.tiff", "beyond the range that it declares, 0 to 100"),
        ("float_nan.tiff", "no numbers (NaN)"),
        ("cicp_hdr.png", "HDR"),
    ] {
        let message = refused(name);
        assert!(message.contains(cause), "{message}");
    }
}

#[test]
fn transparency_is_told_where_there_is_some() {
    let notes = |name: &str| read_noted(fixture::path(name)).unwrap().notes;
    assert_eq!(notes("rgba8.png"), [Note::Flattened]);
    assert_eq!(notes("rgb8.png"), []);
    assert_eq!(notes("adobe_rgba.png").last(), Some(&Note::Flattened));
}

#[test]
fn an_lr_image_whose_enlargement_could_not_be_read_is_told() {
    assert!(check_x4(2500, 2500).is_ok());
    let error = check_x4(2504, 2504).unwrap_err().to_string();
    assert!(error.contains("10016×10016 px is 100.3 megapixels"), "{error}");
}
