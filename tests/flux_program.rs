//! The whole way of C-FLUX through the engine, on the small weights of `tests/fixtures/make_flux.py`: add, prompt, sample, score,
//! curate, train, stop and go on (and be killed and go on), compare, write the ControlNet in every form, and open what was written as the published one.

use std::path::Path;
use std::process::Command;

use dp2o_studio::imaging::{Image, encode};

mod program;
use program::{Small, shapes, tensors};

const FLUX: Small = Small {
    name: "flux",
    recipe: r#"(
        data: (crop_px: 64),
        sampling: (backbone: "flux", m: 4, steps: 2, solver: euler, guidance: 2.5),
        reward: (fr: {"psnr": 1.0}, nr: {}, held_out: ["ssim"]),
        curation: (ratio: 0.5),
        training: (steps: 3, batch_pairs: 2, accumulation: 1, warmup_steps: 0, learning_rate: 1e-3, weight_decay: 0.1,
            eval_every: 0, eval_seeds: 2, checkpoint_every: 0),
    )"#,
    control: "c-flux/model.safetensors",
    factors: 30,
    keep: "DP2O_KEEP_FLUX",
};
/// The text of the last block, which nothing reads.
const UNREAD: [&str; 3] = [".attn.to_add_out.", ".ff_context.net.0.proj.", ".ff_context.net.2."];

#[test]
fn from_files_to_a_tuned_control_net_that_is_opened_as_the_published_one() {
    let of = FLUX.trained();
    // Two texts: the one beside two of the images, and none. Each is kept once it was encoded.
    assert_eq!(std::fs::read_dir(of.root.join("texts")).unwrap().count(), 2);
    // What nothing reads is as it was, and not smaller by the decay of weights.
    let (before, trained) = (tensors(&FLUX.released()), FLUX.written(&of));
    let mut stayed = 0;
    for ((name, _, before), (_, _, after)) in before.iter().zip(&trained) {
        let is_unread = name.starts_with("transformer_blocks.1.") && UNREAD.iter().any(|part| name.contains(part));
        stayed += usize::from(is_unread);
        assert_eq!(before == after, is_unread, "{name}");
    }
    assert_eq!(stayed, 6);
    FLUX.of_low_rank(&of);
}

#[test]
fn killed_again_and_again_it_makes_the_steps_of_an_undisturbed_run() {
    FLUX.killed_again_and_again();
}

#[test]
fn the_command_line_draws_a_picture_and_writes_its_noise() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    encode::write_png(home.path().join("lr.png"), &Image::new(9, 7, vec![0.4; 189]).unwrap()).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        let weights = program::fixtures("flux").display().to_string();
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
