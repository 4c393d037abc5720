//! Adding as a client asks for it: whatever the order and form, LR and HR that belong together are joined and no others.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::added::{Added, PassedOver};
use crate::engine::protocol::{AddImages, Event, Job, JobState, Outcome, Role};
use crate::imaging::resize::shrink_x4;
use crate::imaging::{Image, crop, decode, encode};
use crate::method::presets;
use crate::random::Random;
use crate::workspace::{CandidateSet, ImageRow, NewCandidate, NewReference, SamplerKey, SplitChoice, Workspace};

/// A directory of pictures with a workspace beside them.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap() };
        bench.again();
        bench
    }

    /// Another, empty workspace.
    fn again(&self) {
        let _ = fs::remove_dir_all(self.path("ws"));
        let recipe = Box::new(presets::preset("mini-demo").unwrap());
        self.run(&[Job::Create { dir: self.path("ws"), recipe, example: false }]).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, image: &Image) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        encode::write_png(path, image).unwrap();
    }

    /// The outcome of the last job.
    fn run(&self, jobs: &[Job]) -> Result<Outcome, String> {
        let engine = Engine::start(Arc::new(|| ())).unwrap();
        let mut last = Outcome::None;
        for job in jobs {
            let id = engine.run(job.clone()).unwrap();
            last = loop {
                match engine.events().recv().unwrap() {
                    Event::Job { id: of, state: JobState::Done(outcome) } if of == id => break outcome,
                    Event::Job { id: of, state: JobState::Failed(cause) } if of == id => return Err(cause),
                    _ => {}
                }
            };
        }
        Ok(last)
    }

    fn try_add(&self, paths: &[&str], change: impl FnOnce(&mut AddImages)) -> Result<Added, String> {
        let paths = paths.iter().map(|path| self.path(path)).collect();
        let mut request = AddImages { paths, crops: 1, ..AddImages::default() };
        change(&mut request);
        match self.run(&[Job::Open { dir: self.path("ws"), or_look: false }, Job::Add(request)])? {
            Outcome::Added(added) => Ok(*added),
            other => panic!("{other:?}"),
        }
    }

    fn add(&self, paths: &[&str], change: impl FnOnce(&mut AddImages)) -> Added {
        self.try_add(paths, change).unwrap()
    }

    fn rows(&self) -> Vec<ImageRow> {
        Workspace::open_read_only(self.path("ws")).unwrap().ledger().images().unwrap()
    }

    fn lr(&self, row: &ImageRow) -> Image {
        decode::read(row.lr_path.under(&self.path("ws"))).unwrap()
    }

    fn hr(&self, row: &ImageRow) -> Image {
        decode::read(row.hr_path.as_ref().unwrap().under(&self.path("ws"))).unwrap()
    }

    /// Every image has its given LR, and the HR that this is of.
    fn assert_pairs(&self, count: usize) {
        let rows = self.rows();
        assert_eq!(rows.len(), count, "{rows:?}");
        for row in &rows {
            assert!(row.degradation.is_none(), "{}: its LR was made", row.source);
            let error = difference(&shrink_x4(&self.hr(row)).unwrap(), &self.lr(row));
            assert!(error < 0.02, "{}: {error}", row.source);
        }
    }
}

/// A picture of its own for each seed: waves in all directions.
fn picture(seed: u64, width: usize, height: usize) -> Image {
    let random = Random::new(seed, 0);
    let values = random.normal_image(3, 12, 4);
    let waves: Vec<[f32; 4]> = values[..48].chunks_exact(4).map(|w| [w[0], w[1], w[2], w[3]]).collect();
    let value = |c: usize, x: usize, y: usize| {
        let wave =
            |w: &[f32; 4]| w[3] * (0.12 * (w[0] * x as f32 + w[1] * y as f32) + 3.0 * w[2] + c as f32 * 0.3).sin();
        (0.5 + 0.06 * waves.iter().map(wave).sum::<f32>()).clamp(0.0, 1.0)
    };
    let data = (0..3).flat_map(|c| (0..width * height).map(move |i| (c, i % width, i / width)));
    Image::new(width, height, data.map(|(c, x, y)| value(c, x, y)).collect()).unwrap()
}

