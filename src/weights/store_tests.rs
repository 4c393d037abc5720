//! Finding, trusting and adding weights, with the one file of the fixtures that was published.

use std::fs;
use std::path::{Path, PathBuf};

use super::add::{self, How};
use super::part::Size;
use super::places::Place;
use super::registry::{DISTS, FLUX_TRANSFORMER, LPIPS_ALEX, SD2_UNET, by_id};
use super::store::{Missing, State, Store};
use super::trust::is_unverified;
use crate::fs::hash::hash_bytes;

const LPIPS_FILE: &str = "LPIPS_v0.1_alex-df73285e.pth";

fn published() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights").join(LPIPS_FILE)
}

fn store(dir: &Path) -> Store {
    Store::of_folders(&[dir.to_owned()], false)
}

fn missing(state: State) -> Missing {
    match state {
        State::Missing(missing) => missing,
        other => panic!("{other:?}"),
    }
}

fn one_line(error: impl ToString) -> String {
    let error = error.to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// A safetensors file with one tensor of this value.
fn write_safetensors(path: &Path, value: f32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let data = value.to_le_bytes();
    let view = ::safetensors::tensor::TensorView::new(::safetensors::Dtype::F32, vec![1], &data).unwrap();
    fs::write(path, ::safetensors::serialize([("w", view)], None).unwrap()).unwrap();
}

#[test]
fn what_is_missing_is_said_with_the_places_and_the_way_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let missing = missing(store(dir.path()).state(&LPIPS_ALEX));
    let text = one_line(&missing);
    let place = dir.path().display().to_string();
    for part in [LPIPS_FILE, "lpips-alex", "6.0 kB", &place, "huggingface.co", "weights add", "--weights DIR"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let error = one_line(store(dir.path()).open(&LPIPS_ALEX).unwrap_err());
    assert_eq!(error, text);
    let shards = self::missing(store(dir.path()).state(&FLUX_TRANSFORMER));
    assert_eq!((shards.files.len(), shards.size), (4, Size::About(23_803)));
}

#[test]
fn the_published_file_is_verified_and_another_in_its_place_is_not_used_unless_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(LPIPS_FILE);
    fs::copy(published(), &path).unwrap();
    // As if it had been there for a while: a file just written is read again, as it may be written on.
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
    let here = store(dir.path());
    assert_eq!(here.unread(&[&LPIPS_ALEX]), [(path.clone(), fs::metadata(&path).unwrap().len())]);
    let source = here.open(&LPIPS_ALEX).unwrap();
    assert_eq!(here.unread(&[&LPIPS_ALEX]), [], "read for its hash, and remembered");
    assert!(source.trust().unwrap().is_verified());
    assert_eq!(source.trust().unwrap().mark(), "df73285e35b22355");
    let weights: Vec<f32> = source.floats("lin0.model.1.weight", &[1, 64, 1, 1]).unwrap();
    assert!(weights.iter().all(|weight| *weight >= 0.0));

    // The same size, one value changed.
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (sha256, strict) = (hash_bytes(&bytes), store(dir.path()));
    let error = one_line(strict.open(&LPIPS_ALEX).unwrap_err());
    for part in [LPIPS_FILE, &sha256, LPIPS_ALEX.files()[0].sha256, "--unverified"] {
        assert!(error.contains(part), "{error}");
    }
    for permitting in [Store::of_folders(&[dir.path().into()], true), strict.accepting(&[sha256[..16].to_owned()])] {
        let source = permitting.open(&LPIPS_ALEX).unwrap();
        let mark = source.trust().unwrap().mark();
        assert!(is_unverified(&mark) && mark.ends_with(&sha256[..16]), "{mark}");
        assert!(permitting.state(&LPIPS_ALEX).is_here());
    }
    assert!(strict.accepting(&[sha256[..8].to_owned()]).open(&LPIPS_ALEX).is_err(), "too few digits");
    // Another size is seen without reading it.
    fs::write(&path, b"short").unwrap();
    assert!(matches!(strict.state(&LPIPS_ALEX), State::Doubtful(..)));
}

