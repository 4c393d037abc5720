//! What names and places say of a file: whether it is LR or HR, and whose partner it may be. Nothing is joined by them
//! alone; they only choose what is compared ([`super::likeness`]).
//!
//! The field's forms: `0801x4` and `0801`, `X_LR4` and `X_HR`, `lr/`, `LR_bicubic/X4/`, `LQ/` beside `hr/`, `HR/`, `GT/`.

use std::path::{Component, Path, PathBuf};

use crate::engine::protocol::Role;

/// Folders above a file that are looked at.
const FOLDERS: usize = 3;

/// How sure a name is of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// A folder called `LR` or `GT` leaves no doubt.
    Surely(Role),
    /// `input/` may be anything, `_LR` may be a program's initials: it counts where the same key is there in the other role.
    Perhaps(Role),
}

impl Says {
    pub fn role(self) -> Role {
        match self {
            Says::Surely(role) | Says::Perhaps(role) => role,
        }
    }
}

/// A file as its path tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name without what differs between LR and HR; partners have the same.
    pub key: String,
    pub says: Option<Says>,
    /// The folder that holds the folders of LR and HR.
    scene: PathBuf,
    /// What else the folders between are called, without the words for LR, HR, scale and degradation.
    within: String,
}

impl Place {
    /// What a path tells; it need not exist.
    pub fn of(path: &Path) -> Self {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        let parent = path.parent().unwrap_or(Path::new(""));
        let (key, in_name) = key_of(&stem);
        if key.is_empty() {
            // `scene 1/input.png` beside `scene 1/gt.png`: the folder is the name.
            let (key, _) = key_of(&name_of(parent).to_lowercase());
            let scene = parent.parent().unwrap_or(Path::new("")).to_owned();
            return Self { key, says: in_name.map(Says::Perhaps), scene, within: String::new() };
        }
        let folders: Vec<&Path> = parent.ancestors().take(FOLDERS).collect();
        let said = folders.iter().enumerate().find_map(|(at, dir)| Some((at, folder_says(&name_of(dir))?)));
        let in_name = in_name.map(Says::Perhaps);
        match said {
            None => Self { key, says: in_name, scene: parent.to_owned(), within: String::new() },
            Some((at, says)) => {
                let scene = folders[at].parent().unwrap_or(Path::new("")).to_owned();
                let within = folders[..=at].iter().rev().map(|dir| plain(&name_of(dir))).collect::<Vec<_>>();
                let within = within.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join("/");
                // A name that says the contrary of its folder is told apart by the name: `LR and HR/X_HR.png`.
                let says = in_name.filter(|name| name.role() != says.role()).unwrap_or(says);
                Self { key, says: Some(says), scene, within }
            }
        }
    }

    /// How near two places are: 0 in folders beside each other and called alike, 1 beside each other, 2 elsewhere.
    pub fn distance(&self, other: &Self) -> u8 {
        match (self.scene == other.scene, self.within == other.within) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    }
}

fn name_of(dir: &Path) -> String {
    match dir.components().next_back() {
        Some(Component::Normal(name)) => name.to_string_lossy().into_owned(),
        _ => String::new(),
    }
}

const SEPARATORS: [char; 4] = ['_', '-', '.', ' '];

/// A lower-case stem without the marks of role, scale and degradation at its ends, and the role it names.
fn key_of(stem: &str) -> (String, Option<Role>) {
    let mut said = None;
    let mut left = stem.trim_matches(SEPARATORS);
    loop {
        let last = left.rsplit(SEPARATORS).next().unwrap_or(left);
        let first = left.split(SEPARATORS).next().unwrap_or(left);
        let shorter = if is_mark(last) {
            said = said.or(name_word(last));
            &left[..left.len() - last.len()]
        } else if name_word(first).is_some() {
            said = said.or(name_word(first));
            &left[first.len()..]
        } else if let Some(shorter) = without_scale(left) {
            shorter
        } else {
            return (left.to_owned(), said);
        };
        let shorter = shorter.trim_matches(SEPARATORS);
        if shorter.is_empty() && said.is_none() {
            return (left.to_owned(), None);
        }
        left = shorter;
        if left.is_empty() {
            return (String::new(), said);
        }
    }
}

