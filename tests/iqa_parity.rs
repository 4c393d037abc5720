//! Our metrics against independent implementations (pyiqa, stlpips_pytorch) on committed images.
//! `tests/fixtures/make_iqa.py` made the images and the reference scores.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dp2o_studio::imaging::Image;
use dp2o_studio::iqa;
use serde::Deserialize;

/// One image and its reference scores.
#[derive(Deserialize)]
struct Case {
    image: String,
    reference: Option<String>,
    scores: BTreeMap<String, f64>,
    #[serde(default)]
    maps: BTreeMap<String, MapValues>,
}

/// A map by its mean and 4 × 4 of its values, at the centres of equal cells.
#[derive(Deserialize)]
struct MapValues {
    mean: f64,
    grid: Vec<Vec<f64>>,
}

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", "iqa"].iter().collect()
}

fn cases() -> Vec<Case> {
    serde_json::from_str(&std::fs::read_to_string(folder().join("scores.json")).unwrap()).unwrap()
}

fn load(name: &str) -> Image {
    let rgb = image::open(folder().join(name)).unwrap().to_rgb8();
    let plane = |c: usize| rgb.as_raw().iter().skip(c).step_by(3).map(|&v| v as f32 / 255.0);
    Image::new(rgb.width() as usize, rgb.height() as usize, (0..3).flat_map(plane).collect()).unwrap()
}

/// The largest difference allowed from a reference score.
fn tolerance(metric: &str, want: f64) -> f64 {
    match metric {
        "psnr" | "psnry" | "ssim" | "ssimy" | "ms_ssim" | "ms_ssim_s4" => 1e-4,
        "stlpips" => 1e-3 * want.abs(),
        // The worst differences that there are: 1.9e-3, 4.9e-4, 4.5e-3 and 3.3e-5. Counted signs and shapes of a table jump.
        "niqe" => 2e-3 * want.abs(),
        "niqe_b32" => 5e-4 * want.abs(),
        "brisque" => 5e-3 * want.abs(),
        "piqe" => 4e-5 * want.abs(),
        other => panic!("no tolerance for {other}"),
    }
}

#[test]
fn scores_agree_with_the_reference_implementations() {
    let mut failures = vec![];
    let mut compared = BTreeMap::<String, usize>::new();
    for case in cases() {
        let image = load(&case.image);
        let reference = case.reference.as_deref().map(load);
        for (metric, want) in case.scores {
            let got = iqa::by_name(&metric).unwrap().score(&image, reference.as_ref()).unwrap();
            let line = format!("{:24} {metric:10} {got:12.7} {want:12.7} {:9.1e}", case.image, (got - want) / want);
            println!("{line}");
            let is_close = (got - want).abs() <= tolerance(&metric, want);
            *compared.entry(metric).or_default() += 1;
            if !is_close {
                failures.push(line);
            }
        }
    }
    assert!(failures.is_empty(), "too far from the reference:\n{}", failures.join("\n"));
    // Those that need files of weights are compared in `tests/learned`; those against the LR image are others of these; grain is
    // nobody else's.
    let here = |metric: &std::sync::Arc<dyn iqa::Metric>| {
        metric.needs().is_empty() && !metric.info().against_lr && metric.info().name != "grain"
    };
    for metric in iqa::all().into_iter().filter(here) {
        let count = compared.get(metric.info().name.as_ref()).copied().unwrap_or(0);
        assert!(count >= 6, "{} was compared on {count} images only", metric.info().name);
    }
}

/// A picture of `tests/fixtures/make_brisque.py`: fields of 24 pixels, every other one flat, the others with noise.
fn flat_and_noisy([side, bits]: [usize; 2]) -> Image {
    let noise = |i: usize| {
        let step = 0x9e37_79b9_7f4a_7c15u64;
        let z = (side as u64).wrapping_add((i as u64 + 1).wrapping_mul(step));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) >> (64 - bits)
    };
    let value = |(c, i): (usize, usize)| {
        let field = (i % side / 24 + i / side / 24) % 2;
        let noise = if field == 1 { noise(3 * i + c) } else { 0 };
        (60 + 40 * c as u64 + noise) as f32 / 255.0
    };
    let data = (0..3).flat_map(|c| (0..side * side).map(move |i| (c, i))).map(value);
    Image::new(side, side, data.collect()).unwrap()
}

#[test]
fn brisque_agrees_with_double_precision() {
    #[derive(Deserialize)]
    struct Row {
        image: Option<String>,
        flat_and_noisy: Option<[usize; 2]>,
        score: f64,
    }
    let rows: Vec<Row> =
        serde_json::from_str(&std::fs::read_to_string(folder().join("brisque.json")).unwrap()).unwrap();
    let mut worst = (0.0f64, String::new());
    for row in rows {
        let image = row.image.as_deref().map(load).or(row.flat_and_noisy.map(flat_and_noisy)).unwrap();
        let got = iqa::by_name("brisque").unwrap().score(&image, None).unwrap();
        let (far, name) = ((got - row.score).abs(), format!("{:?} {:?}", row.image, row.flat_and_noisy));
        println!("{name}: {got:.5} {:.5}", row.score);
        if far > worst.0 {
            worst = (far, name);
        }
    }
    println!("parity: brisque (float64): {:.2e} at worst, {}", worst.0, worst.1);
    // Single precision counts other signs where an area is nearly flat.
    assert!(worst.0 < 0.3, "{worst:?}");
}

#[test]
fn maps_agree_with_the_reference_implementations() {
    let mut compared = 0;
    for case in cases() {
        let Some(reference) = case.reference.as_deref().map(load) else { continue };
        let image = load(&case.image);
        for (metric, want) in &case.maps {
            let map = iqa::by_name(metric).unwrap().map(&image, Some(&reference)).unwrap().unwrap();
            // The reference gives SSIM for whole windows only, and as a similarity.
            let (border, sign) = if metric == "ssim" { (5, -1.0) } else { (0, 1.0) };
            let (width, height) = (map.width - 2 * border, map.height - 2 * border);
            let at = |x: usize, y: usize| {
                let value = map.data[(y + border) * map.width + x + border] as f64;
                if sign < 0.0 { 1.0 - value } else { value }
            };
            let sum: f64 = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| at(x, y)).sum();
            let close = |got: f64, want: f64| (got - want).abs() < 1e-3 * want.abs() + 1e-4;
            let mean = sum / (width * height) as f64;
            assert!(close(mean, want.mean), "{} {metric}: mean {mean} instead of {}", case.image, want.mean);
            for (i, row) in want.grid.iter().enumerate() {
                for (j, &want) in row.iter().enumerate() {
                    let got = at(width * (2 * j + 1) / 8, height * (2 * i + 1) / 8);
                    assert!(close(got, want), "{} {metric} cell ({j}, {i}): {got} instead of {want}", case.image);
                    compared += 1;
                }
            }
        }
    }
    assert!(compared >= 2 * 6 * 16, "only {compared} values were compared");
}
