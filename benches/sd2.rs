//! C-SD2 at full size with random weights, 512×512, on the CPU: what `benches/sd2_pytorch.py` times in diffusers.
//!
//! * `make`: writes 6.6 GB of weights into the folder, once (`--half`: 3.3 GB in f16).
//! * `open`: from files to the first prediction, and what is resident then.
//! * `forward`: U-Net and ControlNet, two items, as guidance needs.
//! * `step`: one step of Diffusion-DPO on one pair, as the trainer makes it: reference, policy, backward of the ControlNet, AdamW.
//! * `decode`, `encode`: the autoencoder.
//! * `error`: what a prediction in bf16 is off by from one in f32, of the root mean square of that.
//!
//! Each prints a line of JSON: seconds (the least of its runs), and the peak of memory in use, weights included.
//!
//! `cargo bench --bench sd2 -- make DIR; cargo bench --bench sd2 -- forward DIR [--half | --bf16] [--recompute] [--runs N]`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use dp2o_studio::backbones::condition::{Kept, Prompt, Shown};
use dp2o_studio::backbones::{Backbone, Query, registry};
use dp2o_studio::imaging::Image;
use dp2o_studio::memory;
use dp2o_studio::method::recipe::{Activations, Augmentation, Training};
use dp2o_studio::method::trainer::{PairImages, Pairs, Trainer, Under};
use dp2o_studio::networks::clip_text::{self, ClipText};
use dp2o_studio::networks::controlnet_sd::{self, ControlNet};
use dp2o_studio::networks::unet_sd::{self, Unet};
use dp2o_studio::networks::vae_kl::{self, Vae};
use dp2o_studio::nn::kernels::{Compute, Precision};
use dp2o_studio::nn::params::{Params, Specs};
use dp2o_studio::nn::tape::Tape;
use dp2o_studio::nn::tensors::{self, Named, Values};
use dp2o_studio::random::Random;
use dp2o_studio::weights::Store;

/// As in the program.
#[global_allocator]
static ALLOCATOR: dp2o_studio::memory::Counted = dp2o_studio::memory::Counted;

/// Side of a picture in latents: 512 px.
const SIDE: usize = 64;

fn main() {
    memory::keep_freed();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let has = |word: &str| words.iter().any(|other| other == word);
    let runs = words.iter().position(|word| word == "--runs").and_then(|at| words.get(at + 1)?.parse().ok());
    let (Some(what), Some(dir)) = (words.first(), words.get(1).map(PathBuf::from)) else {
        return println!("which of make, open, forward, step, decode, encode, error, and the folder of weights?");
    };
    if what == "make" {
        return make(&dir, has("--half"));
    }
    // Frozen weights kept in f16, or in bf16 and multiplied so; else in the type of the files.
    let (frozen, products) = match (has("--bf16"), has("--half")) {
        (true, _) => (DType::BF16, DType::BF16),
        (_, true) => (DType::F16, DType::F32),
        _ => (DType::F32, DType::F32),
    };
    let activations = if has("--recompute") { Activations::Recompute } else { Activations::Keep };
    let on = Compute::cpu().in_precision(Precision { frozen, products });
    let store = Store::of_machine(&[dir], true);
    if what == "error" {
        return error(&store);
    }
    let ((seconds, resident), peak) = memory::peak_of(|| match what.as_str() {
        "open" => open(&on, &store),
        "forward" => forward(&on, &store, runs.unwrap_or(3)),
        "step" => step(&on, &store, (runs.unwrap_or(2), activations)),
        "decode" => codec(&on, &store, runs.unwrap_or(3), false),
        "encode" => codec(&on, &store, runs.unwrap_or(3), true),
        other => panic!("there is no {other}"),
    });
    let peak = peak.map_or(0.0, |bytes| bytes as f64 / 1e9);
    println!(
        "{{\"what\": \"{what}\", \"seconds\": {seconds:.3}, \"peak_gb\": {peak:.3}, \"resident_gb\": {resident:.3}, \
         \"most_resident_gb\": {:.3}}}",
        gb_of("VmHWM:")
    );
}

fn opened(on: &Compute, store: &Store) -> Arc<dyn Backbone> {
    registry::open("sd2", on, store).unwrap_or_else(|e| panic!("{e}"))
}

/// What the process has in memory, in GB.
fn resident() -> f64 {
    gb_of("VmRSS:")
}

/// A line of what the system says of this process's memory.
fn gb_of(what: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) * 1024.0 / 1e9
}

fn noise(key: u64, shape: [usize; 4]) -> Tensor {
    let [count, channels, height, width] = shape;
    Tensor::from_vec(Random::new(key, 9).normal_image(count * channels, height, width), &shape, &Device::Cpu)
        .expect("the shape is right")
}

