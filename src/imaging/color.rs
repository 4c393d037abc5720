//! Brightness of colours.

use super::Image;

/// Luma of every pixel, row by row: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601, full range), in [0, 1] for an image in
/// [0, 1].
pub fn luma(image: &Image) -> Vec<f32> {
    let [red, green, blue] = [0, 1, 2].map(|c| image.plane(c));
    red.iter().zip(green).zip(blue).map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luma_of_the_primaries() {
        let image = Image::new(4, 1, vec![1., 0., 0., 1., 0., 1., 0., 1., 0., 0., 1., 1.]).unwrap();
        let values = luma(&image);
        for (value, expected) in values.iter().zip([0.299, 0.587, 0.114, 1.0]) {
            assert!((value - expected).abs() < 1e-6);
        }
    }
}