/// Its LR, not quite as bicubic makes it: half a pixel level brighter and with less contrast.
fn lr_of(hr: &Image) -> Image {
    let lr = shrink_x4(&crop::trim(hr, 4).unwrap()).unwrap();
    let (width, height) = (lr.width(), lr.height());
    Image::new(width, height, lr.data().iter().map(|v| 0.01 + 0.98 * v).collect()).unwrap()
}

fn difference(a: &Image, b: &Image) -> f32 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    a.data().iter().zip(b.data()).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.data().len() as f32
}

#[test]
fn the_same_name_in_two_folders_is_no_reason_to_join() {
    let bench = Bench::new();
    for (seed, camera) in [(1, "canon"), (2, "nikon")] {
        let hr = picture(seed, 96, 80);
        bench.write(&format!("{camera}/hr/0001.png"), &hr);
        bench.write(&format!("{camera}/lr/0001.png"), &lr_of(&hr));
    }
    let lr = |request: &mut AddImages| request.role = Some(Role::Lr);
    bench.add(&["canon/lr", "nikon/lr"], lr);
    let added = bench.add(&["nikon/hr", "canon/hr"], |_| {});
    assert_eq!((added.images, added.pairs, added.made), (0, 2, 0), "{added:?}");
    bench.assert_pairs(2);

    bench.again();
    bench.add(&["nikon/hr", "canon/hr"], |_| {});
    let added = bench.add(&["canon/lr", "nikon/lr"], lr);
    assert_eq!((added.images, added.pairs, added.replaced.len()), (2, 2, 2), "{added:?}");
    bench.assert_pairs(2);

    // The HR of the other camera alone is not joined, and both are named.
    bench.again();
    bench.add(&["canon/lr"], lr);
    let added = bench.add(&["nikon/hr"], |_| {});
    assert_eq!((added.images, added.pairs, added.made), (1, 0, 1), "{added:?}");
    assert!(added.hr_alone[0].contains("nikon") && added.hr_alone[0].contains("needed"), "{added:?}");
    assert!(added.lr_alone[0].contains("canon"), "{added:?}");
}

#[test]
fn the_forms_of_the_field_are_joined_in_any_order_whole_and_in_crops() {
    let bench = Bench::new();
    // Not a multiple of 4: trimmed as HR alone is.
    for (seed, lr, hr) in
        [(1, "LR_bicubic/X4/0801x4.png", "HR/0801.png"), (2, "LR_bicubic/X4/a_LR4.png", "HR/a_HR.png")]
    {
        let picture = picture(seed, 161, 147);
        bench.write(&format!("set/{hr}"), &picture);
        bench.write(&format!("set/{lr}"), &lr_of(&picture));
    }
    let (lr, hr) = ("set/LR_bicubic/X4", "set/HR");
    for crop_px in [0, 64] {
        let crops = |request: &mut AddImages| (request.crop_px, request.crops) = (crop_px, 2);
        let images = if crop_px == 0 { 2 } else { 4 };
        let orders = [vec![vec![lr], vec![hr]], vec![vec![hr], vec![lr]], vec![vec![hr, lr]], vec![vec!["set"]]];
        for calls in &orders[..if crop_px == 0 { 4 } else { 2 }] {
            bench.again();
            let mut pairs = 0;
            for call in calls {
                let added = bench.add(call, |request| {
                    crops(request);
                    request.recursive = true;
                });
                assert_eq!(added.failed.causes, Vec::<String>::new(), "{calls:?}");
                pairs += added.pairs;
            }
            assert_eq!(pairs, images, "{calls:?}, {crop_px} px");
            bench.assert_pairs(images);
            // Once more adds nothing. (Where HR came first it was cut by its own content, both at once by that of LR.)
            if crop_px == 0 || calls[0][0] != hr || calls.len() == 1 {
                let again = bench.add(&[lr, hr], crops);
                assert_eq!((again.images, again.pairs, again.made), (0, 0, 0), "{again:?}");
                bench.assert_pairs(images);
            }
        }
    }
}

