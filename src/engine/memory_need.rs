//! What a recipe takes of memory, known before anything is loaded: weights, what training adds to them, and what each picture in
//! the network takes. Of files that are here by their sizes; the rest by what a backbone's card says.

use std::fmt;

use super::devices::SharedDevice;
use super::{memory_plan, parts};
use crate::Result;
use crate::backbones::Pass;
use crate::backbones::card::{Card, Guidance, Memory};
use crate::backbones::products::Products;
use crate::backbones::registry;
use crate::backbones::stored::Keep;
use crate::method::recipe::{Mode, Recipe};
use crate::weights::{Part, State, Store};

/// Side of a picture where the recipe takes them as they are.
const SIDE_PX: usize = 512;
/// Values of a side of the matrices that low-rank factors are added to, about: what is trained of an adapter of large ones.
const MATRIX_SIDE: usize = 1000;

/// What a recipe takes, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryNeed {
    /// Networks that are not trained, in the type of their files, or in that of the recipe.
    pub weights: u64,
    /// Whether the files are here; otherwise they are taken for f32.
    pub by_files: bool,
    /// Networks that are loaded while texts are encoded, and dropped then; 0 where there are none.
    pub passing: u64,
    /// What of `weights` is not loaded meanwhile.
    pub waiting: u64,
    /// The adapter as released, f32.
    pub adapter: u64,
    /// What of `weights` and `adapter` a step of training lets go of before what is trained predicts.
    pub let_go: u64,
    /// What training adds: weights, gradients, moments, average.
    pub trained: [u64; 4],
    /// Height and width in pixels of what is in the network at once: a picture of the recipe, or a tile.
    pub px: [usize; 2],
    /// A seed being drawn, both predictions where guidance needs two.
    pub seed: u64,
    /// A pair in training, and how many the recipe takes at once.
    pub pair: u64,
    pub pairs: u64,
    /// Devices that share the work, those of them that do so in the same memory, and how many of these compute parts of a step.
    pub devices: [u64; 3],
    /// Bytes of the latent that is kept on disk beside each candidate; 0 where none is.
    pub latent: u64,
    /// What is free where computing is done, as far as that can be told.
    pub free: Option<u64>,
}

impl MemoryNeed {
    /// What the recipe takes. Errors: its backbone is not in this program.
    pub fn of(recipe: &Recipe, store: &Store, device: &SharedDevice) -> Result<Self> {
        let card = registry::card_of(&recipe.sampling.backbone)?;
        let ([weights, passing], by_files) = frozen_bytes(card, store, recipe.sampling.precision);
        let side = if recipe.data.crop_px > 0 { recipe.data.crop_px } else { SIDE_PX };
        let tile = memory_plan::tiling(&recipe.sampling).tile_px;
        let (whole, at_once) = ([side; 2], [side.min(tile); 2]);
        let picture = |px, pass| (card.memory.picture)(px, pass) as u64;
        let items = if card.guidance == Guidance::ClassifierFree && recipe.sampling.guidance != 1.0 { 2 } else { 1 };
        let training = &recipe.training;
        let changed = card.memory.trained;
        let values = match training.mode {
            Mode::Full => changed,
            Mode::Lora => (2 * training.lora_rank * changed / MATRIX_SIDE).min(changed),
        } as u64;
        let [devices, sharing] = device.counts();
        let adapter = 4 * card.memory.adapter as u64;
        let let_go = match card.memory.let_go {
            1.. if device.is_cpu() => adapter + share(card, weights, card.memory.let_go),
            _ => 0,
        };
        let average = if training.ema_decay > 0.0 { 4 * values } else { 0 };
        Ok(Self {
            weights,
            passing,
            waiting: if card.memory.passes_alone { share(card, weights, card.memory.network) } else { 0 },
            by_files,
            adapter,
            let_go,
            // What low-rank factors are merged into is as large as what is trained whole; so are its gradients.
            trained: [4 * changed as u64, 4 * changed as u64, 8 * values, average],
            px: at_once,
            seed: items * picture(at_once, Pass::Sample),
            pair: 2 * picture(whole, memory_plan::pass_of(training)),
            pairs: training.batch_pairs as u64,
            devices: [devices, sharing, sharing.min(training.accumulation.max(1))].map(|count| count as u64),
            latent: latent_bytes(card, recipe.sampling.latents, whole),
            free: device.free_bytes(),
        })
    }

