//! Published networks with generated weights: the same on every machine and in every language, so that implementations can be
//! compared without a file of weights. `tests/fixtures/iqa/learned/README.md` says how they are made.
//!
//! * [`Model`]: the files of a network, their tensors and the values of these, as a [`Store`] in memory or as files.
//! * [`harness`]: holds a metric against a fixture: digests, features, scores, batches, threads.

#![allow(dead_code)]

pub mod harness;
pub mod taps;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use dp2o_studio::fs::hash::hash_bytes;
use dp2o_studio::iqa::generated::{key, word};
use dp2o_studio::weights::{Part, Source, Store, registry};
use rayon::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The networks whose fixtures are here, each with the metric that it is.
pub const NETWORKS: &[(&str, &str)] = &[
    ("lpips_alex", "lpips"),
    ("lpips_vgg", "lpips-vgg"),
    ("lpips_alex_plus", "lpips+"),
    ("lpips_vgg_plus", "lpips-vgg+"),
    ("dists", "dists"),
    ("topiq_fr", "topiq_fr"),
    ("topiq_nr", "topiq_nr"),
    ("musiq_koniq", "musiq"),
    ("musiq_ava", "musiq-ava"),
    ("clipiqa", "clipiqa"),
    ("clipiqa_plus", "clipiqa+"),
    ("qualiclip", "qualiclip"),
    ("afine", "afine_all"),
    ("liqe", "liqe"),
    ("liqe_mix", "liqe_mix"),
    ("maniqa_pipal_2crops", "maniqa-pipal"),
    ("nima", "nima"),
    ("nima_vgg16", "nima-vgg16-ava"),
    ("topiq_iaa", "topiq_iaa"),
    ("topiq_iaa_res50", "topiq_iaa_res50"),
    ("arniqa", "arniqa"),
    ("hyperiqa", "hyperiqa"),
    ("dbcnn", "dbcnn"),
];

/// A network with its published files.
pub struct Model {
    pub name: &'static str,
    /// What the other implementation recorded.
    pub fixture: Value,
    files: Vec<File>,
    /// Values of tensors that no rule makes.
    set: BTreeMap<String, Vec<f32>>,
    /// What is made of all of it, once.
    store: OnceLock<Store>,
    /// Whether the digests are right, likewise.
    digests: OnceLock<()>,
}

/// A published file: names and shapes of its tensors, in its order.
struct File {
    name: String,
    tensors: Vec<(String, Vec<usize>)>,
    /// Tensors at the end that the fixture's digest does not cover.
    beside: usize,
}

/// Offset and scale of a tensor's values.
type Affine = [f32; 2];

/// How a tensor's values are made: where its name, or its rank, is of this kind.
struct Rule<'r> {
    kind: &'r str,
    text: &'r str,
    values: Values<'r>,
}

enum Values<'r> {
    /// As the code makes them: nothing here.
    None,
    Affine(f64, f64),
    /// By how many inputs a value has; the factor.
    Fan(&'r str, f64),
}

const DEFAULTS: &[Rule] = &[
    rule("suffix", "num_batches_tracked", Values::None),
    rule("suffix", "relative_position_index", Values::None),
    rule("suffix", "running_mean", Values::Affine(0.0, 0.1)),
    rule("suffix", "running_var", Values::Affine(1.0, 0.3)),
    rule("suffix", "bn3.weight", Values::Affine(0.3, 0.1)),
    rule("suffix", "logit_scale", Values::Affine(3.0, 0.0)),
    rule("contains", "embedding", Values::Affine(0.0, 0.5)),
    rule("contains", "pos_embed", Values::Affine(0.0, 0.5)),
    rule("contains", "position_emb", Values::Affine(0.0, 0.5)),
    rule("contains", "scale_emb", Values::Affine(0.0, 0.5)),
    rule("contains", "relative_position_bias_table", Values::Affine(0.0, 0.5)),
    rule("suffix", "cls_token", Values::Affine(0.0, 0.5)),
    rule("suffix", ".cls", Values::Affine(0.0, 0.5)),
    rule("rank1_suffix", "weight", Values::Affine(1.0, 0.2)),
    rule("rank1", "", Values::Affine(0.0, 0.1)),
    rule("suffix", "text_projection", Values::Fan("fan_first", 1.0)),
    rule("suffix", "visual.proj", Values::Fan("fan_first", 1.0)),
    rule("any", "", Values::Fan("fan_in", 1.0)),
];

