//! The pairs of a run: fixed when it begins, kept beside it, read as it trains.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbones::card::Latent;
use crate::backbones::condition::Prompt;
use crate::backbones::stored;
use crate::engine::ranking::Ranking;
use crate::imaging::{Image, SCALE, decode};
use crate::memory::lru::Lru;
use crate::method::objective;
use crate::method::pair::Pair;
use crate::method::recipe::Objective;
use crate::method::trainer::{PairImages, Pairs, Under};
use crate::workspace::{CandidateSet, ImageId, Workspace, files};
use crate::{Error, Result, input};

/// Decoded pictures kept in memory, and as many of latents.
const CACHE_BYTES: usize = 512 << 20;
/// More than any latent or condition takes.
const MAX_BYTES: u64 = 1 << 30;

/// A pair as a line of `pairs.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Number of the image in the ledger.
    pub image: i64,
    /// Seed of the winner.
    pub winner: u64,
    /// Seed of the loser.
    pub loser: u64,
    /// HPO weight w.
    pub weight: f32,
    /// Advantages of both, where the objective takes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advantages: Option<[f32; 2]>,
    /// How many rounds ago both were drawn: 0 is the newest candidates there are.
    #[serde(default, skip_serializing_if = "is_newest")]
    pub age: u32,
    /// The prompt that both were drawn under, by what it is known; empty where none is read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
}

fn is_newest(age: &u32) -> bool {
    *age == 0
}

/// The pairs of a ranking that an objective is trained on, in its order.
pub fn of(workspace: &Workspace, ranking: &Ranking, objective: Objective) -> Result<Vec<Line>> {
    let scores = &ranking.scores;
    let images = if scores.set.sampler.reads_prompts() { workspace.ledger().images()? } else { Vec::new() };
    let prompts: HashMap<ImageId, String> = images.into_iter().map(|image| (image.id, image.prompt_hash)).collect();
    let line = |group: usize, pair: &Pair, advantages: Option<[f32; 2]>| Line {
        advantages,
        age: 0,
        prompt: prompts.get(&scores.train.images[group]).cloned().unwrap_or_default(),
        image: scores.train.images[group].0,
        winner: scores.seeds[usize::from(pair.winner)],
        loser: scores.seeds[usize::from(pair.loser)],
        weight: pair.weight,
    };
    let lines = (0..ranking.curation.len())
        .flat_map(|group| ranking.curation.pairs_of(group).iter().map(move |pair| (group, pair)))
        .map(|(group, pair)| line(group, pair, None));
    if objective.takes_groups() {
        let whole = (0..ranking.curation.len()).flat_map(|group| {
            let of_group = objective::two_by_two(ranking.rewards.group(group), ranking.curation.ranking(group));
            of_group.into_iter().map(move |(pair, advantages)| (group, pair, advantages))
        });
        return Ok(whole.map(|(group, pair, advantages)| line(group, &pair, Some(advantages))).collect());
    }
    Ok(lines.collect())
}

/// One JSON object a line.
pub fn to_text(lines: &[Line]) -> Result<String> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line).map_err(Error::invalid)?);
        text.push('\n');
    }
    Ok(text)
}

/// Reads what [`to_text`] wrote.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let text = input::read_text(path)?;
    let line = |(number, text): (usize, &str)| {
        serde_json::from_str(text).map_err(|e| Error::file(path, format!("line {}: {e}", number + 1)))
    };
    text.lines().enumerate().map(line).collect()
}

/// Loads pairs from the workspace's files.
pub struct Loader {
    lines: Vec<Line>,
    /// Every file that a pair needs.
    lr: HashMap<i64, PathBuf>,
    prompts: HashMap<i64, String>,
    names: HashMap<i64, String>,
    candidates: HashMap<Of, PathBuf>,
    /// The HR images, where they stand for the winners.
    truths: Option<HashMap<i64, PathBuf>>,
    /// Where latents are and what they are of, where they are kept.
    latents: Option<Latents>,
    /// Height and width of the largest LR image.
    largest: [usize; 2],
    images: Lru<PathBuf, Arc<Image>>,
}

/// A candidate: its image, its pair's age, its seed.
type Of = (i64, u32, u64);

