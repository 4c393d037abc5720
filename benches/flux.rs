//! C-FLUX at full size with random weights, 512×512, on the CPU: 12 billion parameters in blocks of 4 or 8 bits, which stay so in memory.
//!
//! * `make`: writes 6.8 GB (Q4_0) of transformer and as the ControlNet 2.9 GB in f16 into the folder, once (`--q8`: 12.7 GB and the same).
//! * `forward`: a prediction of transformer and ControlNet, from the first block to the last, as a step of sampling needs it: 512 tokens of
//!   text, 1024 of the picture. The ControlNet in f32, as it is sampled and trained with, or as its file has it (`--lean`).
//!
//! Prints a line of JSON: seconds of opening and of the forward pass (the least of its runs), what is resident then, and the peak of memory in
//! use, weights included. `--blocks D,S` makes and takes that many blocks of two streams and of one, for a try.
//!
//! `cargo bench --bench flux -- make DIR [--q8] [--blocks D,S]; cargo bench --bench flux -- forward DIR [--lean] [--bf16] [--runs N]`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use dp2o_studio::backbones::codec::{Codec, Cut};
use dp2o_studio::backbones::condition::{Prompt, Shown};
use dp2o_studio::backbones::flux::{Flux, Texts, Weights};
use dp2o_studio::backbones::{Backbone, Query};
use dp2o_studio::memory;
use dp2o_studio::networks::controlnet_flux::ControlNet;
use dp2o_studio::networks::flux_transformer::{Config, Transformer};
use dp2o_studio::networks::vae_kl::{self, Vae};
use dp2o_studio::nn::kernels::{Compute, Precision};
use dp2o_studio::nn::params::{Params, Specs};
use dp2o_studio::nn::tape::Tape;
use dp2o_studio::random::Random;
use dp2o_studio::weights::Source;

/// As in the program.
#[global_allocator]
static ALLOCATOR: dp2o_studio::memory::Counted = dp2o_studio::memory::Counted;

/// Side of a picture in latents: 512 px.
const SIDE: usize = 64;
/// Tokens of a text.
const TEXT: usize = 512;
/// Values of a block of ggml's, and where a tensor may begin.
const BLOCK: usize = 32;
/// Blocks of the ControlNet.
const CONTROL: usize = 4;

fn main() {
    memory::keep_freed();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let has = |word: &str| words.iter().any(|other| other == word);
    let after = |word: &str| words.iter().position(|other| other == word).and_then(|at| words.get(at + 1));
    let blocks = after("--blocks").and_then(|text| {
        let (double, single) = text.split_once(',')?;
        Some((double.parse().ok()?, single.parse().ok()?))
    });
    let (double, single) = blocks.unwrap_or((Config::DEV.double, Config::DEV.single));
    let config = Config { double, single, ..Config::DEV };
    match (words.first().map(String::as_str), words.get(1).map(PathBuf::from)) {
        (Some("make"), Some(dir)) => make(&dir, config, if has("--q8") { Kind::Q8 } else { Kind::Q4 }),
        (Some("forward"), Some(dir)) => {
            let runs = after("--runs").and_then(|runs| runs.parse().ok()).unwrap_or(1);
            let products = if has("--bf16") { DType::BF16 } else { DType::F32 };
            let on = Compute::cpu().in_precision(Precision { frozen: DType::F32, products });
            let (line, peak) = memory::peak_of(|| forward(&dir, config, &on, has("--lean"), runs));
            println!("{{{line}, \"peak_gb\": {:.3}}}", peak.map_or(0.0, |bytes| bytes as f64 / 1e9));
        }
        _ => println!("which of make and forward, and the folder of weights?"),
    }
}

fn noise(key: u64, shape: [usize; 4]) -> Tensor {
    let [count, channels, height, width] = shape;
    Tensor::from_vec(Random::new(key, 9).normal_image(count * channels, height, width), &shape, &Device::Cpu)
        .expect("the shape is right")
}

/// What the process has in memory, in GB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) * 1024.0 / 1e9
}

