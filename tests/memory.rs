//! What reading pictures takes of memory, and what the program says where there is not enough.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard};

use dp2o_studio::imaging::decode::{Note, read, read_noted};
use dp2o_studio::memory::{self, Counted, peak_of};
use image::{DynamicImage, ImageFormat};

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// The counter counts all threads: these tests run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

const SIZE: [u32; 2] = [1500, 1000];
/// What strips on their way take, whatever the size of the picture.
const STRIPS_BYTES: usize = 2 << 20;

fn write(path: &Path, image: &DynamicImage, format: ImageFormat) {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    fs::write(path, bytes.into_inner()).unwrap();
}

fn rgb8(width: u32, height: u32) -> DynamicImage {
    let pixel = |x: u32, y: u32| image::Rgb([(x * 7 + y * 3) as u8, (x / 3) as u8, (x ^ y) as u8]);
    DynamicImage::ImageRgb8(image::RgbImage::from_fn(width, height, pixel))
}

/// Bytes that a call takes at most.
fn peak(body: impl FnOnce()) -> usize {
    peak_of(body).1.expect("this program counts")
}

/// The image itself takes 12 bytes a pixel. What a decoder gives at once comes on top; files of rows, strips or tiles are
/// never held twice.
#[test]
fn a_picture_takes_little_more_than_its_image() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let eight = rgb8(SIZE[0], SIZE[1]);
    let sixteen = DynamicImage::ImageRgba16(eight.to_rgba16());
    for (image, format, beside) in [
        (&eight, ImageFormat::Png, 0),
        (&sixteen, ImageFormat::Png, 0),
        (&eight, ImageFormat::Tiff, 0),
        (&eight, ImageFormat::Bmp, 3),
        (&eight, ImageFormat::Jpeg, 4),
        (&eight, ImageFormat::WebP, 8),
    ] {
        let path = directory.path().join("picture");
        write(&path, image, format);
        // Threads and tables of the first call are no part of it.
        read(&path).unwrap();
        let bytes = peak(|| drop(read(&path).unwrap()));
        let pixels = (SIZE[0] * SIZE[1]) as usize;
        let each = bytes as f64 / pixels as f64;
        println!("{format:?} {:?}: {each:.2} bytes a pixel", image.color());
        let most = pixels * (12 + beside) + STRIPS_BYTES;
        assert!((pixels * 12..most).contains(&bytes), "{format:?} takes {each:.2} bytes a pixel");
    }
}

#[test]
fn sizes_that_a_file_claims_are_not_believed() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("picture");
    let refused = |bytes: &[u8], cause: &str| {
        fs::write(&path, bytes).unwrap();
        let taken = peak(|| {
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains(cause), "{message}");
        });
        assert!(taken < 1 << 20, "{cause}: {taken} bytes");
    };

    let mut lossy = fs::read("tests/fixtures/imaging/lossy.webp").unwrap();
    let chunk = |name: &[u8; 4], length: u32, content: &[u8]| [&name[..], &length.to_le_bytes(), content].concat();
    let extended = |canvas: [u8; 6], flags: u8| chunk(b"VP8X", 10, &[&[flags, 0, 0, 0], &canvas[..]].concat());
    let webp = |chunks: &[Vec<u8>]| {
        let body = chunks.concat();
        [&chunk(b"RIFF", 4 + body.len() as u32, b"WEBP"), &body[..]].concat()
    };
    // 24×16 px, as they are.
    let pixels = lossy.split_off(12);
    let whole = extended([23, 0, 0, 15, 0, 0], 0);
    fs::write(&path, webp(&[whole.clone(), pixels.clone()])).unwrap();
    assert!(read(&path).is_ok());
    let canvas = extended([23, 0, 0, 15, 0, 0], 8);
    let claim = chunk(b"EXIF", 0xFFFF_FFF0, b"Exif");
    refused(&webp(&[canvas, pixels.clone(), claim]), "its EXIF chunk goes beyond the file");
    let mut large = pixels;
    large[14..18].copy_from_slice(&[0xFF, 0x3F, 0xFF, 0x3F]);
    refused(&webp(&[whole, large]), "24×16 px are announced, 16383×16383 px follow");

    // A TIFF of one strip, a JPEG that says that it is larger.
    let mut jpeg = Cursor::new(Vec::new());
    rgb8(8, 8).write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    let mut jpeg = jpeg.into_inner();
    let frame = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x3E, 0x80, 0x3E, 0x80]);
    let entries: [(u16, u16, u32, u32); 9] = [
        (256, 4, 1, 8),
        (257, 4, 1, 8),
        (258, 3, 1, 8),
        (259, 3, 1, 7),
        (262, 3, 1, 2),
        (273, 4, 1, 8 + 2 + 9 * 12 + 4),
        (277, 3, 1, 3),
        (278, 4, 1, 8),
        (279, 4, 1, jpeg.len() as u32),
    ];
    let mut tiff = b"II*\0\x08\0\0\0\x09\0".to_vec();
    for (tag, kind, count, value) in entries {
        tiff.extend(tag.to_le_bytes());
        tiff.extend(kind.to_le_bytes());
        tiff.extend(count.to_le_bytes());
        tiff.extend(value.to_le_bytes());
    }
    tiff.extend([0; 4]);
    tiff.extend(jpeg);
    refused(&tiff, "a JPEG inside is larger than its place");
}