/// What the network is shown of an enlarged picture and a text, made up.
fn shown(count: usize) -> Shown {
    let image = noise(3, [1, 3, 8 * SIDE, 8 * SIDE]).affine(0.1, 0.5).expect("values");
    let text = noise(4, [1, 1, 77, 1024]).reshape((1, 77, 1024)).expect("the shape is right");
    Shown::of(vec![image], vec![text]).repeated(count).expect("one is repeated")
}

/// The least seconds of several runs after one that does not count; on standard error, those of each and of all threads'
/// work, which says more where others are at work too.
fn timed(runs: usize, mut run: impl FnMut()) -> f64 {
    let mut once = || {
        let (start, before) = (Instant::now(), worked());
        run();
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("{seconds:.3} s, {:.2} s of work", worked() - before);
        seconds
    };
    let first = once();
    (0..runs).map(|_| once()).reduce(f64::min).unwrap_or(first)
}

/// Seconds that all threads together were at work, in hundredths.
fn worked() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// A model that was read once before, so that its files are in the system's memory.
fn open(on: &Compute, store: &Store) -> (f64, f64) {
    drop(opened(on, store).reference());
    let start = Instant::now();
    let backbone = opened(on, store);
    let _adapter = backbone.reference().expect("the ControlNet");
    let seconds = start.elapsed().as_secs_f64();
    (seconds, resident())
}

fn forward(on: &Compute, store: &Store, runs: usize) -> (f64, f64) {
    let backbone = opened(on, store);
    let adapter = backbone.reference().expect("the ControlNet");
    let (x, times, shown) = (noise(1, [2, 4, SIDE, SIDE]), [500.0; 2], shown(2));
    let seconds = timed(runs, || {
        let query = Query::new(&x, &times, &shown);
        let y = backbone.predict(&Tape::inference(&on.kernels), &adapter, &query).expect("a prediction");
        assert!(y.tensor().sum_all().and_then(|sum| sum.to_scalar::<f32>()).expect("a sum").is_finite());
    });
    (seconds, resident())
}

/// One network after the other is in memory.
fn error(store: &Store) {
    let predicted = |precision: Precision| -> Vec<f32> {
        let on = Compute::cpu().in_precision(precision);
        let backbone = opened(&on, store);
        let adapter = backbone.reference().expect("the ControlNet");
        let (x, times, shown) = (noise(1, [2, 4, SIDE, SIDE]), [500.0; 2], shown(2));
        let query = Query::new(&x, &times, &shown);
        let y = backbone.predict(&Tape::inference(&on.kernels), &adapter, &query).expect("a prediction");
        y.tensor().flatten_all().and_then(|y| y.to_vec1()).expect("values")
    };
    let exact = predicted(Precision::default());
    let bf16 = predicted(Precision { frozen: DType::BF16, products: DType::BF16 });
    let mean = |values: &mut dyn Iterator<Item = f32>| {
        (values.map(|v| f64::from(v).powi(2)).sum::<f64>() / exact.len() as f64).sqrt()
    };
    let (size, off) = (mean(&mut exact.iter().copied()), mean(&mut exact.iter().zip(&bf16).map(|(a, b)| a - b)));
    let most = exact.iter().zip(&bf16).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
    println!("{{\"what\": \"error\", \"rms\": {:.2e}, \"most\": {:.2e}}}", off / size, f64::from(most) / size);
}

fn step(on: &Compute, store: &Store, (runs, activations): (usize, Activations)) -> (f64, f64) {
    let backbone = opened(on, store);
    let reference = backbone.reference().expect("the ControlNet");
    // Nothing is learned, so that every step is of the same size.
    let settings =
        Training { batch_pairs: 1, accumulation: 1, learning_rate: 0.0, ema_decay: 0.0, ..Training::default() };
    let settings = Training { warmup_steps: 0, augmentation: Augmentation::None, activations, ..settings };
    let mut trainer = Trainer::new(backbone.as_ref(), &reference, &reference, settings, 1).expect("memory");
    let lr = noise(3, [1, 3, 2 * SIDE, 2 * SIDE]).affine(0.1, 0.5).and_then(|lr| lr.flatten_all()?.to_vec1());
    let lr = Image::new(2 * SIDE, 2 * SIDE, lr.expect("values")).expect("a picture");
    let text = noise(4, [1, 1, 77, 1024]).reshape((1, 77, 1024)).expect("the shape is right");
    let mut pair = OnePair { lr, text, latents: [1, 2].map(|key| noise(key, [1, 4, SIDE, SIDE])) };
    let seconds = timed(runs, || {
        assert!(trainer.step(&mut pair, &mut |_| Ok(())).expect("a step").grad_norm.is_finite());
    });
    (seconds, resident())
}

/// A pair whose latents and text were kept.
struct OnePair {
    lr: Image,
    text: Tensor,
    latents: [Tensor; 2],
}

impl Pairs for OnePair {
    fn len(&self) -> usize {
        1
    }

    fn weight(&self, _: usize) -> f64 {
        1.0
    }

