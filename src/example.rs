//! The photographs shipped inside the program, so that the whole loop runs out of the box.
//!
//! Authors and licences are in `assets/photos/CREDITS.md`. The embedded backbone was trained on none of them: where it has
//! seen a photograph, its candidates know details that they guess elsewhere, and pairs of them teach it to guess more.

/// A photograph shipped inside the program.
#[derive(Clone, Copy, Debug)]
pub struct ExamplePhoto {
    pub name: &'static str,
    pub file_name: &'static str,
    /// The JPEG file.
    pub bytes: &'static [u8],
    /// Never trained on, neither by the embedded backbone nor by the example workspace: fabric, fur, architecture, text, a
    /// face, foliage, wood, a seed head. The workspace's rule makes two of these photographs validation, and six test, the
    /// fewest of which a comparison can call anything better.
    pub held_out: bool,
}

macro_rules! photo {
    ($name:literal, $held_out:expr) => {
        ExamplePhoto {
            name: $name,
            file_name: concat!($name, ".jpg"),
            bytes: include_bytes!(concat!("../assets/photos/", $name, ".jpg")),
            held_out: $held_out,
        }
    };
}

static PHOTOS: [ExamplePhoto; 17] = [
    photo!("astronaut", true),
    photo!("brick", false),
    photo!("brushes", false),
    photo!("camera", false),
    photo!("chelsea", true),
    photo!("china", true),
    photo!("coffee", false),
    photo!("congress", true),
    photo!("flower", false),
    photo!("friends", true),
    photo!("grace_hopper", true),
    photo!("grass", true),
    photo!("gravel", false),
    photo!("picos", false),
    photo!("rocket", false),
    photo!("seeding", true),
    photo!("wine", false),
];

/// The shipped photographs.
pub fn photos() -> &'static [ExamplePhoto] {
    &PHOTOS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::decode;

    #[test]
    fn every_photograph_decodes() {
        for photo in photos() {
            let image = decode::decode_bytes(photo.bytes).unwrap();
            let (short, long) = (image.width().min(image.height()), image.width().max(image.height()));
            assert!(short >= 256 && long <= 1200, "{}: {long}×{short}", photo.name);
        }
    }
}
