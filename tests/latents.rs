//! A backbone of latents with a prompt and guidance, whose adapter is smaller than its network: as a flow and as diffusion,
//! whole and in tiles, sampled, trained, encoded and decoded.

use candle_core::{Device, Tensor};
use dp2o_studio::backbones::card::Card;
use dp2o_studio::backbones::condition::Prompt;
use dp2o_studio::backbones::field::StateMemory;
use dp2o_studio::backbones::guidance::Guided;
use dp2o_studio::backbones::process::Process;
use dp2o_studio::backbones::sampler::Sampler;
use dp2o_studio::backbones::tiles::Tiling;
use dp2o_studio::backbones::{Backbone, Query};
use dp2o_studio::imaging::{Image, resize};
use dp2o_studio::method::recipe::{Augmentation, Training};
use dp2o_studio::method::trainer::{PairImages, Pairs, Trainer};
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::params::Params;
use dp2o_studio::nn::tape::Tape;
use dp2o_studio::random::Random;

mod toy;
use toy::{FLOW, NOISE, Toy, VELOCITY};

static ALL: [&Card; 3] = [&FLOW, &NOISE, &VELOCITY];

fn toy(card: &'static Card) -> Toy {
    Toy::on(card, &Compute::cpu()).unwrap()
}

fn noise(key: u64, shape: (usize, usize, usize, usize)) -> Tensor {
    let (count, channels, height, width) = shape;
    let values = Random::new(key, 9).normal_image(count * channels, height, width);
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn picture(key: u64, width: usize, height: usize) -> Image {
    let noise = Random::new(key, 8).normal_image(3, height, width);
    Image::new(width, height, noise.iter().map(|v| (0.5 + 0.1 * v).clamp(0.0, 1.0)).collect()).unwrap()
}

fn prompt(text: &str, negative: &str) -> Prompt {
    Prompt { text: text.into(), negative: negative.into() }
}

fn sampler(card: &Card, tiling: Tiling, guidance: f64) -> Sampler {
    Sampler { solver: card.solvers[card.solvers.len() - 1], steps: 6, tiling, guidance }
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |worst, (a, b)| worst.max((a - b).abs()))
}

#[test]
fn the_adapter_is_smaller_than_the_network_and_latents_survive_decoding() {
    for card in ALL {
        let net = toy(card);
        assert!(2 * net.adapter().value_count() < net.frozen_values() + net.adapter().value_count());
        let lr = picture(1, 12, 8);
        let shown = net.condition(&lr, &Prompt::default()).unwrap().whole(2, &Device::Cpu).unwrap();
        let latents = noise(3, (2, 4, 4, 6));
        let decoded = net.decode(&latents, &shown).unwrap();
        assert_eq!(decoded.dims(), [2, 3, 32, 48]);
        assert!(worst(&flat(&net.encode(&decoded, &shown).unwrap()), &flat(&latents)) < 1e-5);
    }
}