    fn image(&self, _: usize) -> Option<u64> {
        Some(1)
    }

    fn load(&mut self, _: usize) -> dp2o_studio::Result<PairImages> {
        Err(dp2o_studio::Error::invalid("the latents are there"))
    }

    fn latents(&mut self, _: usize) -> dp2o_studio::Result<Option<[Tensor; 2]>> {
        Ok(Some(self.latents.clone()))
    }

    fn under(&mut self, _: usize) -> dp2o_studio::Result<Under> {
        let texts = vec![[self.text.clone(), self.text.clone()]];
        Ok(Under { lr: self.lr.clone(), prompt: Prompt::default(), kept: Some(Kept { maps: vec![None], texts }) })
    }
}

fn codec(on: &Compute, store: &Store, runs: usize, encode: bool) -> (f64, f64) {
    let mut specs = Specs::default();
    let net = Vae::new(&mut specs, vae_kl::Config::SD);
    let source = store.open(&dp2o_studio::weights::registry::SD2_VAE).unwrap_or_else(|e| panic!("{e}"));
    let params = Params::from_source(&Arc::new(specs), &source, on).unwrap_or_else(|e| panic!("{e}")).lean();
    let sizes = if encode { [1, 3, 8 * SIDE, 8 * SIDE] } else { [1, 4, SIDE, SIDE] };
    let x = on.kernels.unshuffle(&noise(5, sizes), 1).expect("an image");
    let x = dp2o_studio::nn::tape::Var::constant(x);
    let seconds = timed(runs, || {
        let tape = Tape::inference(&on.kernels);
        match encode {
            true => drop(net.encode(&tape, &params, &x).expect("latents")),
            false => drop(net.decode(&tape, &params, &x).expect("a picture")),
        }
    });
    (seconds, resident())
}

/// Writes the published layout with random weights.
fn make(dir: &Path, half: bool) {
    let base = dir.join("stable-diffusion-2-base");
    let declare = |of: &dyn Fn(&mut Specs)| {
        let mut specs = Specs::default();
        of(&mut specs);
        specs
    };
    let unet = declare(&|s| drop(Unet::new(s, &unet_sd::Config::SD2)));
    write(&unet, &base.join("unet/diffusion_pytorch_model.safetensors"), half);
    write(
        &declare(&|s| drop(Vae::new(s, vae_kl::Config::SD))),
        &base.join("vae/diffusion_pytorch_model.safetensors"),
        half,
    );
    let text = declare(&|s| drop(ClipText::new(s, clip_text::Config::SD2)));
    write(&text, &base.join("text_encoder/model.safetensors"), half);
    let control = declare(&|s| drop(ControlNet::new(s, &controlnet_sd::Config::SD2)));
    write(&control, &dir.join("c-sd2/model.safetensors"), half);
    // All bytes by the letters that stand for them, and tokens that nobody writes.
    let letters = (33..=126).chain(161..=172).chain(174..=255).chain(256..256 + 68).filter_map(char::from_u32);
    let letters: Vec<String> = letters.map(String::from).collect();
    let ends = letters.iter().map(|letter| format!("{letter}</w>"));
    let others = (0..48894).map(|i| format!("token {i}"));
    let special = ["<|startoftext|>", "<|endoftext|>"].map(String::from);
    let all = letters.iter().cloned().chain(ends).chain(others).chain(special);
    let vocabulary: std::collections::BTreeMap<String, usize> = all.zip(0..).collect();
    let tokenizer = base.join("tokenizer");
    std::fs::create_dir_all(&tokenizer).expect("a folder");
    std::fs::write(tokenizer.join("vocab.json"), serde_json::to_vec(&vocabulary).expect("JSON")).expect("a file");
    std::fs::write(tokenizer.join("merges.txt"), "#version: 0.2\n").expect("a file");
}

fn write(specs: &Specs, path: &Path, half: bool) {
    std::fs::create_dir_all(path.parent().unwrap_or(path)).expect("a folder");
    let mut state = 12345u32;
    let mut values = |shape: &[usize], name: &str| -> Vec<f32> {
        let fan: usize = shape.iter().skip(1).product();
        // Uniform values of this width have the variance 1 / fan.
        let width = if shape.len() > 1 { (12.0 / fan as f32).sqrt() } else { 0.1 };
        let middle = if shape.len() == 1 && name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
        let mut next = || {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..shape.iter().product()).map(|_| middle + width * next()).collect()
    };
    let made: Vec<(String, Vec<usize>, Vec<f32>)> =
        specs.iter().map(|(name, shape)| (name.to_owned(), shape.to_vec(), values(shape, name))).collect();
    let named = made.iter().map(|(name, shape, values)| Named {
        name: name.clone(),
        shape: shape.clone(),
        values: Values::Slice(values),
    });
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a file"));
    tensors::write(&mut file, &Default::default(), named.collect(), half).expect("it is written");
}