#[test]
fn what_is_equally_good_is_refused_by_name_and_copies_are_not() {
    let bench = Bench::new();
    let hr = picture(1, 80, 80);
    bench.write("x/0001.png", &lr_of(&hr));
    bench.write("a/0001.png", &hr);
    bench.write("b/0001.png", &hr);
    let added = bench.add(&["x"], |request| request.role = Some(Role::Lr));
    assert_eq!(added.images, 1);
    // Copies: any of them is right, the other is here already.
    let added = bench.add(&["a", "b"], |_| {});
    assert_eq!((added.images, added.pairs, added.known.len()), (0, 1, 1), "{added:?}");

    bench.again();
    let brighter = Image::new(80, 80, hr.data().iter().map(|v| 0.9 * v).collect()).unwrap();
    bench.write("b/0001.png", &brighter);
    bench.add(&["x"], |request| request.role = Some(Role::Lr));
    let added = bench.add(&["a", "b"], |_| {});
    assert_eq!((added.images, added.pairs, added.failed.causes.len()), (0, 0, 2), "{added:?}");
    assert!(added.failed.causes.iter().all(|cause| cause.contains("--pairs")), "{added:?}");
    // A list says which.
    fs::write(bench.path("pairs.csv"), "lr,hr\nx/0001.png,b/0001.png\n").unwrap();
    let added = bench.add(&[], |request| request.pairs = Some(bench.path("pairs.csv")));
    assert_eq!((added.images, added.pairs), (0, 1), "{added:?}");
    assert!(difference(&bench.hr(&bench.rows()[0]), &brighter) < 0.01);
}

#[test]
fn a_list_of_pairs_is_checked_unless_it_is_trusted() {
    let bench = Bench::new();
    let (one, other) = (picture(1, 80, 80), picture(2, 80, 80));
    bench.write("in/one.png", &lr_of(&one));
    bench.write("in/two.png", &lr_of(&picture(3, 80, 80)));
    bench.write("out/1.png", &one);
    bench.write("out/2.png", &other);
    bench.write("out/small.png", &picture(1, 60, 80));
    let lines = [("one", "1"), ("two", "2"), ("one", "small"), ("gone", "1")];
    let line = |(lr, hr): &(&str, &str)| format!("{{\"lr\": \"in/{lr}.png\", \"hr\": \"out/{hr}.png\"}}\n");
    fs::write(bench.path("pairs.jsonl"), lines.iter().map(line).collect::<String>()).unwrap();
    let list = |request: &mut AddImages| request.pairs = Some(bench.path("pairs.jsonl"));
    let added = bench.add(&[], list);
    assert_eq!((added.images, added.pairs, added.failed.causes.len()), (1, 1, 3), "{added:?}");
    for (cause, words) in
        added.failed.causes.iter().zip([["two.png", "--trust-pairs"], ["small.png", "4 times"], ["gone.png", ""]])
    {
        assert!(words.iter().all(|word| cause.contains(word)), "{cause}");
    }
    let added = bench.add(&[], |request| {
        list(request);
        request.trust_pairs = true;
    });
    assert_eq!((added.images, added.pairs, added.trusted.len(), added.failed.causes.len()), (1, 1, 1, 2), "{added:?}");
}

#[test]
fn held_out_on_either_side_holds_for_the_pair_and_an_unused_degradation_is_said() {
    let bench = Bench::new();
    let hr = picture(1, 80, 80);
    bench.write("hr/1.png", &hr);
    bench.write("lr/1.png", &lr_of(&hr));
    for order in [["lr", "hr"], ["hr", "lr"]] {
        for held_out in [[true, false], [false, true]] {
            bench.again();
            for (folder, held_out) in order.into_iter().zip(held_out) {
                let added = bench.add(&[folder], |request| {
                    request.split = if held_out { SplitChoice::ByRule } else { SplitChoice::default() };
                    request.degradation = Some("light_x4".into());
                });
                if folder == order[1] {
                    assert!(added.notes.iter().any(|note| note.contains("light_x4 was not used")), "{added:?}");
                }
            }
            bench.assert_pairs(1);
            assert!(bench.rows()[0].is_held_out(), "{order:?} {held_out:?}");
        }
    }
}

#[test]
fn a_given_lr_stands_beside_one_that_was_sampled_of() {
    let bench = Bench::new();
    let hr = picture(1, 80, 80);
    bench.write("hr/1.png", &hr);
    bench.write("lr/1.png", &lr_of(&hr));
    bench.add(&["hr"], |_| {});
    {
        let ws = Workspace::open(bench.path("ws")).unwrap();
        let reference = NewReference { backbone: "mini".into(), weights_hash: "weights".into() };
        let checkpoint = ws.ledger().ensure_reference(&reference).unwrap();
        let set = CandidateSet { checkpoint, sampler: SamplerKey::new("euler/1").unwrap() };
        let image = ws.ledger().images().unwrap()[0].id;
        ws.save_candidates(&[(NewCandidate { set, image, seed: 0, seconds: 0.1 }, b"png")]).unwrap();
    }
    let added = bench.add(&["lr"], |_| {});
    assert_eq!((added.images, added.pairs, added.beside.len(), added.replaced.len()), (1, 1, 1, 0), "{added:?}");
    let rows = bench.rows();
    assert_eq!(rows.len(), 2);
    assert!(rows[0].degradation.is_some() && rows[1].degradation.is_none());
}