/// `0801x4`, and `0801x4m`, `0801x4d`, `0801x4w2` of the challenges, without the scale.
fn without_scale(name: &str) -> Option<&str> {
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit());
    // Either the digit of `x4` or that of `w2` is gone now.
    let bare = if bare.ends_with('w') && bare.len() < name.len() { &bare[..bare.len() - 1] } else { name };
    let bare = bare.strip_suffix(['m', 'd', 'w']).unwrap_or(bare);
    let rest = bare.strip_suffix(|c: char| ('1'..='8').contains(&c))?.strip_suffix('x')?;
    (!rest.is_empty()).then_some(rest)
}

/// The role a word stands for: `lr`, `lr4`, `lrx4`, `lrbicx4`, `lq`; `hr`, `gt`, `gtmod12`, `hq`.
fn role_word(word: &str) -> Option<Role> {
    const KINDS: [&str; 8] = ["", "s", "bi", "bic", "bicubic", "bd", "dn", "mod"];
    let starts_with = |starts: &[&str]| {
        let rest = starts.iter().find_map(|start| word.strip_prefix(start))?;
        let kind = rest.trim_end_matches(|c: char| c.is_ascii_digit());
        let kind = if kind.len() < rest.len() { kind.strip_suffix('x').unwrap_or(kind) } else { kind };
        KINDS.contains(&kind).then_some(())
    };
    match word {
        "lowres" => Some(Role::Lr),
        "highres" | "groundtruth" => Some(Role::Hr),
        _ if starts_with(&["lr", "lq"]).is_some() => Some(Role::Lr),
        _ => starts_with(&["hr", "gt", "hq"]).map(|()| Role::Hr),
    }
}

/// [`role_word`], and words that may mean something else.
fn name_word(word: &str) -> Option<Role> {
    match word {
        "input" | "inputs" | "degraded" => Some(Role::Lr),
        "target" | "targets" | "clean" | "reference" => Some(Role::Hr),
        _ => role_word(word),
    }
}

/// A word that may stand at the end of a name and tells LR from HR, or one degradation from another.
fn is_mark(word: &str) -> bool {
    const DEGRADATIONS: [&str; 6] = ["bicubic", "bic", "unknown", "mild", "wild", "difficult"];
    is_scale(word) || name_word(word).is_some() || DEGRADATIONS.contains(&word)
}

/// `x4`, `4x`.
fn is_scale(word: &str) -> bool {
    let digits = word.strip_prefix('x').or_else(|| word.strip_suffix('x'));
    digits.is_some_and(|d| !d.is_empty() && d.len() <= 2 && d.bytes().all(|b| b.is_ascii_digit()))
}

/// What a folder's name says of the files in it.
fn folder_says(name: &str) -> Option<Says> {
    let name = name.to_lowercase();
    let only = |role_of: fn(&str) -> Option<Role>| {
        let of = |role| name.split(SEPARATORS).any(|word| role_of(word) == Some(role));
        match (of(Role::Lr), of(Role::Hr)) {
            (true, false) => Some(Role::Lr),
            (false, true) => Some(Role::Hr),
            _ => None,
        }
    };
    only(role_word).map(Says::Surely).or_else(|| only(name_word).map(Says::Perhaps))
}