    /// With one seed at a time, on each device.
    pub fn sampling(&self) -> u64 {
        let [_, sharing, _] = self.devices;
        self.weights + self.adapter + sharing * self.seed
    }

    /// While texts are encoded; 0 where nothing is loaded for it.
    pub fn texts(&self) -> u64 {
        if self.passing > 0 { self.weights - self.waiting + self.adapter + self.passing } else { 0 }
    }

    /// With `pairs` through the network at once, on each device that computes parts of a step.
    pub fn training(&self, pairs: u64) -> u64 {
        let ([_, gradients, ..], [.., at_work]) = (self.trained, self.devices);
        // Each has gradients of its own, which then are summed.
        let apart = if at_work > 1 { at_work * gradients } else { 0 };
        let [frozen, all] = [self.weights + self.adapter - self.let_go, self.trained.iter().sum()];
        // Where frozen weights are let go of, the last of them go before gradients come.
        let both = if self.let_go > 0 { all - gradients + frozen.max(gradients) } else { all + frozen };
        both + apart + at_work * pairs * self.pair
    }

    /// Pairs of the recipe's batch that fit at once; `None` where not one does, or what is free is not known.
    pub fn fitting_pairs(&self) -> Option<u64> {
        let rest = self.free?.checked_sub(self.training(0))?;
        let [.., at_work] = self.devices;
        let fitting = (rest / (at_work * self.pair).max(1)).min(self.pairs);
        (fitting > 0).then_some(fitting)
    }

    /// What does not fit, in one line; `None` where all does, or what is free is not known.
    pub fn doubt(&self) -> Option<String> {
        let free = self.free?;
        let is_free = format!("{} are free", gigabytes(free));
        if self.sampling() > free {
            return Some(format!("sampling takes about {}, {is_free}", gigabytes(self.sampling())));
        }
        if self.texts() > free {
            return Some(format!("encoding prompts takes about {}, {is_free}", gigabytes(self.texts())));
        }
        match self.fitting_pairs() {
            None => {
                Some(format!("training takes about {} with one pair at once, {is_free}", gigabytes(self.training(1))))
            }
            Some(fitting) if fitting < self.pairs => {
                Some(format!("{fitting} of {} pairs fit at once, {is_free}: a step goes in parts", self.pairs))
            }
            Some(_) => None,
        }
    }

    /// Lines for people: what, and how much.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let [height, width] = self.px;
        let how = if self.by_files { "as in the files" } else { "as f32; the files are not here" };
        let [weights, gradients, moments, average] = self.trained.map(gigabytes);
        let averaged = if self.trained[3] > 0 { format!(", average {average}") } else { String::new() };
        let mut lines = Vec::new();
        if self.weights > 0 {
            lines.push(("weights", format!("{} {how}, adapter {}", gigabytes(self.weights), gigabytes(self.adapter))));
        } else {
            lines.push(("weights", gigabytes(self.adapter)));
        }
        if self.passing > 0 {
            let [all, passing] = [self.texts(), self.passing].map(gigabytes);
            let before = if self.waiting > 0 { ", before the rest is loaded" } else { "" };
            lines.push((
                "texts",
                format!("{all} while prompts are encoded, once each{before}: {passing} of it are dropped then"),
            ));
        }
        let seed = gigabytes(self.seed);
        lines.push((
            "sampling",
            format!("{} with one seed of {width}×{height} px, {seed} each more", gigabytes(self.sampling())),
        ));
        lines.push((
            "training",
            format!(
                "{} with the recipe's {} pairs at once, {} a pair; weights {weights}, gradients {gradients}, moments {moments}{averaged}",
                gigabytes(self.training(self.pairs)),
                self.pairs,
                gigabytes(self.pair)
            ),
        ));
        if self.latent > 0 {
            lines.push(("on disk", format!("{} kB of latent beside each candidate", self.latent.div_ceil(1000))));
        }
        if let Some(free) = self.free {
            lines.push(("free", gigabytes(free)));
        }
        match self.devices {
            [1, ..] => {}
            [devices, 1, _] => lines.push((
                "devices",
                format!("{devices}, each with networks of its own; the above is of the first, on which is trained"),
            )),
            [_, sharing, at_work] => lines
                .push(("devices", format!("{sharing} that share this memory; {at_work} of them at work in a step"))),
        }
        lines.extend(self.doubt().map(|doubt| ("does not fit", doubt)));
        lines
    }
}