/// Along the gradient the loss rises by the gradient's norm: by differences of fourth order.
#[test]
fn gradients_agree_with_finite_differences() {
    for card in ALL {
        let net = toy(card);
        let params = net.reference().unwrap().trainable(true);
        let lr = picture(1, 12, 8);
        let condition = net.condition(&lr, &prompt("stone wall", "")).unwrap();
        let shown = condition.whole(2, &Device::Cpu).unwrap();
        let (x, dy) = (noise(0, (2, 4, 4, 6)), noise(1, (2, 4, 4, 6)));
        let times = if matches!(card.process, Process::Flow(_)) { [0.3, 0.8] } else { [120.0, 700.0] };
        let predict = |tape: &Tape, params: &Params| {
            net.predict(tape, params, &Query::new(&x, &times, &shown).guided(Some(2.5))).unwrap()
        };
        let tape = Tape::recording(params.kernels());
        let y = predict(&tape, &params);
        let gradients = tape.backward(&y, dy.clone()).unwrap();
        let dy = flat(&dy);
        for (i, (name, weight)) in params.iter().enumerate() {
            let gradient = gradients.params()[i].as_ref().unwrap();
            let norm = flat(gradient).iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
            let direction = (gradient / norm).unwrap();
            let at = |by: f64| -> f64 {
                let copy = params.duplicate().unwrap();
                let moved = (weight + (&direction * by).unwrap()).unwrap();
                copy.iter().nth(i).unwrap().1.slice_set(&moved, 0, 0).unwrap();
                let y = predict(&Tape::inference(copy.kernels()), &copy);
                flat(y.tensor()).iter().zip(&dy).map(|(y, d)| f64::from(*y) * f64::from(*d)).sum()
            };
            // Several steps, as each difference has the rounding of f32 sums.
            let by = |h: f64| (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            let slope = (by(0.08) + by(0.1) + by(0.12)) / 3.0;
            assert!((slope / norm - 1.0).abs() < 1e-4, "{} {name}: slope {slope}, gradient {norm}", card.name);
        }
    }
}

#[test]
fn prompt_negative_prompt_and_guidance_change_what_they_should_and_nothing_else() {
    let lr = picture(4, 12, 8);
    for card in ALL {
        let net = toy(card);
        let params = net.reference().unwrap();
        let sample = |guidance: f64, prompt: &Prompt| {
            let condition = net.condition(&lr, prompt).unwrap();
            let sampler = sampler(card, Tiling::default(), guidance);
            sampler.sample(&net, &params, &condition, &[1, 2], &mut |_, _| Ok(())).unwrap()
        };
        let differ = |a: &[Image], b: &[Image]| worst(a[0].data(), b[0].data()) > 1e-3;
        let base = sample(3.5, &prompt("stone wall", "blur"));
        assert!(base == sample(3.5, &prompt("stone wall", "blur")));
        assert!(differ(&base, &sample(3.5, &prompt("grass", "blur"))), "{}", card.name);
        assert!(differ(&base, &sample(2.0, &prompt("stone wall", "blur"))), "{}", card.name);
        // Embedded guidance has no negative prompt, and without guidance there is none.
        let is_told = card.name == FLOW.name;
        assert_eq!(differ(&base, &sample(3.5, &prompt("stone wall", "noise"))), !is_told, "{}", card.name);
        assert!(sample(1.0, &prompt("stone wall", "blur")) == sample(1.0, &prompt("stone wall", "noise")));
        // A seed does not depend on its batch, also where that is doubled.
        let condition = net.condition(&lr, &prompt("stone wall", "blur")).unwrap();
        let alone = sampler(card, Tiling::default(), 3.5);
        let alone = alone.sample(&net, &params, &condition, &[2], &mut |_, _| Ok(())).unwrap();
        assert!(worst(alone[0].data(), base[1].data()) < 1e-5, "{}", card.name);
    }
}

/// Guidance is `u + s·(c − u)` of the predictions under each prompt.
#[test]
fn classifier_free_guidance_is_its_formula() {
    let (net, lr, x) = (toy(&NOISE), picture(4, 12, 8), noise(5, (2, 4, 4, 6)));
    let params = net.reference().unwrap();
    let predict = |guidance: f64, prompt: &Prompt| {
        let condition = net.condition(&lr, prompt).unwrap();
        let guided = Guided::by(&NOISE, guidance);
        let shown = guided.shown(&condition, condition.whole(2, &Device::Cpu).unwrap()).unwrap();
        flat(&guided.predict(&net, &params, &x, 500.0, &shown).unwrap())
    };
    let (towards, away) = (predict(1.0, &prompt("stone wall", "")), predict(1.0, &prompt("blur", "")));
    let guided = predict(3.0, &prompt("stone wall", "blur"));
    let expected: Vec<f32> = towards.iter().zip(&away).map(|(c, u)| u + 3.0 * (c - u)).collect();
    assert!(worst(&guided, &expected) < 1e-5);
    assert!(worst(&guided, &towards) > 0.05);
}

#[test]
fn pictures_in_tiles_are_the_whole_but_for_the_tiles_edges_and_the_same_from_disk() {
    // Padded to 160×144 px: three by three tiles.
    let lr = picture(2, 38, 33);
    for card in ALL {
        let net = toy(card);
        let params = net.reference().unwrap();
        let condition = net.condition(&lr, &prompt("stone wall", "blur")).unwrap();
        let tiling = Tiling { tile_px: 80, overlap_px: 32 };
        let cut = sampler(card, tiling, 2.0);
        assert_eq!(cut.grid(&net, 38, 33).count(), 9);
        let seeds = [3, 8];
        let tiled = cut.sample(&net, &params, &condition, &seeds, &mut |_, _| Ok(())).unwrap();
        assert_eq!([tiled[0].width(), tiled[0].height()], [152, 132]);
        let folder = tempfile::tempdir().unwrap();
        let memory = StateMemory { bytes: 0, scratch: folder.path() };
        let solved = cut.solve(&net, &params, &condition, &seeds, memory, &mut |_, _| Ok(())).unwrap();
        // What an encoder made cannot be decoded by rows.
        assert!(solved.is_whole());
        assert!(solved.images().unwrap() == tiled, "{}", card.name);
        // The network's norms see a tile only, and a shifted flow takes its steps by the tile; noise and places are the same.
        let whole = sampler(card, Tiling { tile_px: 1024, overlap_px: 32 }, 2.0);
        let whole = whole.sample(&net, &params, &condition, &seeds, &mut |_, _| Ok(())).unwrap();
        let likeness = |a: &Image, b: &Image| correlation(a.data(), b.data());
        let (same, other) = (likeness(&tiled[0], &whole[0]), likeness(&tiled[0], &whole[1]));
        assert!(same > 0.98 && same > other, "{}: {same}, of another seed {other}", card.name);
    }
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |v: &[f32]| v.iter().map(|&v| f64::from(v)).sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sums = a.iter().zip(b).fold([0.0; 3], |[ab, aa, bb], (&a, &b)| {
        let (a, b) = (f64::from(a) - ma, f64::from(b) - mb);
        [ab + a * b, aa + a * a, bb + b * b]
    });
    sums[0] / (sums[1] * sums[2]).sqrt()
}

struct InMemory(Vec<PairImages>);

impl Pairs for InMemory {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn weight(&self, _: usize) -> f64 {
        1.0
    }

    fn load(&mut self, pair: usize) -> dp2o_studio::Result<PairImages> {
        Ok(self.0[pair].clone())
    }
}

#[test]
fn the_adapter_learns_to_prefer_winners_from_latents() {
    for card in ALL {
        let net = toy(card);
        let reference = net.reference().unwrap();
        // The brighter is the better: what latents keep of a difference.
        let pair = |key: u64| {
            let base = picture(key, 48, 32);
            let lit = |by: f32| Image::new(48, 32, base.data().iter().map(|v| v + by).collect()).unwrap();
            let (lr, prompt) = (resize::shrink_x4(&base).unwrap(), prompt("stone wall", ""));
            PairImages { lr, winner: lit(0.2), loser: lit(-0.2), prompt }
        };
        let mut pairs = InMemory((0..6).map(pair).collect());
        let settings = Training {
            beta: 200.0,
            learning_rate: 3e-3,
            warmup_steps: 0,
            batch_pairs: 4,
            augmentation: Augmentation::Turns,
            ..Training::default()
        };
        let mut trainer = Trainer::new(&net, &reference, &reference, settings, pairs.len()).unwrap().told(Some(2.5));
        let logs: Vec<_> = (0..24).map(|_| trainer.step(&mut pairs, &mut |_| Ok(())).unwrap()).collect();
        assert_eq!((logs[0].loss.margin, logs[0].loss.accuracy), (0.0, 0.5), "{}", card.name);
        assert!(logs[0].grad_norm > 0.0);
        let margin = logs[16..].iter().map(|log| log.loss.margin).sum::<f64>() / 8.0;
        assert!(margin > 0.1, "{}: {margin}", card.name);
        assert_eq!(trainer.policy().weights().specs().value_count(), net.adapter().value_count());
    }
}

#[test]
fn the_noise_of_a_seed_is_what_its_picture_is_drawn_with() {
    let of = |card: &Card| sampler(card, Tiling::default(), 1.0).noise_of(card, 7, [72, 100]).unwrap();
    let [ddpm, flow] = [&NOISE, &FLOW].map(of);
    let names: Vec<&str> = ddpm.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["start", "step.000", "step.001", "step.002", "step.003", "step.004", "step.005"]);
    assert_eq!((flow.len(), flow[0].1.dims()), (1, &[1, 4, 10, 14][..]));
    assert_eq!(flat(&ddpm[0].1), Random::new(7, 0).normal_image(4, 10, 14));
    assert_eq!(flat(&ddpm[3].1), Random::new(7, (1 << 16) + 2).normal_image(4, 10, 14));
}

