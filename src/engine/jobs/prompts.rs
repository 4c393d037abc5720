//! Prompts in files: a text beside a picture, and lists of them.

use std::collections::HashMap;
use std::path::Path;

use crate::workspace::prompt_of;
use crate::{Error, Result, input};

/// Longest text beside a picture that is taken for its prompt.
const MAX_BYTES: u64 = 1 << 16;

/// The prompt in a text file beside a picture (`photo.txt` beside `photo.png`), if there is one.
pub fn beside(picture: &Path) -> Result<Option<String>> {
    let path = picture.with_extension("txt");
    match std::fs::metadata(&path) {
        Ok(file) if file.len() > MAX_BYTES => Err(Error::file(path, "too long for a prompt")),
        Ok(file) if file.is_file() => Ok(Some(prompt_of(&input::read_text(&path)?))),
        _ => Ok(None),
    }
}

/// Prompts of a list, by what it calls the pictures.
#[derive(Debug, Default)]
pub struct Listed(HashMap<String, String>);

impl Listed {
    /// Reads a list: CSV with the columns image,prompt.
    pub fn read(list: &Path) -> Result<Self> {
        let lines = input::table::read(list, ["image", "prompt"])?;
        Ok(Self(lines.into_iter().map(|[image, prompt]| (image, prompt_of(&prompt))).collect()))
    }

    /// The prompt of a picture: by its path, its name with or without ending, or what lies beside it.
    pub fn of(&self, picture: &Path) -> Result<Option<String>> {
        let names = [Some(picture.as_os_str()), picture.file_name(), picture.file_stem()];
        let listed = names.into_iter().flatten().find_map(|name| self.0.get(&*name.to_string_lossy()));
        listed.map_or_else(|| beside(picture), |prompt| Ok(Some(prompt.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_before_what_lies_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("list.csv"), "a.png,\"stone wall,  moss\"\nb,grass\n").unwrap();
        for name in ["b.txt", "c.txt"] {
            std::fs::write(path(name), "beside\nit\n").unwrap();
        }
        let listed = Listed::read(&path("list.csv")).unwrap();
        let of = |name: &str| listed.of(&path(name)).unwrap();
        assert_eq!(of("a.png").as_deref(), Some("stone wall, moss"));
        assert_eq!(of("b.png").as_deref(), Some("grass"));
        assert_eq!(of("c.png").as_deref(), Some("beside it"));
        assert_eq!(of("d.png"), None);
    }
}
