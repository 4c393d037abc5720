//! The whole way of C-SD2 through the engine, on the small weights of `tests/fixtures/make_sd2.py`: add, prompt, sample, score,
//! curate, train, stop and go on (and be killed and go on), compare, write the ControlNet in every form, and open what was written as the published one.

use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::time::Duration;

use candle_core::Device;
use dp2o_studio::engine::protocol::{Job, Outcome, WeightsForm};
use dp2o_studio::method::provenance::On;
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::weights::Store;
use dp2o_studio::workspace::Workspace;

mod program;
use program::{done, export, failed, sampled, shapes, steps, stop_after_a_step, tensors, workspace};

const RECIPE: &str = r#"(
    data: (crop_px: 64),
    sampling: (backbone: "sd2", m: 4, steps: 2, solver: ddpm, guidance: 3.5,
        negative_prompt: "dotted, noise, blur, lowres, smooth"),
    reward: (fr: {"psnr": 1.0}, nr: {}, held_out: ["ssim"]),
    curation: (ratio: 0.5),
    training: (steps: 3, batch_pairs: 2, accumulation: 1, warmup_steps: 0, learning_rate: 1e-3, eval_every: 0, eval_seeds: 2,
        checkpoint_every: 0),
)"#;
/// The released ControlNet, in the published folders.
const CONTROL: &str = "c-sd2/model.safetensors";

fn fixtures() -> PathBuf {
    program::fixtures("sd2")
}

#[test]
fn from_files_to_a_tuned_control_net_that_is_opened_as_the_published_one() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let (root, tuned) = (at("ws"), at("tuned"));
    let mut recipe = Recipe::from_ron(RECIPE, "sd2.ron").unwrap();
    let folders = [home.path().to_owned(), fixtures()];
    let engine = program::engine(&folders);
    workspace(&engine, &root, &recipe);
    let prompts = Workspace::open_read_only(&root).unwrap().ledger().images().unwrap();
    assert_eq!(prompts.iter().filter(|image| image.prompt == "a stone wall, moss").count(), 2);
    assert_eq!(sampled(&engine), 16);
    done(&engine, Job::Score);
    match done(&engine, Job::Curate { allow_partial: false }) {
        Outcome::Curated { .. } => {}
        other => panic!("{other:?}"),
    }
    // Trained at one go, and stopped in between: the same steps.
    let train = |run: &str| Job::Train { run: Some(run.into()), allow_partial: false };
    done(&engine, train("whole"));
    stop_after_a_step(&engine, "stopped");
    drop(engine);
    let engine = program::engine(&folders);
    done(&engine, Job::Open { dir: root.clone(), or_look: false });
    done(&engine, train("stopped"));
    let (whole, stopped) = (steps(&root, "whole"), steps(&root, "stopped"));
    assert_eq!(whole.len(), 3);
    assert!(whole == stopped, "{whole:?}\n{stopped:?}");
    assert!((whole[0].margin.abs() < 1e-9) && whole[0].grad_norm > 0.0 && whole[2].margin.abs() > 1e-9, "{whole:?}");
    let compare = |b: &str| Job::Compare { a: "reference".into(), b: b.into(), seeds: Some(2), on: On::Test };
    match done(&engine, compare("whole@3")) {
        Outcome::Compared(compared) => assert!(compared.report.comparison.images > 0),
        other => panic!("{other:?}"),
    }

    // The released tensors and nothing else, in both types; what is opened of them is what was trained.
    let released = shapes(&fixtures().join(CONTROL));
    assert_eq!(released.len(), 340);
    export(&engine, "whole@3", &tuned.join(CONTROL), WeightsForm::Whole);
    export(&engine, "whole@3", &at("half.safetensors"), WeightsForm::Half);
    assert!(shapes(&tuned.join(CONTROL)) == released && shapes(&at("half.safetensors")) == released);
    for ((name, _, whole), (_, _, half)) in tensors(&tuned.join(CONTROL)).iter().zip(tensors(&at("half.safetensors"))) {
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 5e-4 * a.abs().max(1e-3);
        assert!(whole.iter().zip(&half).all(close), "{name}");
    }
    let again = dp2o_studio::backbones::registry::open(
        "sd2",
        &dp2o_studio::nn::kernels::Compute::on(&Device::Cpu),
        &Store::of_folders(&[tuned.clone(), fixtures()], true),
    );
    let again = again.unwrap().reference().unwrap();
    let trained = tensors(&tuned.join(CONTROL));
    let moved = |name: &str, values: &[f32]| {
        tensors(&fixtures().join(CONTROL)).iter().any(|(n, _, v)| n == name && v != values)
    };
    assert!(trained.iter().any(|(name, _, values)| moved(name, values)), "nothing was trained");
    for (name, tensor) in again.iter() {
        let (_, _, values) = trained.iter().find(|(other, ..)| other == name).unwrap();
        assert!(&tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap() == values, "{name}");
    }

    // Low rank: the factors apart, and merged into the same tensors.
    for setting in ["mode=lora", "lora_rank=2", "training.steps=2"] {
        recipe.set_assignment(setting).unwrap();
    }
    done(&engine, Job::SetRecipe(Box::new(recipe)));
    done(&engine, train("low"));
    export(&engine, "low@2", &at("factors.safetensors"), WeightsForm::Factors);
    export(&engine, "low@2", &at("merged.safetensors"), WeightsForm::Whole);
    let factors = shapes(&at("factors.safetensors"));
    assert!(factors.iter().all(|(name, _)| name.ends_with(".lora_a") || name.ends_with(".lora_b")), "{factors:?}");
    assert!(shapes(&at("merged.safetensors")) == released && factors.len() > 100);
    let job = Job::ExportWeights {
        checkpoint: "whole@3".into(),
        path: at("none.safetensors"),
        form: WeightsForm::Factors,
        overwrite: false,
    };
    assert!(failed(&engine, job).contains("no low-rank factors"));
    if let Some(keep) = std::env::var_os("DP2O_KEEP_SD2") {
        let keep = PathBuf::from(keep);
        for (from, to) in
            [(tuned.join(CONTROL), "whole"), (at("half.safetensors"), "half"), (at("merged.safetensors"), "merged")]
        {
            std::fs::copy(from, keep.join(format!("{to}.safetensors"))).unwrap();
        }
    }
}

