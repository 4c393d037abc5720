//! The whole way of C-FLUX through the engine, on the small weights of `tests/fixtures/make_flux.py`: add, prompt, sample, score,
//! curate, train, stop and go on, compare, write the ControlNet in every form, and open what was written as the published one.

use std::path::{Path, PathBuf};
use std::process::Command;

use dp2o_studio::backbones::registry;
use dp2o_studio::engine::protocol::{Job, Outcome, WeightsForm};
use dp2o_studio::imaging::{Image, encode};
use dp2o_studio::method::provenance::On;
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::weights::Store;

mod program;
use program::{done, export, sampled, shapes, steps, stop_after_a_step, tensors, workspace};

const RECIPE: &str = r#"(
    data: (crop_px: 64),
    sampling: (backbone: "flux", m: 4, steps: 2, solver: euler, guidance: 2.5),
    reward: (fr: {"psnr": 1.0}, nr: {}, held_out: ["ssim"]),
    curation: (ratio: 0.5),
    training: (steps: 3, batch_pairs: 2, accumulation: 1, warmup_steps: 0, learning_rate: 1e-3, weight_decay: 0.1,
        eval_every: 0, eval_seeds: 2, checkpoint_every: 0),
)"#;
const CONTROL: &str = "c-flux/model.safetensors";
/// The text of the last block, which nothing reads.
const UNREAD: [&str; 3] = [".attn.to_add_out.", ".ff_context.net.0.proj.", ".ff_context.net.2."];

fn fixtures() -> PathBuf {
    program::fixtures("flux")
}

#[test]
fn from_files_to_a_tuned_control_net_that_is_opened_as_the_published_one() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let (root, tuned) = (at("ws"), at("tuned"));
    let mut recipe = Recipe::from_ron(RECIPE, "flux.ron").unwrap();
    let folders = [home.path().to_owned(), fixtures()];
    let engine = program::engine(&folders);
    workspace(&engine, &root, &recipe);
    assert_eq!(sampled(&engine), 16);
    // Two texts: the one beside two of the images, and none. Each is kept once it was encoded.
    assert_eq!(std::fs::read_dir(root.join("texts")).unwrap().count(), 2);
    done(&engine, Job::Score);
    done(&engine, Job::Curate { allow_partial: false });
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
    let compare = Job::Compare { a: "reference".into(), b: "whole@3".into(), seeds: Some(2), on: On::Test };
    match done(&engine, compare) {
        Outcome::Compared(compared) => assert!(compared.report.comparison.images > 0),
        other => panic!("{other:?}"),
    }

    // The released tensors and nothing else. What nothing reads is as it was, and not smaller by the decay of weights.
    let released = shapes(&fixtures().join(CONTROL));
    export(&engine, "whole@3", &tuned.join(CONTROL), WeightsForm::Whole);
    export(&engine, "whole@3", &at("half.safetensors"), WeightsForm::Half);
    assert!(shapes(&tuned.join(CONTROL)) == released && shapes(&at("half.safetensors")) == released);
    let (before, trained) = (tensors(&fixtures().join(CONTROL)), tensors(&tuned.join(CONTROL)));
    let mut stayed = 0;
    for ((name, _, before), (_, _, after)) in before.iter().zip(&trained) {
        let is_unread = name.starts_with("transformer_blocks.1.") && UNREAD.iter().any(|part| name.contains(part));
        stayed += usize::from(is_unread);
        assert_eq!(before == after, is_unread, "{name}");
    }
    assert_eq!(stayed, 6);
    let store = Store::of_folders(&[tuned.clone(), fixtures()], true);
    let again = registry::open("flux", &Compute::cpu(), &store).unwrap().reference().unwrap();
    for (name, tensor) in again.iter() {
        let (_, _, values) = trained.iter().find(|(other, ..)| other == name).unwrap();
        assert!(&tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap() == values, "{name}");
    }

    for setting in ["mode=lora", "lora_rank=2", "training.steps=2"] {
        recipe.set_assignment(setting).unwrap();
    }
    done(&engine, Job::SetRecipe(Box::new(recipe)));
    done(&engine, train("low"));
    export(&engine, "low@2", &at("factors.safetensors"), WeightsForm::Factors);
    export(&engine, "low@2", &at("merged.safetensors"), WeightsForm::Whole);
    let factors = shapes(&at("factors.safetensors"));
    assert!(factors.iter().all(|(name, _)| name.ends_with(".lora_a") || name.ends_with(".lora_b")), "{factors:?}");
    assert!(shapes(&at("merged.safetensors")) == released && factors.len() > 30);
    if let Some(keep) = std::env::var_os("DP2O_KEEP_FLUX") {
        let keep = PathBuf::from(keep);
        for (from, to) in
            [(tuned.join(CONTROL), "whole"), (at("half.safetensors"), "half"), (at("merged.safetensors"), "merged")]
        {
            std::fs::copy(from, keep.join(format!("{to}.safetensors"))).unwrap();
        }
    }
}

#[test]
fn the_command_line_draws_a_picture_and_writes_its_noise() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    encode::write_png(home.path().join("lr.png"), &Image::new(9, 7, vec![0.4; 189]).unwrap()).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        let weights = fixtures().display().to_string();
        command.env("HOME", home.path()).args(arguments).args(["--weights", &weights, "--unverified"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (out, noise) = (at("out"), at("noise.safetensors"));
    run(&[
        "upscale",
        &at("lr.png"),
        "--out",
        &out,
        "--backbone",
        "flux",
        "--prompt",
        "a stone wall",
        "--seed",
        "3",
        "--steps",
        "2",
        "--guidance",
        "2.5",
    ]);
    let picture = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "png"));
    let picture = dp2o_studio::imaging::decode::read(picture.unwrap()).unwrap();
    assert_eq!((picture.width(), picture.height()), (36, 28));
    run(&["noise", "--backbone", "flux", "--seed", "3", "--size", "36x28", "--steps", "2", "--out", &noise]);
    let names: Vec<_> = shapes(Path::new(&noise));
    assert_eq!(names, [("control".to_owned(), vec![1, 16, 4, 6]), ("start".to_owned(), vec![1, 16, 4, 6])]);
}
