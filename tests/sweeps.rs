//! From the command line: which metric decides, weights that balance them, and a sweep that finds what it did before.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use dp2o_studio::workspace::Workspace;
use serde_json::Value;

/// Small pictures, judged by metrics of pixels and by their LR images.
const NEW: &str = "new ws --example --set m=4 --set sampling.steps=1 --set sampling.solver=euler --set crop=64 --set crops=2 \
                   --set data.held_out_crops=2 --set fr=psnr,ssim --set nr=lr_psnr --set held_out=lr_ssim --set regardless= \
                   --set ratio=0.5 --set training.steps=1 --set batch=1 --set eval_seeds=2 --set training.eval_every=0";

fn done(dir: &Path, line: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
    let output = command.args(line.split_whitespace()).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Each metric's share of the ranking, of those that count.
fn shares(dir: &Path) -> Vec<f64> {
    let attribution: Value = serde_json::from_slice(&fs::read(dir.join("a.json")).unwrap()).unwrap();
    assert_eq!(
        (attribution["images"].as_array().unwrap().len(), attribution["groups"].as_array().unwrap().len()),
        (2, 2)
    );
    let metrics = attribution["metrics"].as_array().unwrap();
    let counting = metrics.iter().filter(|metric| metric["coefficient"].as_f64().unwrap() > 0.0);
    counting.map(|metric| metric["share"].as_f64().unwrap()).collect()
}

#[test]
fn metrics_are_balanced_and_a_sweep_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    for line in [NEW, "sample ws", "score ws"] {
        done(dir, line);
    }
    let said = done(dir, "attribution ws --json a.json --csv a.csv");
    assert!(said.contains("lr_psnr") && said.contains("--balance metrics would set"), "{said}");
    assert!((shares(dir).iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let csv = fs::read_to_string(dir.join("a.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 3 * 4, "{csv}");
    done(dir, "attribution ws --balance metrics");
    done(dir, "attribution ws --json a.json");
    let balanced = shares(dir);
    assert!(balanced.len() == 3 && balanced.iter().all(|share| (share - 1.0 / 3.0).abs() < 1e-6), "{balanced:?}");

    // Ranked regardless of grain, which is then scored too, and still makes no part of the reward.
    done(dir, "score ws --set regardless=grain,seed");
    let said = done(dir, "attribution ws");
    assert!(said.lines().any(|line| line.starts_with("grain") && line.contains("held out")), "{said}");

    // Not even written meanwhile: a sweep that is killed leaves the recipe as it was.
    let recipe = || {
        let path = dir.join("ws/workspace.ron");
        (fs::metadata(&path).unwrap().modified().unwrap(), fs::read_to_string(&path).unwrap())
    };
    let before = recipe();
    let sweep = "sweep ws --grid objective=dpo,nft scope=robust --seeds 2 --on held-out --out out";
    let said = done(dir, sweep);
    assert!(said.contains("mean ± std over 2 training seeds"), "{said}");
    // How checkpoints were chosen is said once for all runs, and that some of the images reported on chose them.
    let notes = ["only figures on test images are unbiased by that", "the only checkpoint evaluated on", "run-4"];
    let said_of =
        |note: &str| said.lines().skip_while(|line| !line.starts_with("*:")).filter(|l| l.contains(note)).count();
    assert_eq!(notes.map(said_of), [1; 3], "{said}");
    let read = |name: &str| fs::read_to_string(dir.join("out").join(name)).unwrap();
    let (table, runs) = (read("table.csv"), read("runs.csv"));
    for label in ["objective=dpo scope=robust", "objective=nft scope=robust"] {
        assert!(table.contains(&format!("{label},Mean@2,")) && table.contains(&format!("{label},lr_ssim,")), "{table}");
    }
    assert!(table.contains("objective=dpo scope=robust,R (frozen),"), "{table}");
    let grain = |when: &str| table.lines().find(|line| line.contains(&format!("grain {when} (dB)"))).map(str::to_owned);
    assert!(grain("before").is_some() && grain("after").is_some() && !table.contains(",grain,"), "{table}");
    let names: BTreeSet<&str> = runs.lines().skip(1).filter_map(|line| line.split(',').nth(2)).collect();
    assert_eq!(names.len(), 4, "{runs}");
    for name in ["reward-over-steps.svg", "best-mean-worst.svg"] {
        assert!(read(name).matches("<polyline").count() >= 2, "{name}");
    }
    // Again: nothing is trained anew, and the recipe is what it was.
    done(dir, sweep);
    assert_eq!((read("table.csv"), read("runs.csv")), (table, runs));
    assert_eq!(Workspace::open_read_only(dir.join("ws")).unwrap().ledger().runs().unwrap().len(), 4);
    assert_eq!(recipe(), before);
}