/// A profile of zeros that unpacks to more than a profile may be.
#[test]
fn a_profile_that_unpacks_without_end_is_given_up() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("picture.png");
    write(&path, &DynamicImage::new_luma8(9000, 9000), ImageFormat::Png);
    let zeros = fs::read(&path).unwrap();
    // One chunk after another: length, name, content, checksum. The pixels are a zlib stream.
    let (mut at, mut packed) = (8, Vec::new());
    while at < zeros.len() {
        let length = u32::from_be_bytes(zeros[at..at + 4].try_into().unwrap()) as usize;
        if &zeros[at + 4..at + 8] == b"IDAT" {
            packed.extend(&zeros[at + 8..at + 8 + length]);
        }
        at += length + 12;
    }
    let content = [&b"iCCPname\0\0"[..], &packed].concat();
    write(&path, &rgb8(3, 2), ImageFormat::Png);
    let mut png = fs::read(&path).unwrap();
    let chunk = [&(content.len() as u32 - 4).to_be_bytes(), &content[..], &crc32(&content).to_be_bytes()].concat();
    png.splice(33..33, chunk);
    fs::write(&path, png).unwrap();
    let taken = peak(|| assert_eq!(read_noted(&path).unwrap().notes, [Note::ProfileUnreadable]));
    assert!(taken < 160 << 20, "{taken} bytes");
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

/// The one line on standard error of a program that ended with exit code 1.
fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    text.lines().last().unwrap_or_default().to_owned()
}

/// Ends this program, when it is the one that the test below starts.
#[test]
fn no_more_memory_is_said_with_what_was_being_done() {
    const CHILD: &str = "DP2O_TEST_OUT_OF_MEMORY";
    if std::env::var_os(CHILD).is_some() {
        memory::doing("counting stars");
        drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 62)));
    }
    let name = "no_more_memory_is_said_with_what_was_being_done";
    let child = Command::new(std::env::current_exe().unwrap()).env(CHILD, "1").args(["--exact", name]).output();
    let line = last_line(&child.unwrap());
    assert_eq!(line, "dp2o-studio: out of memory while counting stars: 4398046511104 MB more are not to be had");
}

/// Scores a black picture of this side with so many MB of address space.
#[cfg(target_os = "linux")]
fn scored_within(megabytes: u64, side: u32) -> String {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("black.png");
    write(&path, &DynamicImage::new_luma8(side, side), ImageFormat::Png);
    let command = format!("ulimit -v {}; exec \"$0\" iqa --metric niqe \"$1\"", megabytes << 10);
    let mut shell = Command::new("sh");
    shell.args(["-c", &command, env!("CARGO_BIN_EXE_dp2o-studio")]).arg(&path).env("RAYON_NUM_THREADS", "2");
    last_line(&shell.output().unwrap())
}

#[test]
#[cfg(target_os = "linux")]
fn a_picture_beyond_memory_is_refused_before_it_is_read() {
    let line = scored_within(950, 9900);
    assert!(line.contains("black.png: 9900×9900 px take 1121 MB of memory, "), "{line}");
}

/// The program itself takes about 200 MB of address space, the picture 286 MB, and scoring it more than is left.
#[test]
#[cfg(target_os = "linux")]
fn scoring_beyond_memory_says_so() {
    let line = scored_within(600, 5000);
    assert!(line.starts_with("dp2o-studio: out of memory while reading and scoring /"), "{line}");
    assert!(line.contains("black.png: ") && line.ends_with(" MB more are not to be had"), "{line}");
}

/// Scores exist in blocks only: what attention takes, forward and backward, grows as the tokens do and not as their square.
#[test]
fn attention_takes_memory_linear_in_its_tokens() {
    use candle_core::{Device, Tensor};
    use dp2o_studio::nn::kernels::Compute;
    use dp2o_studio::nn::tape::Tape;

    let _alone = alone();
    let kernels = Compute::cpu().kernels;
    let (heads, channels) = (2, 64);
    let bytes = |tokens: usize| {
        let values = |seed: usize| {
            let values = (0..tokens * channels).map(|i| ((i * 37 + seed) % 101) as f32 / 50.0 - 1.0);
            Tensor::from_iter(values, &Device::Cpu).unwrap().reshape((1, tokens, channels)).unwrap()
        };
        let [q, k, v, dy] = [1, 2, 3, 4].map(values);
        let run = || {
            let tape = Tape::recording(&kernels);
            let [q, k, v] = [&q, &k, &v].map(|t| tape.leaf(t.clone()));
            let y = tape.attention(&q, &k, &v, heads).unwrap();
            drop(tape.backward(&y, dy.clone()).unwrap());
        };
        // Buffers that threads keep are no part of what another run takes.
        run();
        peak(run)
    };
    let (few, many) = (bytes(1024), bytes(3072));
    println!("{few} bytes of 1024 tokens, {many} of 3072");
    assert!(many <= 7 * few / 2, "{few} bytes of 1024 tokens, {many} of 3072");
    // Half of what the scores alone would take.
    assert!(many < 4 * heads * 3072 * 3072 / 2, "{many} bytes");
}
