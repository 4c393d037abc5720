//! The eight ways in which a picture can be turned and mirrored: what a square is symmetric under.

use super::Image;

/// Number of ways.
pub const WAYS: usize = 8;

/// The picture turned one of [`WAYS`] ways; 0 leaves it as it is. Mirrored left to right in odd ways, upside down where
/// the second bit is set, then transposed (width and height exchanged) where the third is.
pub fn turned(image: &Image, way: usize) -> Image {
    let (width, height) = (image.width(), image.height());
    let is_transposed = way & 4 != 0;
    let (out_width, out_height) = if is_transposed { (height, width) } else { (width, height) };
    let mut data = Vec::with_capacity(3 * width * height);
    for channel in 0..3 {
        let plane = image.plane(channel);
        for y in 0..out_height {
            for x in 0..out_width {
                let (x, y) = if is_transposed { (y, x) } else { (x, y) };
                let x = if way & 1 != 0 { width - 1 - x } else { x };
                let y = if way & 2 != 0 { height - 1 - y } else { y };
                data.push(plane[y * width + x]);
            }
        }
    }
    Image { width: out_width, height: out_height, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_ways_are_eight_pictures_of_the_same_pixels() {
        let image = Image::new(3, 2, (0..18).map(|v| v as f32).collect()).unwrap();
        let all: Vec<Image> = (0..WAYS).map(|way| turned(&image, way)).collect();
        assert_eq!(all[0], image);
        assert_eq!(all[1].plane(0), [2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
        assert_eq!(all[2].plane(0), [3.0, 4.0, 5.0, 0.0, 1.0, 2.0]);
        assert_eq!((all[4].width(), all[4].height()), (2, 3));
        assert_eq!(all[4].plane(0), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b), "way {i} came before");
            let mut values = a.data().to_vec();
            values.sort_by(f32::total_cmp);
            assert_eq!(values, image.data());
        }
    }
}