impl fmt::Display for MemoryNeed {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "sampling about {}, training {}", gigabytes(self.sampling()), gigabytes(self.training(self.pairs)))
    }
}

/// Bytes of the networks that are not trained, those that stay and those that pass, and whether their files are here. What a file
/// takes, its values take in memory.
fn frozen_bytes(card: &Card, store: &Store, products: Products) -> ([u64; 2], bool) {
    let (passing, values) = card.memory.passing;
    let frozen = (card.memory.network + card.memory.around - values) as u64;
    let bytes_of = |part| match store.state(part) {
        State::Here(found) | State::Doubtful(found, _) => Some(found.files.iter().map(|file| file.bytes).sum::<u64>()),
        State::Missing(_) => None,
    };
    let is_passing = |part: &Part| passing.iter().any(|known| known.id == part.id);
    // The adapter is the last, and is counted as what it is in memory.
    let parts = parts::of_backbone(card.name).split_last().map_or(&[][..], |(_, parts)| parts);
    let sum = |wanted: bool| -> Option<u64> {
        parts.iter().filter(|part| is_passing(part) == wanted).map(|part| bytes_of(*part)).sum()
    };
    let ([stays, passes], by_files) = match (sum(false), sum(true)) {
        (Some(stays), Some(passes)) if !parts.is_empty() => ([stays, passes], true),
        _ => ([4 * frozen, 4 * values as u64], frozen == 0),
    };
    // Of the network that predicts, bf16 keeps half of f32.
    let halved = products.here() == Products::Bf16 && stays > 3 * frozen;
    let stays = if halved { stays - 2 * card.memory.network as u64 } else { stays };
    ([stays, passes], by_files)
}

/// Bytes of some of the values of all networks that stay, of the bytes of all.
fn share(card: &Card, bytes: u64, values: usize) -> u64 {
    let Memory { network, around, passing: (_, passing), .. } = card.memory;
    (bytes as f64 * values as f64 / (network + around - passing).max(1) as f64) as u64
}

/// Bytes of a latent as it is kept.
fn latent_bytes(card: &Card, keep: Keep, px: [usize; 2]) -> u64 {
    let width = match keep {
        Keep::None => 0,
        Keep::Bf16 => 2,
        Keep::F32 => 4,
    };
    let [height, across] = card.latent.size(px);
    if card.keeps_latents { (width * card.latent.channels * height * across) as u64 } else { 0 }
}

