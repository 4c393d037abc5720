//! The whole way of C-FLUX through the engine, on the small weights of `tests/fixtures/make_flux.py`: add, prompt, sample, score,
//! curate, train, stop and go on (and be killed and go on), compare, write the ControlNet in every form, and open what was written as the published one.

mod program;
use program::{Small, tensors};

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
    let noise = FLUX.drawn_by_the_command_line("2.5", &[]);
    // Of sides padded to 16 px.
    assert_eq!(noise, [("control".to_owned(), vec![1, 16, 64, 42]), ("start".to_owned(), vec![1, 16, 64, 42])]);
}