#[test]
fn a_part_without_a_published_hash_is_unverified() {
    let dir = tempfile::tempdir().unwrap();
    write_safetensors(&dir.path().join("stable-diffusion-2-base/unet/diffusion_pytorch_model.safetensors"), 1.0);
    let strict = store(dir.path());
    assert!(one_line(strict.open(&SD2_UNET).unwrap_err()).contains("no SHA-256 of it is published"));
    assert!(matches!(strict.state(&SD2_UNET), State::Doubtful(..)));
    let source = Store::of_folders(&[dir.path().into()], true).open(&SD2_UNET).unwrap();
    assert!(!source.trust().unwrap().is_verified());
}

#[test]
fn folders_and_caches_are_looked_through_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let file = "unet/diffusion_pytorch_model.safetensors";
    let (first, second) = (dir.path().join("first"), dir.path().join("second/stable-diffusion-2-base"));
    write_safetensors(&second.join(file), 2.0);
    let value = |store: &Store| store.open(&SD2_UNET).unwrap().floats::<f32>("w", &[1]).unwrap()[0];
    // A folder that is the model's own, or one that holds it.
    assert_eq!(value(&Store::of_folders(&[first.clone(), second.clone()], true)), 2.0);
    assert_eq!(value(&Store::of_folders(&[first.clone(), dir.path().join("second")], true)), 2.0);
    write_safetensors(&first.join("stable-diffusion-2-base").join(file), 1.0);
    assert_eq!(value(&Store::of_folders(&[first.clone(), second], true)), 1.0);
    // Half precision where there is no other.
    let half = first.join("stable-diffusion-2-base/unet/diffusion_pytorch_model.fp16.safetensors");
    fs::rename(first.join("stable-diffusion-2-base").join(file), half).unwrap();
    assert_eq!(value(&Store::of_folders(&[first], true)), 1.0);
    // A workspace brings its own.
    let workspace = dir.path().join("ws");
    write_safetensors(&workspace.join("weights/stable-diffusion-2-base").join(file), 3.0);
    assert_eq!(value(&Store::of_folders(&[], true).with_workspace(&workspace)), 3.0);
}

#[cfg(unix)]
#[test]
fn a_cache_of_the_hub_is_read_as_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let repository = dir.path().join("models--sd2-community--stable-diffusion-2-base");
    for (revision, value) in [("aaaa", 1.0), ("bbbb", 2.0)] {
        let snapshot = repository.join("snapshots").join(revision).join("unet");
        let blob = repository.join("blobs").join(revision);
        write_safetensors(&blob, value);
        fs::create_dir_all(&snapshot).unwrap();
        let link = snapshot.join("diffusion_pytorch_model.safetensors");
        std::os::unix::fs::symlink(Path::new("../../../blobs").join(revision), link).unwrap();
    }
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), "aaaa").unwrap();
    let store = Store::of_places(vec![Place::hub(dir.path())], true);
    assert_eq!(store.open(&SD2_UNET).unwrap().floats::<f32>("w", &[1]).unwrap(), [1.0]);
    fs::remove_dir_all(repository.join("snapshots/aaaa")).unwrap();
    assert_eq!(store.open(&SD2_UNET).unwrap().floats::<f32>("w", &[1]).unwrap(), [2.0]);
}

#[cfg(unix)]
#[test]
fn what_lies_in_the_place_of_a_file_is_named() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(LPIPS_FILE);
    let trouble = |said: &str| {
        let text = one_line(missing(store(dir.path()).state(&LPIPS_ALEX)));
        assert!(text.contains(said) && text.contains(LPIPS_FILE), "{said}: {text}");
    };
    fs::create_dir(&path).unwrap();
    trouble("is a directory, not a file");
    fs::remove_dir(&path).unwrap();
    fs::write(&path, b"").unwrap();
    trouble("is empty");
    fs::remove_file(&path).unwrap();
    symlink(&path, &path).unwrap();
    trouble("cannot be read");
    fs::remove_file(&path).unwrap();
    symlink(dir.path().join("nowhere"), &path).unwrap();
    trouble("is a link to a file that is not there");
    fs::remove_file(&path).unwrap();
    let file_for_folder = store(&published());
    one_line(missing(file_for_folder.state(&LPIPS_ALEX)));
}