/// No texts: what a prediction is told is made up.
struct Silent;

impl Texts for Silent {
    fn embedded(&self, _: &str) -> dp2o_studio::Result<[Tensor; 2]> {
        Err(dp2o_studio::Error::invalid("there are no texts here"))
    }

    fn unread(&self, _: &Prompt) -> Option<String> {
        None
    }
}

/// The structure and its names.
fn declared<N>(of: impl Fn(&mut Specs) -> N) -> (N, Specs) {
    let mut specs = Specs::default();
    (of(&mut specs), specs)
}

fn forward(dir: &Path, config: Config, on: &Compute, lean: bool, runs: usize) -> String {
    let began = Instant::now();
    let open = |name: &str| Source::open(&dir.join(name)).unwrap_or_else(|e| panic!("{e}"));
    let (transformer, specs) = declared(|s| Transformer::new(s, &config));
    let source = open("transformer.gguf");
    source.check(specs.iter(), &[]).unwrap_or_else(|e| panic!("{e}"));
    let weights = Weights::of_source(specs, source, on);
    let (control, specs) = declared(|s| ControlNet::new(s, &Config { double: CONTROL, single: 0, ..config }));
    let (adapter, released) = (Arc::new(specs), open("control.gguf"));
    // Nothing is encoded or decoded here.
    let small = vae_kl::Config { channels: [32; 4], ..vae_kl::Config::FLUX };
    let (net, specs) = declared(|s| Vae::new(s, small));
    let unused = Params::init(&Arc::new(specs), 1, on).expect("weights");
    let codec = Codec { net, config: small, weights: unused, cut: Cut::default() };
    let (compute, texts, weights_hash) = (on.clone(), Box::new(Silent), "0".repeat(64));
    let flux = Flux { compute, transformer, weights, codec, texts, control, adapter, released, weights_hash };
    flux.read().unwrap_or_else(|e| panic!("{e}"));
    let adapter = match lean {
        true => Params::as_stored(&flux.adapter, &flux.released, on),
        false => flux.reference(),
    };
    let adapter = adapter.unwrap_or_else(|e| panic!("{e}"));
    let opened = began.elapsed().as_secs_f64();
    eprintln!("opened in {opened:.1} s, {:.2} GB are resident", resident());

    let x = noise(1, [1, 16, SIDE, SIDE]);
    let seen = Tensor::cat(&[noise(2, [1, 16, SIDE, SIDE]), noise(3, [1, 16, SIDE, SIDE])], 1).expect("two");
    let text = noise(4, [1, 1, TEXT, config.text]).reshape((1, TEXT, config.text)).expect("the shape is right");
    let pooled = noise(5, [1, 1, 1, config.pooled]).reshape((1, config.pooled)).expect("the shape is right");
    let shown = Shown::of(vec![seen], vec![text, pooled]);
    let mut seconds = f64::INFINITY;
    for _ in 0..runs.max(1) {
        let began = Instant::now();
        let query = Query::new(&x, &[0.7], &shown).guided(Some(2.5));
        let y = flux.predict(&Tape::inference(&on.kernels), &adapter, &query).unwrap_or_else(|e| panic!("{e}"));
        assert!(y.tensor().sqr().and_then(|y| y.mean_all()?.to_scalar::<f32>()).is_ok_and(f32::is_finite));
        seconds = seconds.min(began.elapsed().as_secs_f64());
        eprintln!("forward in {:.1} s", began.elapsed().as_secs_f64());
    }
    let bytes = flux.weights.get().map_or(0, |weights| weights.byte_count()) + adapter.byte_count();
    format!(
        "\"opening_seconds\": {opened:.2}, \"forward_seconds\": {seconds:.2}, \"weights_gb\": {:.3}, \"resident_gb\": {:.3}",
        bytes as f64 / 1e9,
        resident()
    )
}

/// How a tensor is laid out.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    F32,
    F16,
    Q4,
    Q8,
}

