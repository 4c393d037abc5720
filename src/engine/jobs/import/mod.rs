//! What was made elsewhere: candidates of other models, scores of other programs or of people, verdicts on pairs.

mod candidates;
mod found;
mod lines;
mod pattern;
mod read;
mod scores;
mod verdicts;

pub use candidates::candidates;
pub use found::preview;
pub use scores::scores;
pub use verdicts::verdicts;

use std::collections::HashMap;
use std::path::Path;

use super::Place;
use crate::engine::context::Context;
use crate::engine::protocol::Outcome;
use crate::workspace::ImageRow;
use crate::{Result, input};

/// Records what a file holds: verdicts where its first line names winners, else scores.
pub fn table(context: &mut Context, path: &Path) -> Result<Outcome> {
    let text = input::read_text(path)?;
    match text.lines().next().is_some_and(|line| line.contains("winner_seed")) {
        true => verdicts(context, path),
        false => scores(context, path),
    }
}

/// Images by what a file may call them: their name, their directory, either without its ending, or that without marks of scale
/// and role.
struct ByName {
    exact: HashMap<String, Vec<ImageRow>>,
    marked: HashMap<String, Vec<ImageRow>>,
}

impl ByName {
    fn of(images: Vec<ImageRow>) -> Self {
        let (mut exact, mut marked) =
            (HashMap::<String, Vec<ImageRow>>::new(), HashMap::<String, Vec<ImageRow>>::new());
        for image in images {
            let mut names = vec![image.name.clone(), image.dir.clone(), stem(&image.name)];
            names.sort();
            names.dedup();
            marked.entry(key(&image.name)).or_default().push(image.clone());
            for name in names {
                exact.entry(name).or_default().push(image.clone());
            }
        }
        Self { exact, marked }
    }

    /// The image that goes by a name. Errors, without the name of a file: there is none, or more than one.
    fn find(&self, name: &str) -> std::result::Result<&ImageRow, String> {
        let found =
            self.exact.get(name).or_else(|| self.exact.get(&stem(name))).or_else(|| self.marked.get(&key(name)));
        let found = found.map_or(&[][..], Vec::as_slice);
        match found {
            [one] => Ok(one),
            [] => Err(format!("no image here is called {}", name.escape_debug())),
            several => match several.iter().find(|image| image.dir == name) {
                Some(image) if several.iter().all(|other| other.name != name) => Ok(image),
                _ => {
                    let dirs: Vec<&str> = several.iter().map(|image| image.dir.as_str()).collect();
                    Err(format!("{} images are called {}: {}", dirs.len(), name.escape_debug(), dirs.join(", ")))
                }
            },
        }
    }
}

fn stem(name: &str) -> String {
    Path::new(name).file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

/// A name without what differs between LR, HR and candidates.
fn key(name: &str) -> String {
    Place::of(Path::new(name)).key
}
