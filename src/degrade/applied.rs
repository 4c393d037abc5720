//! The record of a degradation: every parameter that was drawn, enough to make the same LR image again.

use super::step::Step;
use crate::imaging::crop::trim;
use crate::imaging::quantize::quantized;
use crate::imaging::{Image, SCALE};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What was done to an HR image; stored with the LR image it gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// Width and height of the trimmed HR image, in pixels.
    pub hr_px: [usize; 2],
    /// The seed; the noise steps draw from it again.
    pub seed: u64,
    /// The operations in order.
    pub steps: Vec<Step>,
}

/// Makes the LR image of `hr` again from its record, bit for bit. Fails where the record belongs to an HR image of
/// another size or holds impossible parameters.
pub fn replay(hr: &Image, applied: &Applied) -> Result<Image> {
    applied.carry_out(trim(hr, SCALE)?)
}

impl Applied {
    /// Carries the steps out on a trimmed HR image.
    pub(super) fn carry_out(&self, hr: Image) -> Result<Image> {
        if [hr.width(), hr.height()] != self.hr_px {
            let [width, height] = self.hr_px;
            return Err(Error::invalid(format!(
                "the degradation record is for {width}×{height} px, the HR image has {}×{}",
                hr.width(),
                hr.height()
            )));
        }
        let mut image = hr;
        for (index, step) in (0..).zip(&self.steps) {
            image = step.apply(image, self.seed, index)?;
        }
        if [image.width() * SCALE, image.height() * SCALE] != self.hr_px {
            return Err(Error::invalid("the degradation record does not end at the LR size"));
        }
        Ok(quantized(&image))
    }
}
