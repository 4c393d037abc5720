//! The enlarged LR image as the network is shown it: padded to the backbone's alignment by mirroring, clamped to [0, 1].

use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::Result;
use crate::imaging::Image;
use crate::imaging::rows::Rows;
use crate::imaging::window::Resized;

/// Gives any part of the condition; none is kept.
pub(super) struct Condition<'l> {
    enlarged: Resized<'l>,
    /// Height and width with the padding.
    pub size: [usize; 2],
}

impl<'l> Condition<'l> {
    pub fn new(lr: &'l Image, size: [usize; 2]) -> Self {
        Self { enlarged: Resized::x4(lr), size }
    }

    /// Height and width without the padding.
    pub fn unpadded(&self) -> [usize; 2] {
        [self.enlarged.height(), self.enlarged.width()]
    }

    /// A part of the condition, the same for `count` images.
    pub fn window(&self, rows: &Range<usize>, columns: &Range<usize>, count: usize, device: &Device) -> Result<Tensor> {
        let mirrored = |range: &Range<usize>, n: usize| -> Vec<usize> {
            let mirror = |i: usize| if i % (2 * n) < n { i % (2 * n) } else { 2 * n - 1 - i % (2 * n) };
            range.clone().map(mirror).collect()
        };
        let [height, width] = self.unpadded();
        let mut values = self.enlarged.at(&mirrored(rows, height), &mirrored(columns, width));
        values.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
        let one = Tensor::from_vec(values, (1, 3, rows.len(), columns.len()), device)?;
        Ok(one.broadcast_as((count, 3, rows.len(), columns.len()))?.contiguous()?)
    }
}
