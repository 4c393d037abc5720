//! Pictures that are given by rows, so that a large one need not be in memory whole.

use std::ops::Range;

use super::Image;
use crate::Result;

/// Rows that are worked on at once.
const BAND: usize = 64;

/// A picture that gives its rows in any order, the same ones each time.
pub trait Rows: Send + Sync {
    /// Width in pixels.
    fn width(&self) -> usize;

    /// Height in pixels.
    fn height(&self) -> usize;

    /// The rows of a range within the height, at least one, as an image of their own.
    fn rows(&self, rows: Range<usize>) -> Result<Image>;

    /// All rows.
    fn whole(&self) -> Result<Image> {
        self.rows(0..self.height())
    }
}

impl Rows for Image {
    fn width(&self) -> usize {
        self.width
    }

    fn height(&self) -> usize {
        self.height
    }

    fn rows(&self, rows: Range<usize>) -> Result<Image> {
        let part = |c: usize| &self.plane(c)[rows.start * self.width..rows.end * self.width];
        Image::new(self.width, rows.len(), [part(0), part(1), part(2)].concat())
    }
}

impl<R: Rows + ?Sized> Rows for &R {
    fn width(&self) -> usize {
        (**self).width()
    }

    fn height(&self) -> usize {
        (**self).height()
    }

    fn rows(&self, rows: Range<usize>) -> Result<Image> {
        (**self).rows(rows)
    }
}

/// The rows of a range from the top down, in bands that are small beside a large picture.
pub fn bands(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.step_by(BAND).map(move |top| top..(top + BAND).min(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::fixture::picture;

    #[test]
    fn bands_make_the_picture() {
        let image = picture(5, 150, 0);
        let parts: Vec<Image> = bands(0..150).map(|rows| image.rows(rows).unwrap()).collect();
        assert_eq!(parts.iter().map(Image::height).collect::<Vec<_>>(), [64, 64, 22]);
        for c in 0..3 {
            assert_eq!(parts.iter().flat_map(|part| part.plane(c)).copied().collect::<Vec<_>>(), image.plane(c));
        }
        assert_eq!(image.whole().unwrap(), image);
    }
}
