//! What stands beyond the edges of a picture: the picture again, mirrored, without end. Both ways of mirroring that the field
//! uses, under the names of NumPy.

/// Index of the pixel that stands at `at` of a side of `len`, the edge pixel coming twice: MATLAB's way.
pub const fn symmetric(at: isize, len: usize) -> usize {
    let at = at.rem_euclid(2 * len as isize) as usize;
    if at < len { at } else { 2 * len - 1 - at }
}

/// Index of the pixel that stands at `at` of a side of `len`, the edge pixel coming once: OpenCV's and PyTorch's way.
pub const fn reflect(at: isize, len: usize) -> usize {
    if len == 1 {
        return 0;
    }
    let period = 2 * (len - 1);
    let at = at.rem_euclid(period as isize) as usize;
    if at < len { at } else { period - at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_comes_twice_or_once() {
        let indices = |rule: fn(isize, usize) -> usize| (-4..8).map(|at| rule(at, 3)).collect::<Vec<_>>();
        assert_eq!(indices(symmetric), [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]);
        assert_eq!(indices(reflect), [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
        for rule in [symmetric, reflect] {
            assert!((-5..5).all(|at| rule(at, 1) == 0));
        }
    }
}
