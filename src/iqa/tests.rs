//! What must hold for every metric: bad input is an error that says why, scores are finite, improve and worsen in the
//! right direction, and depend neither on the threads nor on how they are asked for.

use std::sync::{Arc, LazyLock};

use super::*;
use crate::imaging::Image;
use crate::nn::kernels::Compute;
use crate::weights::Store;

/// A photograph of 224×192 pixels.
static PHOTOGRAPH: LazyLock<Image> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/iqa/life.png");
    let rgb = image::open(path).unwrap().to_rgb8();
    let plane = |c: usize| rgb.as_raw().iter().skip(c).step_by(3).map(|&v| v as f32 / 255.0);
    Image::new(rgb.width() as usize, rgb.height() as usize, (0..3).flat_map(plane).collect()).unwrap()
});

/// Those that need no file, nor an LR image: the others are in `tests/learned` and [`super::lr`].
fn here() -> Vec<Arc<dyn Metric>> {
    all().into_iter().filter(|metric| metric.needs().is_empty() && !metric.info().against_lr).collect()
}

fn full_reference() -> impl Iterator<Item = Arc<dyn Metric>> {
    here().into_iter().filter(|m| m.info().is_fr())
}

fn open(metric: &dyn Metric) -> Box<dyn Scorer> {
    metric.open(&Store::of_folders(&[], false), &Compute::cpu()).unwrap()
}

fn arcs(images: &[Image]) -> Vec<Arc<Image>> {
    images.iter().cloned().map(Arc::new).collect()
}

