//! The one piece of linear algebra the metrics need: the Mahalanobis distance.

/// `dᵀ A⁻¹ d` for a symmetric positive definite matrix, row by row; `None` if it is not positive definite.
pub fn mahalanobis_squared(matrix: &[f64], difference: &[f64]) -> Option<f64> {
    let n = difference.len();
    // A = L Lᵀ by Cholesky; with L y = d the distance is |y|².
    let (mut l, mut y) = (vec![0.0; n * n], vec![0.0; n]);
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let rest = matrix[i * n + j] - dot;
            l[i * n + j] = match i == j {
                true if rest > 0.0 => rest.sqrt(),
                true => return None,
                false => rest / l[j * n + j],
            };
        }
        let dot: f64 = (0..i).map(|k| l[i * n + k] * y[k]).sum();
        y[i] = (difference[i] - dot) / l[i * n + i];
    }
    Some(y.iter().map(|v| v * v).sum())
}

/// Mean of the rows, and their covariance (divided by n - 1, or zero for a single row), row by row.
pub fn mean_and_covariance<const N: usize>(rows: &[[f64; N]]) -> ([f64; N], Vec<f64>) {
    let count = rows.len() as f64;
    let mean: [f64; N] = std::array::from_fn(|i| rows.iter().map(|row| row[i]).sum::<f64>() / count);
    let mut covariance = vec![0.0; N * N];
    for row in rows {
        for i in 0..N {
            for j in 0..N {
                covariance[i * N + j] += (row[i] - mean[i]) * (row[j] - mean[j]);
            }
        }
    }
    covariance.iter_mut().for_each(|v| *v /= (count - 1.0).max(1.0));
    (mean, covariance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_under_a_known_matrix() {
        // The inverse of [[4, 2], [2, 3]] is [[3, -2], [-2, 4]] / 8.
        let d = mahalanobis_squared(&[4.0, 2.0, 2.0, 3.0], &[1.0, 2.0]).unwrap();
        assert!((d - (3.0 - 8.0 + 16.0) / 8.0).abs() < 1e-12);
        assert_eq!(mahalanobis_squared(&[1.0, 2.0, 2.0, 1.0], &[1.0, 1.0]), None);
    }

    #[test]
    fn covariance_of_three_rows() {
        let (mean, covariance) = mean_and_covariance(&[[1.0, 0.0], [2.0, 0.0], [3.0, 6.0]]);
        assert_eq!(mean, [2.0, 2.0]);
        assert_eq!(covariance, [1.0, 3.0, 3.0, 12.0]);
        assert_eq!(mean_and_covariance(&[[1.0, 5.0]]).1, [0.0; 4]);
    }
}