/// Bytes in words.
pub fn gigabytes(bytes: u64) -> String {
    if bytes < 100_000_000 {
        format!("{} MB", bytes.div_ceil(1_000_000))
    } else {
        format!("{:.1} GB", bytes as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::devices::Choice;

    fn need(settings: &[&str]) -> MemoryNeed {
        let mut recipe = Recipe::default();
        settings.iter().for_each(|setting| recipe.set_assignment(setting).unwrap());
        MemoryNeed {
            free: Some(4_000_000_000),
            ..MemoryNeed::of(&recipe, &Store::default(), &SharedDevice::default()).unwrap()
        }
    }

    #[test]
    fn what_is_trained_takes_its_weights_four_to_five_times_and_a_batch_its_pairs() {
        let mini = need(&[]);
        let values = 7_612_768;
        assert_eq!((mini.weights, mini.adapter, mini.by_files), (0, 4 * values, true));
        assert_eq!(mini.trained, [4 * values, 4 * values, 8 * values, 4 * values]);
        assert_eq!(mini.training(16) - mini.training(15), 2 * 940 * 192 * 192);
        assert_eq!(mini.px, [192, 192]);
        assert!(need(&["activations=recompute"]).pair < mini.pair);
        let light = need(&["mode=lora", "ema=0", "batch=1"]);
        assert!(
            light.training(1) < mini.training(1) && light.trained[3] == 0 && light.trained[2] < mini.trained[2] / 10
        );
        assert_eq!(need(&["crop=512", "tile=256"]).px, [256, 256]);
    }

    #[test]
    fn what_nothing_reads_is_not_trained_and_text_encoders_pass() {
        let flux = need(&["sampling.backbone=flux"]);
        // Six tensors of 84,953,088 values have no weights of their own, gradients or moments.
        let (released, trained) = (4 * 1_442_333_696, 4 * (1_442_333_696 - 84_953_088));
        assert_eq!((flux.adapter, flux.trained), (released, [trained, trained, 2 * trained, trained]));
        // Beside the encoders lie the autoencoder and the ControlNet.
        let [encoders, autoencoder] = [4 * (123_060_480 + 4_762_310_656), 4 * 83_819_683];
        assert!(flux.texts().abs_diff(encoders + autoencoder + released) < 1_000, "{}", flux.texts());
        assert!(flux.doubt().unwrap().contains("sampling"));
        let sd2 = need(&["sampling.backbone=sd2"]);
        // Weights, moments and average of what is trained, the U-Net's second half, and what a pair takes.
        let (trained, second) = (4 * 364_228_240, 4 * 514_248_644);
        let light = need(&["sampling.backbone=sd2", "ema=0", "batch=1", "crop=512"]);
        assert!(
            light.training(1).abs_diff(3 * trained + second + 2 * 3_600 * 512 * 512) < 1_000,
            "{}",
            light.training(1)
        );
        assert!(flux.let_go == 0 && need(&[]).let_go == 0);
        assert_eq!(sd2.texts(), sd2.weights + sd2.adapter + 4 * 340_387_840);
        assert!(need(&[]).texts() == 0 && flux.lines().iter().any(|(what, _)| *what == "texts"));
    }

    #[test]
    fn devices_that_share_a_memory_take_seeds_pairs_and_gradients_each() {
        let of = |choice: Choice, settings: &[&str]| {
            let mut recipe = Recipe::default();
            settings.iter().for_each(|setting| recipe.set_assignment(setting).unwrap());
            MemoryNeed::of(&recipe, &Store::default(), &SharedDevice::new(choice)).unwrap()
        };
        let (one, two) = (of(Choice::Cpu, &["accumulation=2"]), of(Choice::Cpus(2), &["accumulation=2"]));
        assert_eq!(two.sampling() - one.sampling(), one.seed);
        assert_eq!(two.training(3) - one.training(3), 3 * one.pair + 2 * one.trained[1]);
        let part = MemoryNeed { free: Some(one.training(16)), ..two };
        let fitting = part.fitting_pairs().unwrap();
        assert!(
            fitting < 16 && part.training(fitting) <= one.training(16) && part.training(fitting + 1) > one.training(16)
        );
        // A step of one batch has one of them at work.
        let (one, two) = (of(Choice::Cpu, &[]), of(Choice::Cpus(2), &[]));
        assert_eq!(two.training(3), one.training(3));
        let line =
            |need: &MemoryNeed| need.lines().into_iter().find(|(what, _)| *what == "devices").map(|(_, how)| how);
        assert_eq!(
            (line(&one), line(&two).unwrap()),
            (None, "2 that share this memory; 1 of them at work in a step".into())
        );
        let apart = of(Choice::Cudas(vec![0, 1]), &[]);
        assert_eq!(apart.training(3), one.training(3));
        assert!(line(&apart).unwrap().starts_with("2, each with networks of its own"));
    }

    #[test]
    fn what_does_not_fit_is_said_with_how_much_would() {
        assert_eq!(need(&[]).doubt(), None);
        let part = need(&["batch=500"]);
        let fitting = part.fitting_pairs().unwrap();
        assert!((1..500).contains(&fitting) && part.training(fitting) <= 4_000_000_000);
        assert!(part.training(fitting + 1) > 4_000_000_000);
        assert!(part.doubt().unwrap().contains(&format!("{fitting} of 500 pairs")));
        let little = MemoryNeed { free: Some(50_000_000), ..need(&[]) };
        assert!(little.doubt().unwrap().starts_with("training takes about"), "{:?}", little.doubt());
        assert!(MemoryNeed { free: Some(1), ..need(&[]) }.doubt().unwrap().starts_with("sampling takes about"));
        assert_eq!(MemoryNeed { free: None, ..need(&["batch=500"]) }.doubt(), None);
        assert!(need(&["batch=500"]).lines().iter().any(|(what, _)| *what == "does not fit"));
    }
}