impl Kind {
    /// ggml's number.
    fn number(self) -> u32 {
        match self {
            Kind::F32 => 0,
            Kind::F16 => 1,
            Kind::Q4 => 2,
            Kind::Q8 => 8,
        }
    }

    fn bytes(self, values: usize) -> usize {
        match self {
            Kind::F32 => 4 * values,
            Kind::F16 => 2 * values,
            Kind::Q4 => values / BLOCK * 18,
            Kind::Q8 => values / BLOCK * 34,
        }
    }
}

fn make(dir: &Path, config: Config, kind: Kind) {
    std::fs::create_dir_all(dir).expect("a folder");
    let (_, specs) = declared(|s| Transformer::new(s, &config));
    write(&specs, &dir.join("transformer.gguf"), kind);
    let (_, specs) = declared(|s| ControlNet::new(s, &Config { double: CONTROL, single: 0, ..config }));
    write(&specs, &dir.join("control.gguf"), Kind::F16);
}

/// Writes random weights as GGUF: matrices in `kind`, vectors in f32.
fn write(specs: &Specs, path: &Path, kind: Kind) {
    let kind_of = |shape: &[usize]| if shape.len() == 2 && shape[1].is_multiple_of(BLOCK) { kind } else { Kind::F32 };
    let string = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let count = specs.iter().count() as u64;
    let mut header = [&b"GGUF"[..], &3u32.to_le_bytes(), &count.to_le_bytes(), &1u64.to_le_bytes()].concat();
    header.extend([string("general.architecture"), 8u32.to_le_bytes().to_vec(), string("flux")].concat());
    let mut offset = 0;
    for (name, shape) in specs.iter() {
        header.extend([string(name), (shape.len() as u32).to_le_bytes().to_vec()].concat());
        shape.iter().rev().for_each(|side| header.extend((*side as u64).to_le_bytes()));
        header.extend(kind_of(shape).number().to_le_bytes());
        header.extend((offset as u64).to_le_bytes());
        offset += kind_of(shape).bytes(shape.iter().product()).next_multiple_of(BLOCK);
    }
    header.resize(header.len().next_multiple_of(BLOCK), 0);
    let mut file = BufWriter::with_capacity(1 << 22, File::create(path).expect("a file"));
    file.write_all(&header).expect("it is written");
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for (name, shape) in specs.iter() {
        let (values, kind) = (shape.iter().product::<usize>(), kind_of(shape));
        // Of a variance that keeps what goes through about as large as it is.
        let width = if shape.len() > 1 { (12.0 / shape[1] as f32).sqrt() } else { 0.1 };
        let middle = if shape.len() == 1 && name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
        let mut bytes = Vec::with_capacity(kind.bytes(values) + BLOCK);
        let steps = if kind == Kind::Q4 { 16.0 } else { 256.0 };
        let scale = half::f16::from_f32(width / steps).to_le_bytes();
        for _ in 0..values.div_ceil(BLOCK) {
            let mut draw =
                |bytes: &mut Vec<u8>, words: usize| (0..words).for_each(|_| bytes.extend(next().to_le_bytes()));
            match kind {
                Kind::Q4 | Kind::Q8 => {
                    bytes.extend(scale);
                    draw(&mut bytes, if kind == Kind::Q4 { 2 } else { 4 });
                }
                Kind::F16 | Kind::F32 => {
                    let mut random = Vec::with_capacity(2 * BLOCK);
                    draw(&mut random, BLOCK / 4);
                    for pair in random.chunks_exact(2) {
                        let share = f32::from(u16::from_le_bytes([pair[0], pair[1]])) / 65536.0 - 0.5;
                        let value = middle + width * share;
                        match kind {
                            Kind::F16 => bytes.extend(half::f16::from_f32(value).to_le_bytes()),
                            _ => bytes.extend(value.to_le_bytes()),
                        }
                    }
                }
            }
        }
        bytes.truncate(kind.bytes(values));
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        file.write_all(&bytes).expect("it is written");
    }
    file.flush().expect("it is written");
}
