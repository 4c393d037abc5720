//! The recipe from outside: RON files, `--set`, presets, the table of settings.

use std::collections::BTreeSet;

use dp2o_studio::iqa::{Direction, Info, Kind};
use dp2o_studio::method::fields::{fields, find};
use dp2o_studio::method::presets::{preset, preset_names, preset_or_file, purpose};
use dp2o_studio::method::recipe::{Mode, Recipe};
use dp2o_studio::method::value::{Accepted, Value};

fn error_of(key: &str, text: &str) -> String {
    let mut recipe = Recipe::default();
    let error = recipe.set(key, text).unwrap_err().to_string();
    assert_eq!(recipe, Recipe::default(), "changed by {key}={text}");
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn the_table_has_every_field_of_the_struct_and_no_other() {
    let json = serde_json::to_value(Recipe::default()).unwrap();
    let topics = json.as_object().unwrap().iter();
    let of_struct: BTreeSet<String> = topics
        .flat_map(|(topic, values)| {
            let names = values.as_object().unwrap().keys();
            names.map(move |name| format!("{topic}.{name}"))
        })
        .collect();
    let of_table: BTreeSet<String> = fields().iter().map(|field| field.key.to_owned()).collect();
    assert_eq!(of_struct, of_table);
    assert_eq!(of_table.len(), fields().len());
}

#[test]
fn names_are_unambiguous_and_every_setting_is_explained() {
    let mut names = BTreeSet::new();
    for field in fields() {
        for name in field.aliases.iter().chain([&field.key]) {
            assert!(names.insert(*name), "{name} is given twice");
            assert_eq!(find(name).unwrap().0.key, field.key);
        }
        assert!(!field.label.is_empty() && field.doc.ends_with('.'), "{}", field.key);
        assert!(field.check(&field.default_value()).is_ok(), "{}", field.key);
    }
}

#[test]
fn every_setting_reads_back_what_it_prints() {
    for name in preset_names() {
        let known = preset(name).unwrap();
        let mut copy = Recipe::default();
        for field in fields() {
            copy.set(field.key, &known.get(field.key).unwrap()).unwrap();
        }
        assert_eq!(copy, known, "{name}");
        assert_eq!(Recipe::from_ron(&known.to_ron().unwrap(), "x.ron").unwrap(), known);
    }
}

#[test]
fn set_takes_paths_aliases_fractions_and_single_weights() {
    let mut recipe = Recipe::default();
    for assignment in [
        "m=32",
        "ratio = 1/16",
        "training.beta=5000",
        "lr=2e-5",
        "steps=1000",
        "mode=lora",
        "fr=stlpips",
        "reward.fr.ms_ssim=0.5",
        "nr=niqe:2,brisque",
        "reward.held_out=psnr, piqe",
    ] {
        recipe.set_assignment(assignment).unwrap();
    }
    assert_eq!((recipe.sampling.m, recipe.curation.ratio), (32, 0.0625));
    assert_eq!((recipe.training.beta, recipe.training.steps), (5000.0, 1000));
    assert_eq!(recipe.training.mode, Mode::Lora);
    assert_eq!(recipe.get("reward.fr").unwrap(), "ms_ssim:0.5,stlpips:1");
    assert_eq!(recipe.get("reward.fr.ms_ssim").unwrap(), "0.5");
    assert_eq!(recipe.get("nr").unwrap(), "brisque:1,niqe:2");
    recipe.validate().unwrap();
    assert_eq!(
        recipe.diff(&Recipe::default()),
        [
            "sampling.m",
            "reward.fr",
            "reward.nr",
            "reward.held_out",
            "curation.ratio",
            "training.beta",
            "training.learning_rate",
            "training.steps",
            "training.mode"
        ]
    );
}

#[test]
fn a_wrong_key_lists_near_matches() {
    assert!(error_of("training.bata", "1").contains("training.beta"));
    assert!(error_of("learning_rte", "1").contains("training.learning_rate"));
    assert!(error_of("alpha", "1").contains("hpo.alpha_intra"));
    let error = error_of("zzz", "1");
    assert!(!error.contains("did you mean"), "{error}");
    assert!(error_of("", "1").contains("no setting"));
    assert!(error_of("training.beta.x", "1").contains("no setting"));
    assert!(Recipe::default().set_assignment("m").is_err());
}

#[test]
fn a_wrong_value_names_the_accepted_range() {
    for (key, text, accepted) in [
        ("m", "-4", "a whole number from 2 to 1024"),
        ("m", "1", "a whole number from 2 to 1024"),
        ("m", "16.5", "a whole number"),
        ("m", "99999999999999999999999", "a whole number"),
        ("ratio", "2", "a number above 0, at most 0.5"),
        ("ratio", "0", "a number above 0"),
        ("ratio", "1/0", "a number above 0"),
        ("beta", "NaN", "a number above 0"),
        ("beta", "inf", "a number above 0"),
        ("beta", "", "a number above 0"),
        ("balance", "-inf", "a number from 0 to 1"),
        ("balance", "NaN", "a number from 0 to 1"),
        ("hpo.alpha_intra", "-1", "a number from 0"),
        ("sampling.solver", "rk4", "one of euler, heun"),
        ("reward.fr", "stlpips:-1", "metric names with weights"),
        ("reward.fr", "stlpips:x", "metric names with weights"),
        ("reward.fr", "stlpips,stlpips", "metric names with weights"),
        ("reward.fr.stlpips", "NaN", "metric names with weights"),
        ("reward.fr.stlpips", "x", "not a weight"),
        ("reward.held_out", "psnr,psnr", "different names"),
        ("sampling.backbone", "", "not empty"),
    ] {
        let error = error_of(key, text);
        assert!(error.contains(accepted), "{key}={text}: {error}");
    }
}

#[test]
fn rules_between_settings_are_checked() {
    for (assignments, cause) in [
        (&["balance=0", "nr="][..], "no metric counts"),
        (&["fr=", "nr="], "no metric counts"),
        (&["fr=a", "nr=a"], "listed in reward.fr too"),
        (&["fr=psnr"], "trained on, so it cannot be held out"),
        (&["tile=64", "sampling.tile_overlap_px=33"], "half of tile_px"),
    ] {
        let mut recipe = Recipe::default();
        for assignment in ["fr=stlpips,ms_ssim", "nr=niqe", "held_out=psnr"].iter().chain(assignments) {
            recipe.set_assignment(assignment).unwrap();
        }
        let error = recipe.validate().unwrap_err().to_string();
        assert!(error.contains(cause), "{error}");
    }
}

#[test]
fn a_broken_file_is_named_with_line_column_and_cause() {
    for (text, start, cause) in [
        ("(\n  sampling: (m: -3),\n)", "my.ron: line 2, column 1", ""),
        ("(\n  trainin: (beta: 1.0),\n)", "my.ron: line 2, column", "trainin"),
        ("(\n  training: (betta: 1.0),\n)", "my.ron: line 2, column", "betta"),
        (
            "(\n  training: (\n    // beta: 1.0\n    beta: NaN,\n  ),\n)",
            "my.ron: line 4, column 5: training.beta",
            "above 0",
        ),
        ("(curation: (ratio: 2.0))", "my.ron: line 1, column 13: curation.ratio", "at most 0.5"),
        ("(training: (steps: 5), sampling: (steps: 0))", "my.ron: line 1, column 35: sampling.steps", "from 1"),
        ("(sampling: (solver: rk4))", "my.ron: line 1, column", "rk4"),
        ("(", "my.ron: line 1, column", ""),
        ("", "my.ron: line 1, column", ""),
        ("(reward: (fr: {\"a b\": 1.0}))", "my.ron: line 1, column 11: reward.fr", "metric names"),
    ] {
        let error = Recipe::from_ron(text, "my.ron").unwrap_err().to_string();
        assert!(error.starts_with(start), "{text}: {error}");
        assert!(error.contains(cause), "{text}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let error = Recipe::load("no/such/file.ron").unwrap_err().to_string();
    assert!(error.starts_with("no/such/file.ron: "), "{error}");
}

#[test]
fn a_file_saved_by_a_windows_editor_is_read_and_its_mistakes_are_placed_alike() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("my.ron");
    let load = |text: &str| {
        std::fs::write(&path, format!("\u{FEFF}{}", text.replace('\n', "\r\n"))).unwrap();
        Recipe::load(&path)
    };
    let recipe = preset("mini-demo").unwrap();
    assert_eq!(load(&recipe.to_ron().unwrap()).unwrap(), recipe);
    let error = load("(\n  training: (\n    beta: -1.0,\n  ),\n)").unwrap_err().to_string();
    assert!(error.contains("my.ron: line 3, column 5: training.beta"), "{error}");
    let utf16: Vec<u8> = "\u{FEFF}(seed: 1)".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&path, utf16).unwrap();
    let error = Recipe::load(&path).unwrap_err().to_string();
    assert!(error.contains("UTF-16"), "{error}");
}

#[test]
fn presets_hold_what_the_paper_gives() {
    assert!(preset_names().all(|name| purpose(name).ends_with('.') && purpose(name).len() > 40));
    assert_eq!(purpose("nothing"), "");
    let sd2 = preset("sd2-paper").unwrap();
    let flux = preset("flux-paper").unwrap();
    for (recipe, settings) in [
        (
            &sd2,
            &[
                ("m", "32"),
                ("ratio", "0.25"),
                ("sampling.solver", "ddpm"),
                ("sampling.steps", "50"),
                ("guidance", "3.5"),
                ("sampling.negative_prompt", "dotted, noise, blur, lowres, smooth"),
            ][..],
        ),
        (
            &flux,
            &[
                ("m", "64"),
                ("ratio", "0.0625"),
                ("sampling.solver", "euler"),
                ("sampling.steps", "25"),
                ("guidance", "2.5"),
                ("sampling.negative_prompt", ""),
            ],
        ),
    ] {
        let of_both = [
            ("sampling.color_fix", "adain"),
            ("beta", "5000"),
            ("lr", "0.00002"),
            ("training.steps", "1000"),
            ("ema", "0"),
            ("training.augmentation", "none"),
            ("mode", "full"),
        ];
        for (key, value) in settings.iter().chain(&of_both) {
            assert_eq!(recipe.get(key).unwrap(), *value, "{key} of {}", recipe.sampling.backbone);
        }
        assert_eq!(recipe.training.pairs_per_step(), 1024);
    }
    // What is trained is the ControlNet and all of that.
    assert!(sd2.training.frozen.is_empty() && flux.training.frozen.is_empty());
    assert_eq!(sd2.get("sampling.rounding").unwrap(), "official");
    // The paper's nine, and those of its held-out ones that are no language model.
    for recipe in [&sd2, &flux] {
        let reward = &recipe.reward;
        assert_eq!(reward.fr.keys().collect::<Vec<_>>(), ["afine_fr", "lpips", "topiq_fr"]);
        let nr = ["afine_nr", "clipiqa+", "maniqa-pipal", "musiq", "qalign", "topiq_nr"];
        assert_eq!(reward.nr.keys().collect::<Vec<_>>(), nr);
        assert!(reward.fr.values().chain(reward.nr.values()).all(|weight| *weight == 1.0));
        assert_eq!(reward.held_out, ["psnry", "ssimy", "nima", "topiq_iaa"]);
        recipe.check_metrics(&|name| Some(dp2o_studio::iqa::by_name(name).ok()?.info().clone())).unwrap();
    }
    assert!(preset("nope").unwrap_err().to_string().contains("mini-demo"));
    assert!(preset_or_file("nope.ron").unwrap_err().to_string().starts_with("nope.ron: "));
    assert_eq!(preset_or_file("mini-demo").unwrap(), preset("mini-demo").unwrap());
}

#[test]
fn every_preset_can_be_worked_with() {
    for name in preset_names() {
        preset(name).unwrap().check_backbone().unwrap();
    }
}

#[test]
fn recipes_of_earlier_versions_read() {
    let recipe = Recipe::from_ron("(sampling: (colour_fix: adain, method: euler))", "old.ron").unwrap();
    assert_eq!(recipe.get("sampling.color_fix").unwrap(), "adain");
    assert_eq!(recipe.get("sampling.solver").unwrap(), "euler");
    assert!(recipe.to_ron().unwrap().contains("color_fix: adain"));
    let unused = "(sampling: (\n    guidance: 3.0))";
    let error = Recipe::from_ron(unused, "old.ron").unwrap_err().to_string();
    assert!(error.starts_with("old.ron: line 2, column 5: sampling.guidance") && error.contains("mini"), "{error}");
    assert_eq!(Recipe::from_ron_unchecked(unused).unwrap().sampling.guidance, 3.0);
}

#[test]
fn metrics_are_checked_against_the_registry() {
    let lookup = |name: &str| {
        let (direction, kind, min_size_px) = match name {
            "stlpips" => (Direction::Lower, Kind::FullReference, 32),
            "ms_ssim" => (Direction::Higher, Kind::FullReference, 176),
            "psnr" | "ssim" => (Direction::Higher, Kind::FullReference, 11),
            "niqe" | "brisque" | "piqe" => (Direction::Lower, Kind::NoReference, 96),
            "grain" => (Direction::Neither, Kind::FullReference, 1),
            _ => return None,
        };
        Some(Info { min_size_px, ..Info::new(name.to_owned(), kind, direction) })
    };
    let check = |assignments: &[&str]| {
        let mut recipe = Recipe::default();
        for assignment in ["fr=stlpips,ms_ssim", "nr=niqe", "held_out=psnr"].iter().chain(assignments) {
            recipe.set_assignment(assignment).unwrap();
        }
        recipe.check_metrics(&lookup).map_err(|e| e.to_string())
    };
    check(&["crop=192"]).unwrap();
    check(&["crop=0"]).unwrap();
    assert!(check(&["crop=128"]).unwrap_err().contains("`ms_ssim` needs at least 176 px"));
    assert!(check(&["crop=0", "fr=niqe"]).unwrap_err().contains("no-reference"));
    assert!(check(&["crop=0", "nr=fancy"]).unwrap_err().contains("`fancy`"));
    check(&["crop=0", "regardless=grain", "held_out=grain"]).unwrap();
    // What a seed does is no metric: nothing has to score it.
    check(&["crop=0", "regardless=seed,grain"]).unwrap();
    let mut recipe = Recipe::default();
    recipe.set_assignment("regardless=seed,grain").unwrap();
    assert!(recipe.scored_metrics().contains(&"grain") && !recipe.scored_metrics().contains(&"seed"));
    assert!(check(&["crop=0", "regardless=fancy"]).unwrap_err().contains("`fancy`"));
    assert!(check(&["crop=0", "fr=grain"]).unwrap_err().contains("never rewarded"));
}

#[test]
fn random_text_never_panics_nor_slips_through() {
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let pieces = ["-", "1", "e", "9", ".", "/", ":", ",", "nan", "inf", " ", "é", "\n", "a", "="];
    for _ in 0..20_000 {
        let field = &fields()[random(fields().len())];
        let text: String = (0..random(6)).map(|_| pieces[random(pieces.len())]).collect();
        let mut recipe = Recipe::default();
        if recipe.set(field.key, &text).is_ok() {
            let value = field.value(&recipe);
            assert!(field.accepted.admits(&value), "{}={text}", field.key);
            if let Value::Number(number) = value {
                assert!(number.is_finite());
            }
        }
    }
    assert!(matches!(find("m").unwrap().0.accepted, Accepted::Count { .. }));
}