/// The files that are kept for training.
struct Latents {
    latent: Latent,
    /// Of each candidate, the size of its picture in latents.
    files: HashMap<Of, (PathBuf, [usize; 2])>,
    /// What each image was drawn under, as far as it was kept.
    conditions: HashMap<i64, PathBuf>,
    read: Lru<PathBuf, Tensor>,
}

impl Loader {
    /// The pairs `lines` of candidates of `sets`, by age. Errors: one of them is not there any more.
    pub fn new(workspace: &Workspace, sets: &[CandidateSet], lines: Vec<Line>) -> Result<Self> {
        let (mut lr, mut prompts, mut candidates) = (HashMap::new(), HashMap::new(), HashMap::new());
        let (mut largest, mut names) = ([0, 0], HashMap::new());
        for line in &lines {
            if lr.contains_key(&line.image) {
                continue;
            }
            let id = ImageId(line.image);
            let row = workspace.ledger().image(id)?;
            if !line.prompt.is_empty() && line.prompt != row.prompt_hash {
                let name = row.name;
                return Err(Error::invalid(format!(
                    "the prompt of {name} is another now than its pairs'; train again"
                )));
            }
            lr.insert(line.image, workspace.path(&row.lr_path));
            prompts.insert(line.image, row.prompt);
            names.insert(line.image, row.name);
            let size = [row.lr_height_px as usize, row.lr_width_px as usize];
            largest = if size[0] * size[1] > largest[0] * largest[1] { size } else { largest };
            for (age, set) in sets.iter().enumerate() {
                for candidate in workspace.ledger().group(set, id)? {
                    candidates.insert((line.image, age as u32, candidate.seed), workspace.path(&candidate.path));
                }
            }
        }
        for line in &lines {
            for seed in [line.winner, line.loser] {
                if !candidates.contains_key(&(line.image, line.age, seed)) {
                    let name = names.get(&line.image).map_or("", String::as_str);
                    return Err(Error::invalid(format!(
                        "{name}: seed {seed} is not sampled any more; sample and train again"
                    )));
                }
            }
        }
        let images = Lru::of(CACHE_BYTES);
        Ok(Self { lines, lr, prompts, names, candidates, truths: None, latents: None, largest, images })
    }

    /// The same with the HR image in the place of every winner. Errors: an image has none.
    pub fn with_truths(mut self, workspace: &Workspace) -> Result<Self> {
        let truth = |&image: &i64| {
            let row = workspace.ledger().image(ImageId(image))?;
            let path = row.hr_path.as_ref().map(|path| workspace.path(path)).ok_or_else(|| {
                let name = &row.name;
                Error::invalid(format!(
                    "{name} has no HR image that could stand for its winners: training.winners = best"
                ))
            })?;
            Ok((image, path))
        };
        self.truths = Some(self.lr.keys().map(truth).collect::<Result<_>>()?);
        Ok(self)
    }

    /// The same from the latents of the candidates, each of which has its file. Errors: a candidate's place is none.
    pub fn with_latents(mut self, workspace: &Workspace, sets: &[CandidateSet], latent: Latent) -> Result<Self> {
        let (mut all, mut conditions) = (HashMap::new(), HashMap::new());
        for &image in self.lr.keys() {
            let row = workspace.ledger().image(ImageId(image))?;
            let px = [row.lr_height_px as usize, row.lr_width_px as usize].map(|side| side * SCALE);
            for (age, set) in sets.iter().enumerate() {
                for candidate in workspace.ledger().group(set, row.id)? {
                    let file = workspace.path(&files::latent_path(&candidate.path)?);
                    all.insert((image, age as u32, candidate.seed), (file, latent.size(px)));
                    let condition = workspace.path(&files::condition_path(&candidate.path)?);
                    // It follows from the LR image and its prompt alone, whatever policy drew.
                    conditions.entry(image).or_insert(condition);
                }
            }
        }
        conditions.retain(|_, file| file.is_file());
        self.latents = Some(Latents { latent, files: all, conditions, read: Lru::of(CACHE_BYTES) });
        Ok(self)
    }

