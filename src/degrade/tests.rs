//! Degradations as a whole: what a seed fixes, what a record holds, what the ranges allow.

use super::*;
use crate::imaging::quantize::quantized;
use crate::imaging::resize::shrink_x4;
use std::collections::HashMap;

/// Smooth shapes with some texture, in colour.
fn photograph(width: usize, height: usize) -> Image {
    let value = |c: usize, x: usize, y: usize| {
        let (x, y, c) = (x as f32, y as f32, c as f32);
        0.5 + 0.3 * (x * 0.07 + c).sin() * (y * 0.05).cos() + 0.1 * (x * 0.9 + y * 1.3).sin()
    };
    let data = (0..3).flat_map(|c| (0..height).flat_map(move |y| (0..width).map(move |x| value(c, x, y))));
    Image::new(width, height, data.collect()).unwrap()
}

fn presets() -> impl Iterator<Item = (&'static str, Degradation)> {
    PRESETS.into_iter().map(|name| (name, Degradation::named(name).unwrap()))
}

#[test]
fn a_seed_and_a_record_each_fix_the_lr_image() {
    let hr = photograph(97, 66);
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for (name, recipe) in presets() {
        for seed in 0..40 {
            let (lr, applied) = degrade(&hr, &recipe, seed).unwrap();
            assert_eq!((lr.width(), lr.height()), (24, 16), "{name}");
            assert!(lr.data().iter().all(|v| (0.0..=1.0).contains(v)));
            assert_eq!(quantized(&lr), lr);
            assert_eq!(one_thread.install(|| degrade(&hr, &recipe, seed)).unwrap(), (lr.clone(), applied.clone()));

            let json = serde_json::to_string(&applied).unwrap();
            let from_json: Applied = serde_json::from_str(&json).unwrap();
            let from_ron: Applied = ron::from_str(&ron::to_string(&applied).unwrap()).unwrap();
            assert_eq!((&from_json, &from_ron), (&applied, &applied));
            assert_eq!(replay(&hr, &from_json).unwrap(), lr, "{name}, seed {seed}: {json}");
        }
    }
    let recipe = Degradation::realesrgan_x4();
    assert_ne!(degrade(&hr, &recipe, 1).unwrap().0, degrade(&hr, &recipe, 2).unwrap().0);
}

/// What is stored by one version must be replayed by the next: these digests were obtained once and stay.
#[test]
fn seeds_keep_their_meaning() {
    use sha2::{Digest, Sha256};
    let hr = crate::imaging::fixture::picture(160, 120, 0);
    let digests = presets().map(|(_, recipe)| {
        let mut hasher = Sha256::new();
        for seed in 0..16 {
            hasher.update(crate::imaging::quantize::to_rgb8(&degrade(&hr, &recipe, seed).unwrap().0));
        }
        hasher.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect::<String>()
    });
    assert_eq!(digests.take(3).collect::<Vec<_>>(), ["5e52fef5ac9d8555", "4e461f3ad66d6555", "c053fe793feed2f5"]);
}

#[test]
fn chroma_at_half_the_resolution_leaves_luma_and_older_records_as_they_were() {
    let hr = photograph(160, 120);
    let [full, half] = ["realesrgan_x4", "realesrgan_x4_420"].map(|name| {
        let recipe = Degradation::named(name).unwrap();
        degrade(&hr, &recipe, 3).unwrap()
    });
    let without = |applied: &Applied| serde_json::to_string(applied).unwrap().replace("true", "false");
    assert_ne!(half.1, full.1);
    assert_eq!(without(&half.1), without(&full.1), "the same draws");
    assert_ne!(half.0, full.0);
    assert_eq!(replay(&hr, &half.1).unwrap(), half.0);
    let old = serde_json::to_string(&full.1).unwrap().replace(",\"halves_chroma\":false", "");
    assert!(!old.contains("chroma"));
    assert_eq!(replay(&hr, &serde_json::from_str(&old).unwrap()).unwrap(), full.0);
    // Luma of one compression alone: a step of 8 bits apart on average at most; color is coarser.
    let [a, b] = [false, true].map(|halves| super::jpeg::round_trip(&hr, 90, halves).unwrap());
    let luma =
        |image: &Image, i: usize| 0.299 * image.plane(0)[i] + 0.587 * image.plane(1)[i] + 0.114 * image.plane(2)[i];
    let apart = (0..160 * 120).map(|i| (luma(&a, i) - luma(&b, i)).abs()).sum::<f32>() / (160.0 * 120.0);
    assert!(apart < 1.0 / 255.0, "{apart}");
}