/// The program itself, training.
fn training(root: &Path, run: &str) -> Child {
    let mut program = Program::new(env!("CARGO_BIN_EXE_dp2o-studio"));
    program.stdout(Stdio::null()).stderr(Stdio::null());
    program.arg("train").arg(root).args(["--run", run, "--unverified", "--weights"]).arg(fixtures()).spawn().unwrap()
}

/// Steps of a run so far.
fn made(root: &Path, run: &str) -> usize {
    let Ok(workspace) = Workspace::open_read_only(root) else { return 0 };
    let found = workspace.ledger().run_by_name(run).ok().flatten();
    found.map_or(0, |run| workspace.ledger().steps_since(run.id, 0).unwrap_or_default().len())
}

#[test]
fn killed_again_and_again_it_makes_the_steps_of_an_undisturbed_run() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("ws");
    let mut recipe = Recipe::from_ron(RECIPE, "sd2.ron").unwrap();
    for setting in ["training.steps=8", "batch=1", "state_every_steps=1"] {
        recipe.set_assignment(setting).unwrap();
    }
    let engine = program::engine(&[fixtures()]);
    workspace(&engine, &root, &recipe);
    sampled(&engine);
    done(&engine, Job::Score);
    drop(engine);
    assert!(training(&root, "whole").wait().unwrap().success());
    let mut kills = 0;
    for wanted in [2, 4] {
        let mut child = training(&root, "killed");
        // Its own weights are opened first; nothing waits longer than a hanging program may.
        for _ in 0..6000 {
            if made(&root, "killed") >= wanted || child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        kills += usize::from(!child.wait().unwrap().success());
    }
    assert!(kills > 0, "every run ended before it could be killed");
    assert!(training(&root, "killed").wait().unwrap().success());
    let (whole, killed) = (steps(&root, "whole"), steps(&root, "killed"));
    assert_eq!(whole.len(), 8);
    assert!(whole == killed, "{whole:?}\n{killed:?}");
}
