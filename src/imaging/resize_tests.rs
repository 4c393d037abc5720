//! Resizes against MATLAB's `imresize` (as reimplemented in pyiqa), Pillow, OpenCV and PyTorch.

use super::*;
use crate::imaging::fixture::{image, largest_difference, picture};

fn check(name: &str, found: Result<Image>, border: usize, tolerance: f32) {
    let difference = largest_difference(&found.unwrap(), &image(name), border);
    assert!(difference < tolerance, "{name}: {difference}");
}

#[test]
fn bicubic_is_matlabs() {
    let source = picture(24, 20, 0);
    check("matlab_bicubic_24x20_to_6x5", shrink_x4(&source), 0, 3e-6);
    check("matlab_bicubic_24x20_to_17x9", resize(&source, 17, 9, Filter::Bicubic), 0, 3e-6);
    check("matlab_bicubic_6x5_to_24x20", enlarge_x4(&picture(6, 5, 0)), 0, 3e-6);
    let aliased = resize_aliased(&source, 6, 5, Filter::Bicubic);
    check("matlab_bicubic_24x20_to_6x5_aliased", aliased, 0, 3e-6);
    // Enlarging knows no aliasing.
    let small = picture(6, 5, 0);
    assert_eq!(enlarge_x4(&small).unwrap(), resize_aliased(&small, 24, 20, Filter::Bicubic).unwrap());
}

#[test]
fn inside_the_image_antialiased_kernels_are_pillows() {
    let source = picture(48, 40, 0);
    check("pil_bicubic_48x40_to_12x10", shrink_x4(&source), 2, 3e-6);
    check("pil_bilinear_48x40_to_12x10", resize(&source, 12, 10, Filter::Bilinear), 1, 3e-6);
}

#[test]
fn nearest_area_and_bilinear_are_those_of_the_common_libraries() {
    let source = picture(24, 20, 0);
    check("torch_nearest_24x20_to_10x33", resize(&source, 10, 33, Filter::Nearest), 0, 1e-6);
    check("opencv_area_24x20_to_10x7", resize(&source, 10, 7, Filter::Area), 0, 3e-6);
    let aliased = resize_aliased(&source, 10, 7, Filter::Bilinear);
    check("opencv_bilinear_24x20_to_10x7_aliased", aliased, 0, 3e-6);
    check("opencv_bilinear_6x5_to_23x14", resize(&picture(6, 5, 0), 23, 14, Filter::Bilinear), 0, 3e-6);
}

#[test]
fn a_constant_stays_constant_at_any_size() {
    let source = Image::new(13, 7, vec![0.3; 3 * 13 * 7]).unwrap();
    for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Area] {
        for (width, height) in [(1, 1), (13, 7), (4, 29), (100, 3)] {
            for resized in [resize(&source, width, height, filter), resize_aliased(&source, width, height, filter)] {
                let resized = resized.unwrap();
                assert_eq!((resized.width(), resized.height()), (width, height));
                assert!(resized.data().iter().all(|v| (v - 0.3).abs() < 1e-6), "{filter:?} {width}×{height}");
            }
        }
    }
    let pixel = Image::new(1, 1, vec![0.1, 0.2, 0.3]).unwrap();
    assert_eq!(enlarge_x4(&pixel).unwrap().plane(2).len(), 16);
}

#[test]
fn a_plane_is_resized_as_in_an_image() {
    let source = picture(24, 20, 0);
    let plane = resize_plane(source.plane(1), (24, 20), (7, 30), Filter::Bicubic).unwrap();
    assert_eq!(plane, resize(&source, 7, 30, Filter::Bicubic).unwrap().plane(1));
}

#[test]
fn impossible_sizes_are_errors() {
    let source = picture(24, 22, 0);
    assert!(resize(&source, 0, 5, Filter::Bicubic).is_err());
    assert!(resize_aliased(&source, 5, 0, Filter::Area).is_err());
    assert!(shrink_x4(&source).is_err());
    assert!(resize_plane(&[0.0; 5], (2, 3), (1, 1), Filter::Area).is_err());
    assert!(resize_plane(&[], (0, 3), (1, 1), Filter::Area).is_err());
}