#[test]
fn bicubic_is_the_resize_and_nothing_else() {
    let hr = photograph(64, 48);
    let (lr, applied) = degrade(&hr, &Degradation::bicubic_x4(), 9).unwrap();
    assert_eq!(lr, quantized(&shrink_x4(&hr).unwrap()));
    assert_eq!(applied.steps.len(), 1);
}

#[test]
fn drawn_parameters_stay_in_the_published_ranges() {
    const SEEDS: u64 = 4000;
    let hr_px = [512, 384];
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut count = |what: &str| *counts.entry(what.to_owned()).or_default() += 1;
    let within = |v: f32, low: f32, high: f32| assert!((low..=high).contains(&v), "{v} outside {low} to {high}");
    for seed in 0..SEEDS {
        let steps = sample::draw(&Degradation::realesrgan_x4(), hr_px, seed).steps;
        let mut noises = 0;
        for step in &steps {
            match *step {
                Step::Blur(Kernel { size_px, profile }) => {
                    assert!(size_px % 2 == 1 && (7..=21).contains(&size_px));
                    match profile {
                        Profile::Gaussian { sigma_px, beta, .. } => {
                            for s in sigma_px {
                                within(s, 0.2, if noises == 0 { 3.0 } else { 1.5 })
                            }
                            within(beta, 0.5, 4.0);
                        }
                        Profile::Plateau { beta, .. } => within(beta, 1.0, 2.0),
                        Profile::Sinc { cutoff_rad_per_px } => {
                            within(cutoff_rad_per_px, std::f32::consts::PI / 5.0, std::f32::consts::PI + 1e-6);
                        }
                    }
                }
                Step::Resize { width, height, antialias, .. } => {
                    assert!(!antialias);
                    let base = if noises == 0 { hr_px } else { hr_px.map(|s| s / 4) };
                    let (low, high) = if noises == 0 { (0.14, 1.5) } else { (0.29, 1.2) };
                    within(width as f32 / base[0] as f32, low, high);
                    within(height as f32 / base[1] as f32, low, high);
                }
                Step::GaussianNoise { sigma_255, gray } => {
                    within(sigma_255, 1.0, if noises == 0 { 30.0 } else { 25.0 });
                    noises += 1;
                    count("gaussian");
                    if gray {
                        count("gray");
                    }
                }
                Step::PoissonNoise { scale, gray } => {
                    within(scale, 0.05, if noises == 0 { 3.0 } else { 2.5 });
                    noises += 1;
                    if gray {
                        count("gray");
                    }
                }
                Step::Jpeg { quality, .. } => assert!((30..=95).contains(&quality)),
            }
        }
        assert_eq!(noises, 2);
        if let Step::Blur(Kernel { profile, .. }) = steps[0] {
            match profile {
                Profile::Sinc { .. } => count("first sinc"),
                Profile::Plateau { .. } => count("first plateau"),
                Profile::Gaussian { beta: 1.0, sigma_px: [a, b], .. } if a == b => count("first iso"),
                Profile::Gaussian { .. } => {}
            }
        }
        if matches!(steps.last(), Some(Step::Jpeg { .. })) {
            count("jpeg last");
        }
        assert_eq!(steps.iter().filter(|s| matches!(s, Step::Jpeg { .. })).count(), 2);
    }
    let expected = [
        ("gaussian", 2.0 * 0.5),
        ("gray", 2.0 * 0.4),
        ("first sinc", 0.1),
        ("first plateau", 0.9 * 0.15),
        ("first iso", 0.9 * 0.45),
        ("jpeg last", 0.5),
    ];
    for (what, share) in expected {
        let found = counts[what] as f64 / SEEDS as f64;
        assert!((found - share).abs() < 0.035, "{what}: {found} instead of {share}");
    }
}

#[test]
fn kernels_sum_to_one_and_are_symmetric() {
    let recipe = Degradation::realesrgan_x4();
    for seed in 0..500 {
        for step in sample::draw(&recipe, [256, 256], seed).steps {
            if let Step::Blur(kernel) = step {
                let weights = kernel.weights().unwrap();
                let sum: f32 = weights.iter().sum();
                assert!((sum - 1.0).abs() < 1e-5, "{kernel:?}: {sum}");
                for (a, b) in weights.iter().zip(weights.iter().rev()) {
                    assert!((a - b).abs() < 1e-6, "{kernel:?}");
                }
            }
        }
    }
}