const fn rule<'r>(kind: &'r str, text: &'r str, values: Values<'r>) -> Rule<'r> {
    Rule { kind, text, values }
}

impl Rule<'_> {
    fn is_for(&self, name: &str, rank: usize) -> bool {
        match self.kind {
            "exact" => name == self.text,
            "suffix" => name.ends_with(self.text),
            "contains" => name.contains(self.text),
            "rank1_suffix" => rank == 1 && name.ends_with(self.text),
            "rank1" => rank == 1,
            "rank4" => rank == 4,
            "any" => true,
            other => panic!("no rule is of the kind {other}"),
        }
    }
}

/// The folder of what other implementations recorded.
pub fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", "iqa", "learned"].iter().collect()
}

impl Model {
    /// The network that `tests/fixtures/iqa/learned/NAME.json` and `NAME.keys.txt` are about.
    pub fn of(name: &'static str) -> Self {
        let read = |ending: &str| std::fs::read_to_string(folder().join(format!("{name}.{ending}"))).unwrap();
        let mut files: Vec<File> = Vec::new();
        for line in read("keys.txt").lines() {
            if let Some(file) = line.strip_prefix("# ") {
                let (name, _) = file.rsplit_once(':').unwrap();
                files.push(File { name: name.to_owned(), tensors: Vec::new(), beside: 0 });
                continue;
            }
            let (name, shape) = line.rsplit_once(' ').unwrap();
            let shape = match shape {
                "scalar" => Vec::new(),
                sides => sides.split('x').map(|side| side.parse().unwrap()).collect(),
            };
            files.last_mut().unwrap().tensors.push((name.to_owned(), shape));
        }
        Self {
            name,
            fixture: serde_json::from_str(&read("json")).unwrap(),
            files,
            set: BTreeMap::new(),
            store: OnceLock::new(),
            digests: OnceLock::new(),
        }
    }

    /// The same with a tensor of a file that its digest does not cover.
    pub fn beside(mut self, file: &str, tensor: &str, shape: &[usize]) -> Self {
        let file = self.files.iter_mut().find(|known| known.name == file).unwrap();
        file.tensors.push((tensor.to_owned(), shape.to_vec()));
        file.beside += 1;
        self
    }

    /// The same with a file of one tensor more.
    pub fn and(mut self, file: &str, tensor: &str, shape: &[usize]) -> Self {
        let tensors = vec![(tensor.to_owned(), shape.to_vec())];
        self.files.push(File { name: file.to_owned(), tensors, beside: 1 });
        self.store = OnceLock::new();
        self
    }

    /// The same with all that a metric needs: where no rule makes a value, what the other implementation starts with.
    pub fn whole(name: &'static str) -> Self {
        let model = Self::of(name);
        match name {
            "afine" => [
                ("natural_scale.yita3", 4.9592),
                ("natural_scale.yita4", 21.5968),
                ("fidelity_scale.yita3", 0.5),
                ("fidelity_scale.yita4", 0.15),
                ("adapter.k", 5.0),
            ]
            .into_iter()
            .fold(model, |model, (name, value)| model.with(name, &[value])),
            "qualiclip" => model.beside("QualiCLIP.pth", "prompts_features", &[14, 1024]),
            _ => model,
        }
    }

    /// The same with values of a tensor that no rule makes.
    pub fn with(mut self, tensor: &str, values: &[f32]) -> Self {
        self.set.insert(tensor.to_owned(), values.to_vec());
        self
    }

    /// The same with a file under the name of another set of weights of the same structure.
    pub fn renamed(mut self, from: &str, to: &str) -> Self {
        let file = self.files.iter_mut().find(|file| file.name == from).unwrap();
        file.name = to.to_owned();
        self
    }

    /// Offset and scale of a tensor; `None` where no rule makes its values.
    fn affine(&self, name: &str, shape: &[usize]) -> Option<Affine> {
        let fixture = &self.fixture;
        let extra: Vec<Rule> = fixture["extra_rules"].as_array().unwrap().iter().map(extra_rule).collect();
        let rule = extra.iter().chain(DEFAULTS).find(|rule| rule.is_for(name, shape.len())).unwrap();
        let inputs = match rule.values {
            Values::None => return None,
            Values::Affine(offset, scale) => return Some([offset as f32, scale as f32]),
            Values::Fan("fan_first", factor) => return Some([0.0, (factor * (3.0 / shape[0] as f64).sqrt()) as f32]),
            Values::Fan(..) => shape.iter().skip(1).product::<usize>(),
        };
        let Values::Fan(_, factor) = rule.values else { return None };
        let gain = fixture["gain"].as_f64().unwrap_or(1.0);
        Some([0.0, (factor * gain * (3.0 / inputs as f64).sqrt()) as f32])
    }

