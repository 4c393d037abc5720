//! What the components of a pixel are, in a file.

/// What the components of a pixel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Color {
    Gray,
    Rgb,
    /// Inks: the largest value is full ink.
    Cmyk,
}

/// Whether a pixel ends with its opacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpha {
    None,
    /// Colours are those of the pixel where it is opaque.
    Straight,
    /// Colours are multiplied by the opacity already.
    Multiplied,
}

/// The components of a pixel, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub color: Color,
    pub alpha: Alpha,
}

impl Layout {
    /// Components of a pixel.
    pub fn channels(self) -> usize {
        self.color.channels() + usize::from(self.has_alpha())
    }

    pub fn has_alpha(self) -> bool {
        self.alpha != Alpha::None
    }

    pub fn is_color(self) -> bool {
        self.color != Color::Gray
    }
}

impl Color {
    pub fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
            Self::Cmyk => 4,
        }
    }
}