/// The whole way of a backbone that reads prompts, through the engine: it was only added.
mod engine {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;

    use dp2o_studio::engine::Engine;
    use dp2o_studio::engine::protocol::{AddImages, Event, Job, JobState, Outcome, Role};
    use dp2o_studio::imaging::encode;
    use dp2o_studio::method::recipe::Recipe;
    use dp2o_studio::workspace::{RunState, SplitChoice, StepRow, Workspace, files};

    use super::toy::{COUNTS, MOST_ITEMS};
    use super::{picture, toy};

    const RECIPE: &str = r#"(
        data: (crop_px: 64),
        sampling: (backbone: "toy-noise", m: 4, steps: 2, solver: ddpm, guidance: 3.0, negative_prompt: "blur"),
        reward: (fr: {"psnr": 1.0}, nr: {}, held_out: ["ssim"]),
        curation: (ratio: 0.5),
        training: (steps: 2, batch_pairs: 2, warmup_steps: 0, eval_every: 1, eval_seeds: 2, checkpoint_every: 1),
    )"#;

    struct Client(Engine);

    impl Client {
        /// The outcome of a job and what it logged.
        fn logged(&self, job: Job) -> (Outcome, Vec<String>) {
            let (id, mut said) = (self.0.run(job).unwrap(), Vec::new());
            loop {
                match self.0.events().recv().unwrap() {
                    Event::Job { id: of, state: JobState::Done(outcome) } if of == id => return (outcome, said),
                    Event::Job { id: of, state } if of == id && state.is_final() => panic!("{state:?}"),
                    Event::Log { text, .. } => said.push(text),
                    _ => {}
                }
            }
        }

        /// Trains a new run; returns its steps, and what was logged.
        fn trained(&self, root: &Path, name: &str) -> (Vec<StepRow>, Vec<String>) {
            let (_, said) = self.logged(Job::Train { run: Some(name.into()), allow_partial: false });
            let workspace = Workspace::open_read_only(root).unwrap();
            let run = workspace.ledger().run_by_name(name).unwrap().unwrap();
            (workspace.ledger().steps_since(run.id, 0).unwrap(), said)
        }
    }

    impl Client {
        fn job(&self, job: Job) -> Result<Outcome, String> {
            let id = self.0.run(job).unwrap();
            loop {
                match self.0.events().recv().unwrap() {
                    Event::Job { id: of, state: JobState::Done(outcome) } if of == id => return Ok(outcome),
                    Event::Job { id: of, state: JobState::Failed(cause) } if of == id => return Err(cause),
                    _ => {}
                }
            }
        }

        fn done(&self, job: Job) -> Outcome {
            self.job(job).unwrap()
        }

        fn sampled(&self) -> usize {
            match self.done(Job::Sample { images: None }) {
                Outcome::Sampled { candidates, failed } => {
                    assert!(failed.is_empty(), "{failed:?}");
                    candidates
                }
                other => panic!("{other:?}"),
            }
        }

        fn set(&self, recipe: &mut Recipe, assignment: &str) {
            recipe.set_assignment(assignment).unwrap();
            self.done(Job::SetRecipe(Box::new(recipe.clone())));
        }
    }

    fn add(client: &Client, folder: &Path, split: SplitChoice, prompts: Option<&Path>) {
        let paths = vec![folder.to_owned()];
        let prompts = prompts.map(Path::to_owned);
        let add = AddImages { paths, prompts, split, role: Some(Role::Hr), crops: 1, ..AddImages::default() };
        match client.done(Job::Add(add)) {
            Outcome::Added(added) => assert_eq!((added.images, added.failed.causes.len()), (2, 0), "{added:?}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn candidates_belong_to_their_prompt_and_the_loop_runs_from_end_to_end() {
        toy::register();
        let home = tempfile::tempdir().unwrap();
        let (root, folder, held_out) = (home.path().join("ws"), home.path().join("hr"), home.path().join("held-out"));
        for (dir, first) in [(&folder, 0), (&held_out, 2)] {
            std::fs::create_dir(dir).unwrap();
            for key in first..first + 2 {
                encode::write_png(dir.join(format!("{key}.png")), &picture(key, 64, 64)).unwrap();
            }
        }
        std::fs::write(folder.join("0.txt"), "stone wall\n").unwrap();
        let list = home.path().join("list.csv");
        std::fs::write(&list, "image,prompt\n1.png,\"grass, moss\"\n").unwrap();

        let mut recipe = Recipe::from_ron(RECIPE, "toy.ron").unwrap();
        let client = Client(Engine::start(Arc::new(|| ())).unwrap());
        client.done(Job::Create { dir: root.clone(), recipe: Box::new(recipe.clone()), example: false });
        add(&client, &folder, SplitChoice::default(), Some(&list));
        add(&client, &held_out, SplitChoice::ByRule, None);
        let images = || Workspace::open_read_only(&root).unwrap().ledger().images().unwrap();
        let prompts: Vec<String> = images().into_iter().map(|image| image.prompt).collect();
        assert_eq!(prompts, ["stone wall", "grass, moss", "", ""]);

        assert_eq!(client.sampled(), 16);
        // Another prompt of one image: its candidates are others, and the first ones are there again with theirs.
        let first = images()[0].id;
        let say = |text: &str| client.done(Job::SetPrompts(vec![(first, text.into())]));
        say("sand");
        assert_eq!(client.sampled(), 4);
        say("  stone   wall ");
        assert_eq!(client.sampled(), 0);
        let files = |dir: &str| std::fs::read_dir(root.join("candidates").join(dir)).unwrap().count();
        let (dir, reference) = (images()[0].dir.clone(), "reference");
        let samplers: Vec<_> = std::fs::read_dir(root.join("candidates").join(&dir)).unwrap().flatten().collect();
        assert_eq!(samplers.len(), 1, "{reference}");
        assert_eq!(files(&format!("{dir}/{}", samplers[0].file_name().to_string_lossy())), 2);
        // What leads a prediction makes other candidates as well.
        for other in ["guidance=2", "sampling.negative_prompt=noise", "sampling.solver=ddim"] {
            client.set(&mut recipe, other);
            assert_eq!(client.sampled(), 16, "{other}");
        }
        // A solver of flows is refused.
        recipe.set_assignment("sampling.solver=heun").unwrap();
        assert!(client.job(Job::SetRecipe(Box::new(recipe.clone()))).unwrap_err().contains("toy-noise"));

        match client.done(Job::Run { compare: true, allow_partial: false }) {
            Outcome::Ran(report) => assert_eq!((report.steps, report.pairs), (2, 8)),
            other => panic!("{other:?}"),
        }
        let workspace = Workspace::open_read_only(&root).unwrap();
        let run = workspace.ledger().runs().unwrap().remove(0);
        assert_eq!(run.state, RunState::Done);
        // The checkpoint holds the adapter, and the pairs name their prompts.
        let pairs = std::fs::read_to_string(workspace.path(&workspace.pairs_file(&run).unwrap())).unwrap();
        assert_eq!(pairs.matches("\"prompt\"").count(), 8);
        let step = workspace.ledger().checkpoints().unwrap().into_iter().find_map(|c| c.path).unwrap();
        let bytes = std::fs::metadata(workspace.path(&step)).unwrap().len();
        assert!(bytes < 30_000, "{bytes}");
        drop(workspace);

        // The prompts are found again beside the images, and with them the candidates.
        drop(client);
        std::fs::remove_file(root.join("ledger.sqlite")).unwrap();
        let client = Client(Engine::start(Arc::new(|| ())).unwrap());
        client.done(Job::Repair { dir: root.clone() });
        assert_eq!(images().iter().filter(|image| image.prompt == "stone wall").count(), 1);
        client.done(Job::Open { dir: root.clone(), or_look: false });
        assert_eq!(client.sampled(), 0);
    }
    #[test]
    fn training_takes_the_latents_that_were_kept_and_encodes_once_what_has_none() {
        toy::register();
        let home = tempfile::tempdir().unwrap();
        let (root, folder) = (home.path().join("ws"), home.path().join("hr"));
        std::fs::create_dir(&folder).unwrap();
        for key in 0..2 {
            encode::write_png(folder.join(format!("{key}.png")), &picture(key, 72, 64)).unwrap();
        }
        let mut recipe = Recipe::from_ron(RECIPE, "toy.ron").unwrap();
        for setting in ["backbone=toy-counted", "augmentation=none", "data.crop_px=0", "latents=f32", "steps=3"] {
            recipe.set_assignment(setting).unwrap();
        }
        let client = Client(Engine::start(Arc::new(|| ())).unwrap());
        client.done(Job::Create { dir: root.clone(), recipe: Box::new(recipe.clone()), example: false });
        add(&client, &folder, SplitChoice::Fixed(dp2o_studio::workspace::Split::Train), None);
        client.done(Job::Generate { images: None });
        assert_eq!(COUNTS.take()[0], 0);
        let workspace = Workspace::open_read_only(&root).unwrap();
        let (set, _) = workspace.ledger().candidate_sets().unwrap().remove(0);
        let images = workspace.ledger().images().unwrap();
        let candidates = images.iter().flat_map(|image| workspace.ledger().group(&set, image.id).unwrap());
        let latents: Vec<_> = candidates.map(|row| workspace.path(&files::latent_path(&row.path).unwrap())).collect();
        assert_eq!((latents.len(), latents.iter().filter(|file| file.is_file()).count()), (8, 8));
        let summary = workspace.summary().unwrap();
        // 4 channels of 9 × 8 places, padded to 10 × 8, and a header; the prompts' embeddings once an image.
        assert!((8 * 4 * 4 * 80..8 * 4 * 4 * 80 + 10 * 400).contains(&(summary.latents_bytes as usize)), "{summary:?}");

        // Neither encoder nor conditions; the trunk is shared by policy and reference.
        let (sampled, said) = client.trained(&root, "sampled");
        assert_eq!(COUNTS.take(), [0, 0, 3, 6]);
        assert!(said.iter().all(|line| !line.contains("latent")), "{said:?}");

        // What is gone is encoded once, what is damaged too; both are said.
        std::fs::remove_file(&latents[0]).unwrap();
        std::fs::remove_file(&latents[2]).unwrap();
        let mut bytes = std::fs::read(&latents[1]).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&latents[1], bytes).unwrap();
        client.set(&mut recipe, "beta=5001");
        let (mended, said) = client.trained(&root, "mended");
        assert_eq!(COUNTS.take()[0], 3);
        for part in ["without latents until now: 2 candidates", "damaged", "without latents until now: 1 candidate"] {
            assert!(said.iter().any(|line| line.contains(part)), "{part}: {said:?}");
        }
        client.set(&mut recipe, "beta=5002");
        client.trained(&root, "again");
        assert_eq!(COUNTS.take(), [0, 0, 3, 6]);

        // Without them pictures are encoded at every step, and conditions still made once an image.
        client.set(&mut recipe, "latents=none");
        let (encoded, _) = client.trained(&root, "encoded");
        assert_eq!(COUNTS.take(), [3 * 4, 2, 3, 6]);
        // The latents were the right ones: encoding what they were decoded to gives nearly the same.
        for (a, b) in sampled.iter().zip(&encoded).chain(sampled.iter().zip(&mended)) {
            for (a, b) in [(a.reference_winner_error, b.reference_winner_error), (a.margin, b.margin)] {
                assert!((a - b).abs() < 0.02 * (1.0 + a.abs()), "{a} {b}");
            }
        }

        // A device whose memory holds two pairs' items, but not four: once it falls to fewer, and says so.
        MOST_ITEMS.store(4, Relaxed);
        client.set(&mut recipe, "sampling.first_seed=100");
        let (outcome, said) = client.logged(Job::Generate { images: None });
        assert!(matches!(outcome, Outcome::Generated { candidates: 8, failed, .. } if failed.is_empty()), "{said:?}");
        let fell = |said: &[String], what: &str| said.iter().filter(|line| line.contains(what)).count();
        assert_eq!(fell(&said, "no more than 2 seeds go through the network at once"), 1, "{said:?}");
        MOST_ITEMS.store(2, Relaxed);
        let (fallen, said) = client.trained(&root, "fallen");
        assert_eq!((fallen.len(), fell(&said, "the network gets 1 pair at once")), (3, 1), "{said:?}");
        MOST_ITEMS.store(1, Relaxed);
        client.set(&mut recipe, "beta=5003");
        let error = client.job(Job::Train { run: None, allow_partial: false }).unwrap_err();
        assert!(error.contains("out of memory") && error.lines().count() == 1, "{error}");
        MOST_ITEMS.store(usize::MAX, Relaxed);
    }
    #[test]
    fn a_model_is_checked_by_names_decoder_predictions_and_reward() {
        use dp2o_studio::engine::protocol::{CheckModel, Mark};
        use dp2o_studio::nn::tensors::{Named, Width, write_as};

        toy::register();
        let home = tempfile::tempdir().unwrap();
        let net = super::toy(&super::NOISE);
        let released = dp2o_studio::backbones::Backbone::reference(&net).unwrap();
        let write = |name: &str, tensors: Vec<Named>| {
            let (path, mut bytes) = (home.path().join(name), Vec::new());
            write_as(&mut bytes, &Default::default(), tensors, Width::F16).unwrap();
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let named = |prefix: &str| -> Vec<Named> {
            released.iter().map(|(name, tensor)| Named::of(format!("{prefix}{name}"), tensor)).collect()
        };
        let (whole, prefixed) = (write("a.safetensors", named("")), write("b.safetensors", named("module.")));
        let mut other = named("");
        other.retain(|tensor| tensor.name != "merge.bias");
        other.push(Named { name: "lora.up".into(), ..named("").remove(0) });
        let other = write("other.safetensors", other);
        let cut = home.path().join("cut.safetensors");
        std::fs::write(&cut, &std::fs::read(&whole).unwrap()[..2000]).unwrap();
        let photo = home.path().join("photo.png");
        encode::write_png(&photo, &picture(3, 150, 100)).unwrap();

        let client = Client(Engine::start(Arc::new(|| ())).unwrap());
        let recipe = Recipe::from_ron(RECIPE, "toy.ron").unwrap();
        let check = |adapters: Vec<std::path::PathBuf>| {
            let (picture, recipe) = (Some(photo.clone()), Box::new(recipe.clone()));
            let request = CheckModel { picture, adapters, prompt: "stone".into(), seeds: 2, recipe };
            match client.done(Job::CheckModel(request)) {
                Outcome::Checked(check) => check,
                other => panic!("{other:?}"),
            }
        };
        let found = check(vec![whole.clone(), prefixed]);
        let of = |what: &str| found.findings.iter().filter(|finding| finding.what == what).collect::<Vec<_>>();
        assert!(of("names").len() == 3 && of("names").iter().all(|finding| finding.mark == Mark::Good), "{found:?}");
        // Four cosines of 64 values give little of noise back, and the weights were never trained.
        assert!(of("round trip")[0].mark == Mark::Bad && of("round trip")[0].text.contains("128×64"), "{found:?}");
        assert!(of("prediction").len() == 3 && of("prediction")[0].text.contains("at t = 500, without"), "{found:?}");
        assert_eq!(
            of("prediction")[1].text.split_once(": ").unwrap().1,
            of("prediction")[2].text.split_once(": ").unwrap().1
        );
        // The same weights twice: the second is not rewarded more.
        assert!(of("reward")[0].mark == Mark::Bad && !found.is_good(), "{found:?}");
        assert!(of("memory, training").len() == 1);

        let found = check(vec![other, cut]);
        let bad: Vec<_> = found.findings.iter().filter(|f| f.what == "names" && f.mark == Mark::Bad).collect();
        assert_eq!(bad.len(), 2, "{found:?}");
        for part in ["other.safetensors", "1 missing: merge.bias", "1 not of this network: lora.up"] {
            assert!(bad[0].text.contains(part), "{part}: {}", bad[0].text);
        }
        assert!(bad[1].text.contains("cut.safetensors") && bad[1].text.lines().count() == 1, "{}", bad[1].text);
    }
    #[test]
    fn a_picture_of_any_size_is_upscaled_and_what_of_its_prompt_is_not_read_is_said() {
        use dp2o_studio::engine::protocol::Upscale;
        use dp2o_studio::imaging::decode;

        toy::register();
        let home = tempfile::tempdir().unwrap();
        let photo = home.path().join("photo.png");
        encode::write_png(&photo, &picture(3, 50, 33)).unwrap();
        let client = Client(Engine::start(Arc::new(|| ())).unwrap());
        let mut recipe = Recipe::from_ron(RECIPE, "toy.ron").unwrap();
        // In tiles of latents.
        for setting in ["tile=96", "m=2"] {
            recipe.set_assignment(setting).unwrap();
        }
        let upscaled = |prompt: &str, recipe: &Recipe| {
            let out = home.path().join(format!("out-{}", prompt.len()));
            let (images, prompt) = (vec![photo.clone()], Some(prompt.to_owned()));
            let (checkpoint, best_of, overwrite, recipe) = (None, false, true, Box::new(recipe.clone()));
            let upscale = Upscale { images, out, checkpoint, prompt, best_of, overwrite, recipe };
            match client.logged(Job::Upscale(upscale)) {
                (Outcome::Written { files, failed }, said) if failed.is_empty() => (files, said),
                other => panic!("{other:?}"),
            }
        };
        let (files, said) = upscaled("stone", &recipe);
        let image = decode::read(&files[0]).unwrap();
        assert_eq!((files.len(), image.width(), image.height()), (2, 200, 132));
        assert!(said.iter().all(|line| !line.contains("are read")), "{said:?}");
        let (_, said) = upscaled("one two three four five six seven eight nine", &recipe);
        assert_eq!(
            said.iter().filter(|line| line.contains("photo.png: the prompt has 9 words, of which 8")).count(),
            1
        );
        // Truncated, no value is higher.
        recipe.set_assignment("sampling.rounding=truncate").unwrap();
        let truncated = decode::read(&upscaled("stone", &recipe).0[0]).unwrap();
        let off = image.data().iter().zip(truncated.data()).map(|(a, b)| ((a - b) * 255.0).round());
        assert!(off.clone().all(|off| off == 0.0 || off == 1.0) && off.sum::<f32>() > 1000.0);
        // As the official scripts do, the fix sees a picture of 8 bits: beyond black and white there is nothing.
        let mut fixed = |rounding: &str| {
            recipe.set_assignment("sampling.color_fix=adain").unwrap();
            recipe.set_assignment(&format!("sampling.rounding={rounding}")).unwrap();
            decode::read(&upscaled("stone", &recipe).0[0]).unwrap()
        };
        let (of_values, of_bits) = (fixed("truncate"), fixed("official"));
        assert!(of_values.data() != of_bits.data());
        recipe.set_assignment("sampling.color_fix=none").unwrap();
        let off = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| ((a - b) * 255.0).abs()).fold(0.0, f32::max);
        let unfixed = decode::read(&upscaled("stone", &recipe).0[0]).unwrap();
        assert_eq!(off(unfixed.data(), image.data()), 0.0);
    }
}
