//! Bad image files: each one is an error that names the file and the cause, and none is a panic.

use dp2o_studio::imaging::decode::{MAX_MEGAPIXELS, decode_bytes, probe, read};
use image::{DynamicImage, ImageFormat};
use std::fs;
use std::io::Cursor;
use std::panic::catch_unwind;
use std::path::Path;

const FORMATS: [ImageFormat; 5] =
    [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Tiff, ImageFormat::Bmp];

/// A valid file of some texture.
fn valid(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
    let pixel = |x: u32, y: u32| image::Rgb([(x * 7 + y * 3) as u8, (x * y) as u8, (x ^ y) as u8 * 5]);
    let mut bytes = Cursor::new(Vec::new());
    let image = DynamicImage::ImageRgb8(image::RgbImage::from_fn(width, height, pixel));
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Reading the bytes as a file of this name fails, and the message has the name and the cause.
fn refused(directory: &Path, name: &str, bytes: &[u8], cause: &str) {
    let path = directory.join(name);
    fs::write(&path, bytes).unwrap();
    let message = read(&path).expect_err(name).to_string();
    assert!(message.contains(name), "the name is missing: {message}");
    assert!(message.to_lowercase().contains(cause), "{name}: '{cause}' is missing: {message}");
    assert!(!message.contains('\n'), "more than one line: {message}");
    // The header may be whole where the pixels are not, but it must not panic either.
    let _ = probe(&path);
}

#[test]
fn what_is_no_image_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    refused(directory, "empty.png", b"", "empty");
    refused(directory, "notes.png", b"These are notes, not pixels.\n", "not an image");
    refused(directory, "noise.jpg", &[0x5A; 4096], "not an image");
    refused(directory, "moving.gif", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "not supported");
    for (path, cause) in [(directory.join("missing.png"), "no such file"), (directory.to_owned(), "directory")] {
        for message in [read(&path).unwrap_err().to_string(), probe(&path).unwrap_err().to_string()] {
            assert!(message.contains(cause) && message.contains(&path.display().to_string()), "{message}");
        }
    }
}

/// Reading from a pipe would wait for ever, and a device never ends.
#[test]
#[cfg(unix)]
fn what_is_no_file_is_refused_without_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, cause) in
        [(pipe.as_path(), "is a pipe, not a file"), (Path::new("/dev/zero"), "is a device, not a file")]
    {
        for message in [read(path).unwrap_err().to_string(), probe(path).unwrap_err().to_string()] {
            assert!(message.contains(cause) && message.contains(&path.display().to_string()), "{message}");
        }
    }
}

#[test]
fn truncated_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for format in FORMATS {
        let whole = valid(format, 64, 48);
        assert!(decode_bytes(&whole).is_ok());
        for share in [5, 30, 60, 90, 97] {
            let name = format!("cut at {share} percent.{format:?}");
            let cut = &whole[..whole.len() * share / 100];
            refused(directory.path(), &name, cut, if share == 5 { "" } else { "truncated" });
        }
    }
}

/// A PNG header for an image of this size, with 16-bit RGBA pixels, and no pixels after it.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([16, 6, 0, 0, 0]);
    let checksum = crc32(&chunk);
    let mut bytes = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d".to_vec();
    bytes.extend(chunk);
    bytes.extend(checksum.to_be_bytes());
    bytes.extend(b"\x00\x00\x10\x00IDAT\x78\x9c");
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn sizes_beyond_the_limit_are_refused_from_the_header() {
    let directory = tempfile::tempdir().unwrap();
    let limit = format!("limit of {MAX_MEGAPIXELS} megapixels");
    refused(directory.path(), "bomb.png", &png_header(20_000, 20_000), &limit);
    refused(directory.path(), "huge bomb.png", &png_header(0x7FFF_FFFF, 0x7FFF_FFFF), &limit);

    let mut bmp = valid(ImageFormat::Bmp, 8, 8);
    bmp[18..22].copy_from_slice(&20_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&20_000u32.to_le_bytes());
    refused(directory.path(), "bomb.bmp", &bmp, &limit);

    let mut jpeg = valid(ImageFormat::Jpeg, 8, 8);
    let frame = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x4E, 0x20, 0x4E, 0x20]);
    refused(directory.path(), "bomb.jpg", &jpeg, &limit);

    // Width and height are the first two entries of the directory.
    let mut tiff = valid(ImageFormat::Tiff, 8, 8);
    let entries = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize + 2;
    for tag in [256u16, 257] {
        let at = (0..20).map(|i| entries + 12 * i).find(|&at| tiff[at..at + 2] == tag.to_le_bytes()).unwrap();
        tiff[at + 2..at + 4].copy_from_slice(&4u16.to_le_bytes());
        tiff[at + 8..at + 12].copy_from_slice(&20_000u32.to_le_bytes());
    }
    refused(directory.path(), "bomb.tiff", &tiff, &limit);
}

#[test]
fn no_pixels_is_refused_and_one_pixel_is_read() {
    let directory = tempfile::tempdir().unwrap();
    refused(directory.path(), "flat.png", &png_header(0, 7), "");
    for format in FORMATS {
        let image = decode_bytes(&valid(format, 1, 1)).unwrap();
        assert_eq!((image.width(), image.height()), (1, 1));
    }
}

/// A small generator (SplitMix64): the cases are the same in every run.
struct Cases(u64);

impl Cases {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % below as u64) as usize
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/imaging");
    let mut files: Vec<Vec<u8>> = FORMATS.iter().map(|&format| valid(format, 21, 17)).collect();
    let mut names: Vec<_> = fs::read_dir(fixtures).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    // A conversion of colours takes long to set up: one file that needs one, p3.webp, will do.
    let slow = ["profile", "adobe", "gama", "chrm", "cicp"];
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    names.retain(|p| p.extension().unwrap() != "json" && !slow.iter().any(|part| name(p).contains(part)));
    files.extend(names.iter().map(|p| fs::read(p).unwrap()));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fuzzed");
    let mut cases = Cases(1);
    for case in 0..6000 {
        let mut bytes = files[case % files.len()].clone();
        match case % 4 {
            0 => {
                for _ in 0..1 + cases.next(8) {
                    let at = cases.next(bytes.len());
                    bytes[at] ^= 1 << cases.next(8);
                }
            }
            1 => bytes.truncate(cases.next(bytes.len())),
            2 => {
                // Keep the signature, so that the decoder is reached.
                let from = 12 + cases.next(bytes.len() - 12);
                bytes[from..].fill_with(|| cases.next(256) as u8);
            }
            _ => {
                // Numbers in headers at their extremes.
                let at = cases.next(bytes.len().min(80) - 4);
                let number = [[0xFF; 4], [0; 4], [0x7F, 0xFF, 0xFF, 0xFF], [0x80, 0, 0, 0]][cases.next(4)];
                bytes[at..at + 4].copy_from_slice(&number);
            }
        }
        let outcome = catch_unwind(|| decode_bytes(&bytes).map(|image| image.width() * image.height()));
        assert!(outcome.is_ok(), "case {case} panics");
        if case % 10 == 0 {
            fs::write(&path, &bytes).unwrap();
            assert!(catch_unwind(|| probe(&path).map(|info| info.width)).is_ok(), "the header of case {case} panics");
        }
    }
}