/// A folder's name without the words that tell LR from HR.
fn plain(name: &str) -> String {
    let name = name.to_lowercase();
    let words: Vec<&str> = name.split(SEPARATORS).filter(|word| !is_mark(word) && !word.is_empty()).collect();
    // RealSR's folders are called by the scale alone.
    if matches!(words.as_slice(), ["2" | "3" | "4"]) { String::new() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(path: &str) -> Option<Role> {
        Place::of(Path::new(path)).says.map(Says::role)
    }

    /// LR, HR, and how near they are to each other.
    const PARTNERS: [(&str, &str, u8); 18] = [
        ("d/lr/0001.png", "d/hr/0001.png", 0),
        ("DIV2K/DIV2K_train_LR_bicubic/X4/0801x4.png", "DIV2K/DIV2K_train_HR/0801.png", 0),
        ("DIV2K/DIV2K_valid_LR_wild/0801x4w2.png", "DIV2K/DIV2K_valid_HR/0801.png", 0),
        ("DIV2K/DIV2K_valid_LR_mild/0801x4m.png", "DIV2K/DIV2K_valid_HR/0801.png", 0),
        ("Flickr2K/Flickr2K_LR_bicubic/X4/000001x4.png", "Flickr2K/Flickr2K_HR/000001.png", 0),
        ("RealSR/Canon/Test/4/Canon_001_LR4.png", "RealSR/Canon/Test/4/Canon_001_HR.png", 0),
        ("DRealSR/Train_x4/train_LR/panasonic_8_x1.png", "DRealSR/Train_x4/train_HR/panasonic_8_x4.png", 0),
        ("StableSR/lq/0001.png", "StableSR/gt/0001.png", 0),
        ("Set5/LRbicx4/baby.png", "Set5/GTmod12/baby.png", 0),
        ("Set14/image_SRF_4/img_001_SRF_4_LR.png", "Set14/image_SRF_4/img_001_SRF_4_HR.png", 0),
        ("a/LR_x4/train/7.png", "a/HR/train/7.jpg", 0),
        ("a/train/LRx4/7.png", "a/train/HQ/7.jpg", 0),
        ("a/LR/train/7.png", "a/HR/val/7.png", 1),
        ("a/train_LR/7.png", "a/val_HR/7.png", 1),
        ("canon/lr/0001.png", "nikon/hr/0001.png", 2),
        ("scenes/scene 1/input.png", "scenes/scene 1/gt.png", 0),
        ("a/lr_0001.png", "a/hr_0001.png", 0),
        ("a/lowres/7.png", "a/highres/7.png", 0),
    ];

    #[test]
    fn the_fields_forms_are_partners_and_say_what_they_are() {
        for (lr, hr, distance) in PARTNERS {
            let [a, b] = [lr, hr].map(|path| Place::of(Path::new(path)));
            assert_eq!(a.key, b.key, "{lr}");
            assert!(!a.key.is_empty(), "{lr}");
            assert_eq!(a.distance(&b), distance, "{lr}: {a:?} {b:?}");
            assert_eq!((role(lr), role(hr)), (Some(Role::Lr), Some(Role::Hr)), "{lr}");
        }
    }

    #[test]
    fn other_names_say_nothing_and_stay_apart() {
        for path in
            ["photos/cat.png", "x4.png", "a/2.png", "home/holiday 2024/IMG_0001.jpg", "alr/chr.png", "grhr/lrx.png"]
        {
            assert_eq!(role(path), None, "{path}");
        }
        for (one, other) in [("0801", "0802"), ("0801x4", "0802"), ("baby", "bird"), ("a_1", "a_2"), ("x4", "x2")] {
            let key = |stem: &str| Place::of(Path::new(stem)).key;
            assert_ne!(key(one), key(other), "{one}");
            assert!(!key(one).is_empty());
        }
    }

    #[test]
    fn what_may_mean_anything_is_no_certainty() {
        let says = |path: &str| Place::of(Path::new(path)).says;
        assert_eq!(says("input/1.png"), Some(Says::Perhaps(Role::Lr)));
        assert_eq!(says("IMG_1_LR.jpg"), Some(Says::Perhaps(Role::Lr)));
        assert_eq!(says("LR/1.png"), Some(Says::Surely(Role::Lr)));
        // A folder of both says nothing, the names do.
        assert_eq!(says("LR_HR/1.png"), None);
        assert_eq!(says("LR/1_HR.png"), Some(Says::Perhaps(Role::Hr)));
        // Only the folders near a file count.
        assert_eq!(says("lr/a/b/c/1.png"), None);
    }
}
