//! The whole way of C-SD2 through the engine, on the small weights of `tests/fixtures/make_sd2.py`: add, prompt, sample, score,
//! curate, train, stop and go on (and be killed and go on), compare, write the ControlNet in every form, and open what was written as the published one.

use std::fs::{self, OpenOptions};

use dp2o_studio::engine::protocol::{CheckModel, Command, Event, Job, JobState};
use dp2o_studio::method::presets;
use dp2o_studio::workspace::Workspace;

mod program;
use program::{Small, engine, fixtures, is, shapes, tensors, wait};

const SD2: Small = Small {
    name: "sd2",
    recipe: r#"(
        data: (crop_px: 64),
        sampling: (backbone: "sd2", m: 4, steps: 2, solver: ddpm, guidance: 3.5,
            negative_prompt: "dotted, noise, blur, lowres, smooth"),
        reward: (fr: {"psnr": 1.0}, nr: {}, held_out: ["ssim"]),
        curation: (ratio: 0.5),
        training: (steps: 3, batch_pairs: 2, accumulation: 1, warmup_steps: 0, learning_rate: 1e-3, eval_every: 0, eval_seeds: 2,
            checkpoint_every: 0),
    )"#,
    control: "c-sd2/model.safetensors",
    factors: 100,
    keep: "DP2O_KEEP_SD2",
};

#[test]
fn from_files_to_a_tuned_control_net_that_is_opened_as_the_published_one() {
    let of = SD2.trained();
    let prompts = Workspace::open_read_only(&of.root).unwrap().ledger().images().unwrap();
    assert_eq!(prompts.iter().filter(|image| image.prompt == "a stone wall, moss").count(), 2);
    assert_eq!(shapes(&SD2.released()).len(), 340);
    let (before, trained) = (tensors(&SD2.released()), SD2.written(&of));
    assert!(before.iter().zip(&trained).any(|(before, after)| before != after), "nothing was trained");
    SD2.of_low_rank(&of);
}

#[test]
fn killed_again_and_again_it_makes_the_steps_of_an_undisturbed_run() {
    SD2.killed_again_and_again();
}

#[test]
fn the_command_line_draws_a_picture_and_writes_its_noise() {
    let noise = SD2.drawn_by_the_command_line("3.5", &["--negative", "dotted, noise, blur, lowres, smooth"]);
    // Of sides padded to 64 px.
    let named = ["start", "step.000", "step.001"].map(|name| (name.to_owned(), vec![1, 4, 64, 48]));
    assert_eq!(noise, named);
}

/// A file of a gigabyte, of which nothing is on the disk but its length.
#[test]
fn files_that_are_read_for_their_hash_show_how_far_and_can_be_cancelled() {
    let home = tempfile::tempdir().unwrap();
    let unet = home.path().join("stable-diffusion-2-base/unet");
    fs::create_dir_all(&unet).unwrap();
    fs::copy(fixtures("sd2").join("stable-diffusion-2-base/unet/config.json"), unet.join("config.json")).unwrap();
    let file = unet.join("diffusion_pytorch_model.safetensors");
    OpenOptions::new().write(true).create_new(true).open(&file).unwrap().set_len(1 << 30).unwrap();
    let engine = engine(&[home.path().to_owned(), fixtures("sd2")]);
    let check = CheckModel {
        picture: None,
        adapters: Vec::new(),
        prompt: String::new(),
        seeds: 1,
        recipe: Box::new(presets::of_backbone("sd2").unwrap()),
    };
    let id = engine.run(Job::CheckModel(check)).unwrap();
    let mut seen = None;
    wait(&engine, |event| match event {
        Event::Job { state: JobState::Progress(progress), .. } if progress.unit == "MB" => {
            seen = Some(progress.clone());
            true
        }
        _ => false,
    });
    let seen = seen.unwrap();
    assert!(seen.stage.contains("SHA-256") && (1074..1100).contains(&seen.total) && seen.done > 0, "{seen:?}");
    assert!(seen.done < seen.total && seen.eta_secs.is_some_and(|secs| secs > 0.0), "{seen:?}");
    engine.send(Command::Cancel(id)).unwrap();
    wait(&engine, is(id, |state| matches!(state, JobState::Cancelled)));
}