/// Uniform values in [-1, 1), the same ones in every run.
fn random(count: usize) -> impl Iterator<Item = f32> {
    let mut state = 12345u32;
    (0..count).map(move |_| {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
}

fn with_noise(image: &Image, amplitude: f32) -> Image {
    let noisy = image.data().iter().zip(random(image.data().len())).map(|(v, n)| (v + amplitude * n).clamp(0.0, 1.0));
    Image::new(image.width(), image.height(), noisy.collect()).unwrap()
}

/// Means over (2 radius + 1)² pixels.
fn blurred(image: &Image, radius: usize) -> Image {
    let (w, h) = (image.width(), image.height());
    let mut data = vec![];
    for plane in (0..3).map(|c| image.plane(c)) {
        for (x, y) in (0..h).flat_map(|y| (0..w).map(move |x| (x, y))) {
            let side = 2 * radius + 1;
            let at = |i: usize, k: usize, len: usize| (i + k).saturating_sub(radius).min(len - 1);
            let window = (0..side * side).map(|k| plane[at(y, k / side, h) * w + at(x, k % side, w)]);
            data.push(window.sum::<f32>() / (side * side) as f32);
        }
    }
    Image::new(w, h, data).unwrap()
}

fn constant(side: usize, value: f32) -> Image {
    Image::new(side, side, vec![value; 3 * side * side]).unwrap()
}

fn noise(side: usize) -> Image {
    with_noise(&constant(side, 0.5), 0.5)
}

#[test]
fn names_are_unique_and_an_unknown_one_lists_them() {
    for metric in all() {
        let info = metric.info();
        assert_eq!(by_name(&info.name).unwrap().info(), info);
        assert!(info.range.0 < info.range.1 && !info.version.is_empty() && !info.crop_policy.is_empty());
        assert!(
            info.crops > 0 && info.gflop >= 0.0 && !info.title.is_empty() && !info.paper.is_empty(),
            "{}",
            info.name
        );
        // Whoever has weights says under which terms they are.
        let has_weights = metric.weights_hash() != "none" || !metric.needs().is_empty();
        let is_fitted_here = info.name == "niqe_b32";
        assert_eq!(has_weights && !is_fitted_here, !metric.licences().is_empty(), "{}", info.name);
    }
    let message = by_name("lpipz").err().unwrap().to_string();
    assert!(all().iter().all(|m| message.contains(m.info().name.as_ref())), "{message}");
}

#[test]
fn hashes_name_the_weights() {
    let all = all().into_iter().filter(|metric| !metric.info().against_lr);
    let hashes: Vec<_> = all.map(|m| (m.info().name.clone(), m.weights_hash())).collect();
    for (name, hash) in &hashes {
        let has_weights = ["stlpips", "niqe", "niqe_b32", "brisque"].contains(&name.as_ref());
        assert_eq!(has_weights, *hash != "none", "{name}");
        assert!(!has_weights || (hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit())), "{name}: {hash}");
        assert_eq!(hashes.iter().filter(|(_, h)| h == hash && *h != "none").count(), usize::from(has_weights));
    }
}

#[test]
fn an_image_is_identical_to_itself() {
    for (name, want) in [("psnr", 80.0), ("ssim", 1.0), ("ms_ssim", 1.0), ("ms_ssim_s4", 1.0), ("stlpips", 0.0)] {
        let score = by_name(name).unwrap().score(&PHOTOGRAPH, Some(&PHOTOGRAPH)).unwrap();
        assert!((score - want).abs() < 1e-6, "{name}: {score}");
        let map = by_name(name).unwrap().map(&PHOTOGRAPH, Some(&PHOTOGRAPH)).unwrap().unwrap();
        assert!(map.data.iter().all(|v| v.abs() < 1e-5), "{name}");
    }
}

#[test]
fn more_noise_and_more_blur_are_worse() {
    let noisy: Vec<_> = [0.0, 0.05, 0.1, 0.2, 0.4].map(|a| with_noise(&PHOTOGRAPH, a)).into();
    let blurry: Vec<_> = [0, 1, 2, 4].map(|r| blurred(&PHOTOGRAPH, r)).into();
    for metric in here().into_iter().filter(|metric| metric.info().direction != Direction::Neither) {
        let name = metric.info().name.as_ref();
        for (kind, images) in [("noise", &noisy), ("blur", &blurry)] {
            let scores = images.iter().map(|image| metric.score(image, Some(&PHOTOGRAPH)).unwrap());
            let quality: Vec<_> = scores.map(|score| metric.info().direction.align(score)).collect();
            // PIQE takes a little noise for texture, in the original too.
            let from = usize::from(name == "piqe" && kind == "noise");
            assert!(quality[from..].windows(2).all(|w| w[0] > w[1]), "{name} under {kind}: {quality:?}");
        }
    }
}

#[test]
fn bad_input_is_an_error_that_says_why() {
    let message = |metric: &dyn Metric, image: &Image, reference: Option<&Image>| {
        metric.score(image, reference).err().map(|error| error.to_string()).unwrap_or_default()
    };
    for metric in here() {
        let info = metric.info();
        let (dot, small) = (constant(1, 0.5), noise(info.min_size_px.max(2) - 1));
        for image in [&dot, &small] {
            if image.width() < info.min_size_px {
                let text = message(metric.as_ref(), image, Some(image));
                assert!(
                    text.contains(info.name.as_ref()) && text.contains("needs at least"),
                    "{}: '{text}'",
                    info.name
                );
                assert!(metric.map(image, Some(image)).is_err(), "{}", info.name);
            }
        }
        for bad in [f32::NAN, f32::INFINITY] {
            let mut data = PHOTOGRAPH.data().to_vec();
            data[70_000] = bad;
            let image = Image::new(PHOTOGRAPH.width(), PHOTOGRAPH.height(), data).unwrap();
            let text = message(metric.as_ref(), &image, Some(&PHOTOGRAPH));
            assert!(text.contains("not finite"), "{}: '{text}'", info.name);
            assert!(metric.map(&image, Some(&PHOTOGRAPH)).is_err(), "{}", info.name);
        }
    }
    for metric in full_reference() {
        let text = message(metric.as_ref(), &PHOTOGRAPH, Some(&noise(224)));
        assert!(text.contains("224×192") && text.contains("224×224"), "{text}");
        assert!(message(metric.as_ref(), &PHOTOGRAPH, None).contains("needs a reference"));
    }
}

#[test]
fn every_metric_works_from_its_smallest_size_on() {
    for metric in here() {
        for extra in [0, 1, 2, 3, 7, 17] {
            let image = noise(metric.info().min_size_px + extra);
            let reference = blurred(&image, 1);
            let score = metric.score(&image, Some(&reference));
            assert!(score.as_ref().is_ok_and(|s| s.is_finite()), "{} +{extra}: {score:?}", metric.info().name);
        }
    }
}

#[test]
fn flat_images_have_finite_scores_and_maps() {
    for metric in here() {
        let side = metric.info().min_size_px.max(40) + 13;
        for value in [0.0, 0.5, 1.0] {
            let flat = constant(side, value);
            let half = {
                let data = (0..3 * side * side).map(|i| if i % side < side / 2 { value } else { 0.3 });
                Image::new(side, side, data.collect()).unwrap()
            };
            for (image, reference) in [(&flat, &flat), (&half, &flat), (&flat, &half)] {
                let score = metric.score(image, Some(reference));
                assert!(score.as_ref().is_ok_and(|s| s.is_finite()), "{} {value}: {score:?}", metric.info().name);
                let map = metric.map(image, Some(reference)).unwrap().unwrap();
                assert!(map.data.iter().all(|v| v.is_finite()), "{} {value}", metric.info().name);
            }
        }
    }
}

#[test]
fn maps_cover_the_image_and_point_at_the_distortion() {
    let (w, h) = (PHOTOGRAPH.width(), PHOTOGRAPH.height());
    let noisy = with_noise(&PHOTOGRAPH, 0.3);
    // Noise in the left third only.
    let data = PHOTOGRAPH.data().iter().zip(noisy.data()).enumerate();
    let mixed = data.map(|(i, (clean, noisy))| if i % w < w / 3 { *noisy } else { *clean });
    let mixed = Image::new(w, h, mixed.collect()).unwrap();
    for metric in here() {
        let name = metric.info().name.as_ref();
        let map = metric.map(&mixed, Some(&PHOTOGRAPH)).unwrap().unwrap();
        assert_eq!((map.width, map.height, map.data.len()), (w, h, w * h), "{name}");
        let mean = |columns: std::ops::Range<usize>| {
            let values = map.data.iter().enumerate().filter(|(i, _)| columns.contains(&(i % w)));
            values.map(|(_, v)| *v as f64).sum::<f64>() / (columns.len() * h) as f64
        };
        let (distorted, clean) = (mean(0..w / 3), mean(2 * w / 3..w));
        assert!(distorted > 1.1 * clean, "{name}: {distorted} where distorted, {clean} elsewhere");
    }
}

#[test]
fn a_bound_reference_gives_the_same_scores_in_any_batch_and_order() {
    let images = arcs(&[0.02, 0.1, 0.3].map(|a| with_noise(&PHOTOGRAPH, a)));
    let reference = Arc::new(PHOTOGRAPH.clone());
    for metric in here() {
        let (name, scorer, group) = (metric.info().name.clone(), open(metric.as_ref()), Features::default());
        let bound = scorer.bind(Some(&reference), &group).unwrap();
        let scores = |images: &[Arc<Image>]| -> Vec<f64> {
            bound.scores(images, &group.within()).into_iter().map(Result::unwrap).collect()
        };
        let alone: Vec<f64> = images.iter().map(|image| metric.score(image, Some(&PHOTOGRAPH)).unwrap()).collect();
        let [a, b, c] = [0, 1, 2].map(|i: usize| images[i].clone());
        assert_eq!(scores(&images), alone, "{name}");
        assert_eq!(scores(&[c.clone(), a.clone(), b, a, c]), [2, 0, 1, 0, 2].map(|i: usize| alone[i]), "{name}");
        if !metric.info().is_fr() {
            assert_eq!(metric.score(&images[0], None).unwrap(), alone[0]);
        }
        // One image at fault is no other's fault.
        let some = bound.scores(&[images[1].clone(), Arc::new(constant(1, 0.5)), images[2].clone()], &group);
        let some: Vec<_> = some.into_iter().map(Result::ok).collect();
        assert_eq!([some[0], some[2]], [Some(alone[1]), Some(alone[2])], "{name}");
        assert!(some[1].is_none() || metric.info().min_size_px == 1 && !metric.info().is_fr(), "{name}");
    }
}

#[test]
fn scores_do_not_depend_on_the_number_of_threads() {
    let image = with_noise(&PHOTOGRAPH, 0.1);
    let scores = |threads: usize| -> Vec<f64> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| here().iter().map(|metric| metric.score(&image, Some(&PHOTOGRAPH)).unwrap()).collect())
    };
    assert_eq!(scores(1), scores(3));
}

#[test]
fn many_threads_may_score_at_once() {
    let images = arcs(&(0..8).map(|i| with_noise(&PHOTOGRAPH, 0.02 * i as f32)).collect::<Vec<_>>());
    let reference = Arc::new(PHOTOGRAPH.clone());
    for metric in here() {
        let (scorer, group) = (open(metric.as_ref()), Features::default());
        let bound = scorer.bind(Some(&reference), &group).unwrap();
        let alone: Vec<_> = images.iter().map(|image| bound.score(image, &group.within()).unwrap()).collect();
        let together: Vec<_> = std::thread::scope(|scope| {
            let (bound, group) = (&*bound, &group);
            let handles: Vec<_> =
                images.iter().map(|image| scope.spawn(move || bound.score(image, group).unwrap())).collect();
            handles.into_iter().map(|handle| handle.join().unwrap()).collect()
        });
        assert_eq!(alone, together, "{}", metric.info().name);
    }
}
