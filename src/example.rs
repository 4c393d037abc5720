//! The shipped photographs.

/// A photograph shipped inside the program.
#[derive(Clone, Copy, Debug)]
pub struct ExamplePhoto {
    pub name: &'static str,
    pub file_name: &'static str,
    pub bytes: &'static [u8],
    pub held_out: bool,
}

/// The shipped photographs.
pub fn photos() -> &'static [ExamplePhoto] {
    &[]
}