    /// Height and width of the largest pair.
    pub fn largest_px(&self) -> [usize; 2] {
        self.largest.map(|side| side * SCALE)
    }

    fn image(&mut self, path: PathBuf) -> Result<Arc<Image>> {
        self.images.get_or(&path, || {
            let image = Arc::new(decode::read(&path)?);
            let bytes = size_of_val(image.data());
            Ok((image, bytes))
        })
    }

    fn candidate(&mut self, of: Of) -> Result<Image> {
        let path = self.candidates.get(&of).cloned();
        let (image, _, seed) = of;
        let path = path.ok_or_else(|| Error::invalid(format!("seed {seed} of image {image} is not sampled")))?;
        self.image(path).map(|image| (*image).clone())
    }
}

impl Pairs for Loader {
    fn len(&self) -> usize {
        self.lines.len()
    }

    fn weight(&self, pair: usize) -> f64 {
        f64::from(self.lines[pair].weight)
    }

    fn advantages(&self, pair: usize) -> [f64; 2] {
        self.lines[pair].advantages.map_or([1.0, -1.0], |both| both.map(f64::from))
    }

    fn winner_seed(&self, pair: usize) -> Option<u64> {
        self.truths.is_none().then_some(self.lines[pair].winner)
    }

    fn load(&mut self, pair: usize) -> Result<PairImages> {
        let Line { image, winner, loser, age, .. } = self.lines[pair];
        let Under { lr, prompt, .. } = self.drawn_under(image)?;
        let winner = match self.truths.as_ref().map(|truths| truths.get(&image).cloned()) {
            None => self.candidate((image, age, winner))?,
            Some(truth) => {
                let truth = truth.ok_or_else(|| Error::invalid(format!("there is no HR image of image {image}")))?;
                (*self.image(truth)?).clone()
            }
        };
        Ok(PairImages { prompt, lr, winner, loser: self.candidate((image, age, loser))? })
    }

    fn image(&self, pair: usize) -> Option<u64> {
        Some(self.lines[pair].image as u64)
    }

    fn latents(&mut self, pair: usize) -> Result<Option<[Tensor; 2]>> {
        let Line { image, winner, loser, age, .. } = self.lines[pair];
        let Some(latents) = &mut self.latents else { return Ok(None) };
        Ok(Some([latents.of((image, age, winner))?, latents.of((image, age, loser))?]))
    }

    fn under(&mut self, pair: usize) -> Result<Under> {
        let image = self.lines[pair].image;
        let file = self.latents.as_ref().and_then(|latents| latents.conditions.get(&image));
        let read = |file: &PathBuf| stored::condition_of(&input::read(file, MAX_BYTES)?, file, &Device::Cpu);
        let kept = file.map(read).transpose()?;
        Ok(Under { kept, ..self.drawn_under(image)? })
    }
}

impl Loader {
    fn drawn_under(&mut self, image: i64) -> Result<Under> {
        let lr = self.lr.get(&image).cloned();
        let lr = lr.ok_or_else(|| Error::invalid(format!("there is no image {image}")))?;
        let text = self.prompts.get(&image).cloned().unwrap_or_default();
        let prompt = Prompt { text, negative: String::new() };
        let name = self.names.get(&image).cloned().unwrap_or_default();
        let hint = |error| match error {
            Error::File { path, cause } => {
                let cause =
                    format!("{cause}; it is the LR of {name}: add it again, or remove the image and train again");
                Error::File { path, cause }
            }
            other => other,
        };
        Ok(Under { lr: (*self.image(lr).map_err(hint)?).clone(), prompt, kept: None })
    }
}

impl Latents {
    fn of(&mut self, of: Of) -> Result<Tensor> {
        let file = self.files.get(&of);
        let (image, _, seed) = of;
        let (file, [height, width]) =
            file.ok_or_else(|| Error::invalid(format!("seed {seed} of image {image} is not sampled")))?;
        let shape = [1, self.latent.channels, *height, *width];
        self.read.get_or(file, || {
            let (latent, _) = stored::latent_of(&input::read(file, MAX_BYTES)?, file, shape, &Device::Cpu)?;
            let bytes = 4 * latent.elem_count();
            Ok((latent, bytes))
        })
    }
}