#[test]
fn a_rougher_recipe_leaves_a_larger_error() {
    let hr = photograph(192, 128);
    let clean = shrink_x4(&hr).unwrap();
    let error = |recipe: &Degradation| {
        let errors = (0..24).map(|seed| {
            let (lr, _) = degrade(&hr, recipe, seed).unwrap();
            lr.data().iter().zip(clean.data()).map(|(a, b)| (a - b).abs()).sum::<f32>() / lr.data().len() as f32
        });
        errors.sum::<f32>() / 24.0
    };
    let [bicubic, light, heavy, _] = PRESETS.map(|name| error(&Degradation::named(name).unwrap()));
    assert!(bicubic < 0.5 / 255.0 && 2.0 * bicubic < light && 2.0 * light < heavy, "{bicubic} {light} {heavy}");

    let noisy = |sigma: f32| {
        let mut recipe = Degradation::light_x4();
        let noise = &mut recipe.stages[0].noise;
        (noise.probability, noise.gaussian_probability, noise.sigma_255) = (1.0, 1.0, [sigma, sigma]);
        error(&recipe)
    };
    assert!(noisy(2.0) < noisy(8.0) && noisy(8.0) < noisy(30.0));
}

#[test]
fn recipes_are_written_and_read_and_nonsense_is_refused() {
    for (name, recipe) in presets() {
        recipe.validate().unwrap();
        let text = ron::ser::to_string_pretty(&recipe, Default::default()).unwrap();
        assert_eq!(ron::from_str::<Degradation>(&text).unwrap(), recipe, "{name}");
    }
    assert!(Degradation::named("bicubic").unwrap_err().to_string().contains("bicubic_x4"));

    let broken: [fn(&mut Degradation); 9] = [
        |r| r.stages[0].reduction = 3,
        |r| r.stages[0].blur.size_px = [7, 20],
        |r| r.stages[0].blur.probability = f32::NAN,
        |r| r.stages[0].blur.shapes.clear(),
        |r| r.stages[1].blur.sigma_px = [2.0, 1.0],
        |r| r.stages[1].resize.modes.clear(),
        |r| r.stages[1].noise.sigma_255 = [-1.0, 5.0],
        |r| r.finish.jpeg = Some([0, 95]),
        |r| r.finish.modes.clear(),
    ];
    for (i, change) in broken.iter().enumerate() {
        let mut recipe = Degradation::realesrgan_x4();
        change(&mut recipe);
        assert!(degrade(&photograph(16, 16), &recipe, 0).is_err(), "case {i}");
    }
}

#[test]
fn small_images_work_and_impossible_ones_are_errors() {
    for (_, recipe) in presets() {
        for seed in 0..20 {
            assert_eq!(degrade(&photograph(5, 4), &recipe, seed).unwrap().0.width(), 1);
        }
        assert!(degrade(&photograph(3, 40), &recipe, 0).is_err());
    }
}

#[test]
fn damaged_records_are_errors() {
    let hr = photograph(32, 32);
    let (_, good) = degrade(&hr, &Degradation::realesrgan_x4(), 0).unwrap();
    let kernel = |size_px, profile| Step::Blur(Kernel { size_px, profile });
    let size = |side| Step::Resize {
        width: side,
        height: side,
        filter: crate::imaging::resize::Filter::Area,
        antialias: true,
    };
    let steps = [
        kernel(8, Profile::Sinc { cutoff_rad_per_px: 1.0 }),
        kernel(1_000_001, Profile::Sinc { cutoff_rad_per_px: 1.0 }),
        kernel(7, Profile::Sinc { cutoff_rad_per_px: 0.0 }),
        kernel(7, Profile::Gaussian { sigma_px: [f32::NAN, 1.0], angle_rad: 0.0, beta: 1.0 }),
        size(0),
        size(usize::MAX),
        size(9),
        Step::GaussianNoise { sigma_255: f32::NAN, gray: true },
        Step::PoissonNoise { scale: -1.0, gray: true },
        Step::Jpeg { quality: 0, halves_chroma: false },
    ];
    for step in steps {
        let mut steps = good.steps.clone();
        steps.push(step);
        assert!(replay(&hr, &Applied { steps, ..good.clone() }).is_err(), "{step:?}");
    }
    assert!(replay(&photograph(36, 32), &good).is_err());
    assert!(replay(&hr, &Applied { steps: Vec::new(), ..good }).is_err());
}
