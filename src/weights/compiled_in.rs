//! Parts of a few kilobytes that come with the program: nothing is to be got for them.

use super::part::Part;
use super::registry::{DISTS, LPIPS_ALEX, LPIPS_VGG};

/// The published file of a part that is compiled in.
pub fn bytes_of(part: &Part) -> Option<&'static [u8]> {
    match part.id {
        id if id == LPIPS_ALEX.id => Some(include_bytes!("../../assets/iqa/LPIPS_v0.1_alex-df73285e.pth")),
        id if id == LPIPS_VGG.id => Some(include_bytes!("../../assets/iqa/LPIPS_v0.1_vgg-a78928a0.pth")),
        id if id == DISTS.id => Some(include_bytes!("../../assets/iqa/DISTS_weights-f5e65c96.pth")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::hash::hash_bytes;

    #[test]
    fn what_is_compiled_in_is_what_is_published() {
        for part in [&LPIPS_ALEX, &LPIPS_VGG, &DISTS] {
            let hash = hash_bytes(bytes_of(part).unwrap());
            assert!(part.files().iter().all(|file| file.is(&hash)), "{}", part.id);
        }
    }
}