#[test]
fn a_file_is_added_once_it_is_known_to_be_the_published_one() {
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("renamed.bin"));
    let add =
        |file: &Path, part, how, unverified| add::add_to(&data, &Store::of_folders(&[], unverified), file, part, how);
    // By its hash, whatever its name.
    fs::copy(published(), &other).unwrap();
    let added = add(&other, None, How::Copy, false).unwrap();
    assert_eq!((added.part.id, added.at.clone()), ("lpips-alex", data.join(LPIPS_FILE)));
    assert!(store(&data).open(&LPIPS_ALEX).unwrap().trust().unwrap().is_verified());
    // Once more, also the added file itself.
    add(&other, None, How::Copy, false).unwrap();
    add(&added.at, None, How::Copy, false).unwrap();
    assert_eq!(fs::read(&added.at).unwrap(), fs::read(published()).unwrap());

    fs::write(&other, b"something else").unwrap();
    assert!(one_line(add(&other, None, How::Copy, false).unwrap_err()).contains("--as ID"));
    let error = one_line(add(&other, Some(&DISTS), How::Copy, false).unwrap_err());
    assert!(error.contains("is not the published DISTS_weights") && error.contains("--unverified"), "{error}");
    assert!(!add(&other, Some(&DISTS), How::Copy, true).unwrap().trust.is_verified());
    // By its path, of a form in a folder.
    let unet = dir.path().join("stable-diffusion-2-base/unet/diffusion_pytorch_model.safetensors");
    write_safetensors(&unet, 1.0);
    assert!(one_line(add(&unet, None, How::Copy, false).unwrap_err()).contains("no SHA-256"));
    let added = add(&unet, None, How::Copy, true).unwrap();
    assert_eq!(added.at, data.join("stable-diffusion-2-base/unet/diffusion_pytorch_model.safetensors"));
    assert!(one_line(add(dir.path(), None, How::Copy, false).unwrap_err()).contains("is a directory"));
}

#[cfg(unix)]
#[test]
fn links_and_names_that_are_no_text_are_taken_as_they_are() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let (data, odd) = (dir.path().join("data"), dir.path().join(std::ffi::OsStr::from_bytes(b"odd\xff\n.pth")));
    fs::copy(published(), &odd).unwrap();
    let added = add::add_to(&data, &Store::of_folders(&[], false), &odd, None, How::Link).unwrap();
    assert_eq!(fs::read_link(&added.at).unwrap(), fs::canonicalize(&odd).unwrap());
    assert!(store(&data).open(by_id("lpips-alex").unwrap()).is_ok());
    fs::write(&odd, b"").unwrap();
    one_line(missing(store(&data).state(&LPIPS_ALEX)));
}

#[test]
fn a_part_in_memory_is_looked_for_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(published(), dir.path().join(LPIPS_FILE)).unwrap();
    let source = super::Source::of_vec(Path::new("in memory"), fs::read(published()).unwrap()).unwrap();
    let store = store(dir.path()).holding(&LPIPS_ALEX, source.unverified(hash_bytes(b"in memory")));
    assert!(store.state(&LPIPS_ALEX).is_here() && is_unverified(&store.mark(&[&LPIPS_ALEX])));
    assert_eq!(store.open(&LPIPS_ALEX).unwrap().origin(), Path::new("in memory"));
    assert_eq!(store.compiled_in(&LPIPS_ALEX).unwrap().origin(), Path::new("in memory"));
    missing(store.state(&DISTS));
}