    /// A tensor's values; `None` where neither a rule nor [`Model::with`] has them.
    pub fn values(&self, file: &str, name: &str, shape: &[usize]) -> Option<Vec<f32>> {
        let count: usize = shape.iter().product();
        let Some([offset, scale]) = self.affine(name, shape) else { return self.set.get(name).cloned() };
        let key = key(&format!("{file}:{name}"));
        let unit = |i: u64| ((word(key, i) >> 40) as i64 - (1 << 23)) as f32 * (1.0 / (1u32 << 23) as f32);
        Some((0..count as u64).into_par_iter().map(|i| offset + scale * unit(i)).collect())
    }

    /// Files with the tensors' bytes: what has no values is a tensor of whole zeros, as counters and index tables are.
    fn bytes(&self, file: &File) -> Vec<u8> {
        let data = |(name, shape): &(String, Vec<usize>)| match self.values(&file.name, name, shape) {
            Some(values) => (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()),
            None => (Dtype::I64, vec![0; 8 * shape.iter().product::<usize>()]),
        };
        let all: Vec<(Dtype, Vec<u8>)> = file.tensors.iter().map(data).collect();
        let views = file.tensors.iter().zip(&all).map(|((name, shape), (dtype, data))| {
            (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    /// Fails unless every file's values are those that the fixture was made with.
    pub fn check_digests(&self) {
        self.digests.get_or_init(|| self.compare_digests());
    }

    fn compare_digests(&self) {
        for file in &self.files {
            let Some(want) = self.fixture["files"].get(&file.name) else { continue };
            let covered = &file.tensors[..file.tensors.len() - file.beside];
            let mut names: Vec<_> = covered.iter().filter(|(name, shape)| self.affine(name, shape).is_some()).collect();
            names.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
            let mut digest = Sha256::new();
            for (name, shape) in names {
                digest.update(name.as_bytes());
                digest.update([0]);
                let values = self.values(&file.name, name, shape).unwrap();
                digest.update(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
            }
            let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, want["sha256_sorted_key_nul_f32le"].as_str().unwrap(), "{}: {}", self.name, file.name);
        }
    }

    /// The names of the published files.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.name.as_str())
    }

    /// A file's tensors in memory.
    pub fn source(&self, file: &str) -> Source {
        let file = self.files.iter().find(|known| known.name == file).unwrap();
        let source = Source::of_vec(Path::new(&file.name), self.bytes(file)).unwrap();
        source.unverified(hash_bytes(format!("generated {}", file.name).as_bytes()))
    }

    /// All files in memory, as the parts that are published under their names.
    pub fn store(&self) -> Store {
        let hold = |store: Store, name: &str| match part_of(name) {
            Some(part) => store.holding(part, self.source(name)),
            None => store,
        };
        self.store.get_or_init(|| self.files().fold(Store::of_folders(&[], true), hold)).clone()
    }

    /// Writes all files into a folder: safetensors, whatever their names.
    pub fn write(&self, folder: &Path) {
        for file in &self.files {
            std::fs::write(folder.join(&file.name), self.bytes(file)).unwrap();
        }
    }
}

/// The part that a file is published as.
pub fn part_of(file: &str) -> Option<&'static Part> {
    let is_it = |part: &&'static Part| part.forms.iter().flat_map(|form| form.files).any(|known| known.name() == file);
    registry::PARTS.iter().copied().find(is_it)
}

fn extra_rule(row: &Value) -> Rule<'_> {
    let values = match row[2].as_array().map(Vec::as_slice) {
        None => Values::None,
        Some([kind, factor]) if kind.is_string() => Values::Fan(kind.as_str().unwrap(), factor.as_f64().unwrap()),
        Some([offset, scale]) => Values::Affine(offset.as_f64().unwrap(), scale.as_f64().unwrap()),
        Some(other) => panic!("{other:?} are no values"),
    };
    rule(row[0].as_str().unwrap(), row[1].as_str().unwrap(), values)
}