#[test]
fn an_image_keeps_the_hr_it_has() {
    let bench = Bench::new();
    let hr = picture(1, 80, 80);
    bench.write("lr/1.png", &lr_of(&hr));
    bench.write("hr/1.png", &hr);
    bench.write("other/1.png", &Image::new(80, 80, hr.data().iter().map(|v| 0.9 * v).collect()).unwrap());
    bench.add(&["lr", "hr"], |_| {});
    let added = bench.add(&["other"], |_| {});
    assert_eq!((added.images, added.failed.causes.len()), (0, 1), "{added:?}");
    assert!(added.failed.causes[0].contains("has another HR"), "{added:?}");
    bench.assert_pairs(1);
}

#[test]
fn folders_are_accounted_for_and_duplicates_are_not_added() {
    let bench = Bench::new();
    bench.write("in/a.png", &picture(1, 64, 64));
    bench.write("in/copy.png", &picture(1, 64, 64));
    bench.write("in/sub/c.png", &picture(2, 64, 64));
    fs::write(bench.path("in/d.avif"), b"").unwrap();
    fs::write(bench.path("in/broken.png"), b"no pixels").unwrap();
    let added = bench.add(&["in"], |_| {});
    assert_eq!((added.images, added.made, added.failed.causes.len()), (1, 1, 1), "{added:?}");
    assert!(added.known[0].contains("copy.png"), "{added:?}");
    let kinds: Vec<&PassedOver> = added.passed_over.iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [&PassedOver::Unreadable("avif".into()), &PassedOver::Folder]);
    let added = bench.add(&["in"], |request| request.recursive = true);
    assert_eq!((added.images, added.known.len()), (1, 2), "{added:?}");
    fs::create_dir(bench.path("empty")).unwrap();
    fs::create_dir_all(bench.path("deep/er")).unwrap();
    assert!(bench.try_add(&["empty"], |_| {}).unwrap_err().contains("no image files there"));
    assert!(bench.try_add(&["deep"], |_| {}).unwrap_err().contains("sub-folders"));
}

#[test]
fn a_damaged_partner_is_named_and_nothing_of_the_pair_is_added() {
    let bench = Bench::new();
    let hr = picture(1, 80, 80);
    bench.write("lr/1.png", &lr_of(&hr));
    bench.write("hr/1.png", &hr);
    let whole = fs::read(bench.path("hr/1.png")).unwrap();
    fs::write(bench.path("hr/1.png"), &whole[..whole.len() / 2]).unwrap();
    let added = bench.add(&["lr", "hr"], |_| {});
    assert_eq!((added.images, added.pairs, added.failed.causes.len()), (1, 0, 1), "{added:?}");
    assert!(added.failed.causes[0].contains("hr/1.png") || added.failed.causes[0].contains("hr\\1.png"), "{added:?}");
    assert_eq!(added.lr_alone.len(), 1, "{added:?}");
    fs::write(bench.path("hr/1.png"), whole).unwrap();
    assert_eq!(bench.add(&["hr"], |_| {}).pairs, 1);
    bench.assert_pairs(1);
    assert!(Path::new(&bench.rows()[0].source).ends_with("lr/1.png"));
}

#[test]
fn an_lr_image_whose_candidates_could_not_be_read_is_refused() {
    let bench = Bench::new();
    bench.write("big.png", &Image::new(2504, 2504, vec![0.5; 3 * 2504 * 2504]).unwrap());
    let added = bench.try_add(&["big.png"], |request| request.role = Some(Role::Lr));
    let said = added.map_or_else(|error| error, |added| added.failed.causes.join("\n"));
    assert!(said.contains("big.png") && said.contains("10016×10016 px is 100.3 megapixels"), "{said}");
    assert!(bench.rows().is_empty());
}
