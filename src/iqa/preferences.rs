//! How often no-reference metrics find HR better than what is not HR: whether they tell truth from grain.

use std::sync::Arc;

use rayon::prelude::*;

use super::critic_fit::{Change, Group};
use super::features::Features;
use super::grain::GRAIN;
use super::metric::Metric;
use crate::Result;
use crate::imaging::Image;
use crate::nn::kernels::Compute;
use crate::weights::Store;

/// What stands against HR besides its candidates.
const CHANGES: [Change; 6] = [
    Change::Grain { levels: 1.0, coarse: false, grey: false },
    Change::Grain { levels: 3.0, coarse: false, grey: false },
    Change::Detail(0.2),
    Change::Detail(0.5),
    Change::Detail(-0.2),
    Change::Detail(-0.5),
];

/// What metrics make of HR beside something else.
pub struct Preference {
    /// What stands against HR.
    pub against: String,
    /// Its grain against HR's in dB, on average.
    pub grain_db: f64,
    /// How often each metric finds HR better, in [0, 1], in their order; a tie counts half.
    pub shares: Vec<f64>,
}

/// What no-reference metrics with compiled-in weights make of each HR beside its candidates, and beside itself with more or
/// less fine detail. Errors: an image that a metric is not defined on.
pub fn preferences(groups: &[Group], metrics: &[Arc<dyn Metric>]) -> Result<Vec<Preference>> {
    let against = |what: &str, others: &(dyn Fn(&Group, &Image) -> Result<Vec<Image>> + Sync)| {
        let of_group = |group: &Group| {
            let hr = group.hr.image()?;
            others(group, &hr)?.into_iter().map(|other| compared(&hr, other, metrics)).collect::<Result<Vec<_>>>()
        };
        let rows: Vec<Vec<f64>> = groups.par_iter().map(of_group).collect::<Result<Vec<_>>>()?.concat();
        let mean = |column: usize| rows.iter().map(|row| row[column]).sum::<f64>() / rows.len() as f64;
        let shares = (1..=metrics.len()).map(mean).collect();
        Ok(Preference { against: what.to_owned(), grain_db: mean(0), shares })
    };
    let candidates = against("candidates", &|group, _| group.candidates.iter().map(|rgb8| rgb8.image()).collect());
    let changed = |change: Change| against(&change.to_string(), &move |_, hr| Ok(vec![change.of(hr, 0)?]));
    std::iter::once(candidates).chain(CHANGES.into_iter().map(changed)).collect()
}

/// Grain of the other image in dB, and for each metric 1 where it finds HR better.
fn compared(hr: &Image, other: Image, metrics: &[Arc<dyn Metric>]) -> Result<Vec<f64>> {
    let pair = [Arc::new(hr.clone()), Arc::new(other)];
    let mut row = vec![(&GRAIN as &dyn Metric).score(&pair[1], Some(hr))?];
    for metric in metrics {
        let scorer = metric.open(&Store::of_folders(&[], false), &Compute::cpu())?;
        let features = Features::default();
        let bound = scorer.bind(None, &features)?;
        let [hr, other] = [bound.score(&pair[0], &features)?, bound.score(&pair[1], &features)?];
        let lead = metric.info().direction.align(hr) - metric.info().direction.align(other);
        row.push(if lead == 0.0 { 0.5 } else { f64::from(u8::from(lead > 0.0)) });
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::imaging::crop;
    use crate::imaging::decode::decode_bytes;
    use crate::imaging::quantize::{Rgb8, to_rgb8};
    use crate::iqa::by_name;

    /// The middle of each held-out photograph of the example: nothing was ever trained on them.
    fn groups() -> Vec<Group> {
        let rgb8 = |image: &Image| Rgb8 { width: image.width(), height: image.height(), bytes: to_rgb8(image) };
        let group = |photo: &example::ExamplePhoto| {
            let photo = decode_bytes(photo.bytes).unwrap();
            let hr = crop::apply(&photo, crop::center(&photo, 256).unwrap()).unwrap();
            Group { candidates: vec![rgb8(&Change::Blur(8).of(&hr, 0).unwrap())], hr: rgb8(&hr) }
        };
        example::photos().iter().filter(|photo| photo.held_out).map(group).collect()
    }

    #[test]
    fn the_critic_prefers_photographs_to_more_and_to_less_grain_and_statistics_like_grain() {
        let metrics = ["critic", "brisque", "piqe"].map(|name| by_name(name).unwrap());
        let found = preferences(&groups(), &metrics).unwrap();
        assert_eq!(found.len(), 1 + CHANGES.len());
        for preference in &found {
            println!("{} {:+.2} dB {:?}", preference.against, preference.grain_db, preference.shares);
        }
        assert!(found[0].grain_db < -3.0 && found[0].shares[0] == 1.0);
        let mean = |metric: usize| found.iter().map(|p| p.shares[metric]).sum::<f64>() / found.len() as f64;
        assert!(mean(0) > 0.85, "{}", mean(0));
        // More of the fine detail that there is: what fine-tuning on statistics of natural scenes drifts to.
        let sharpened = found.iter().find(|p| p.against.starts_with("HR + 0.5 ×")).unwrap();
        assert!(sharpened.grain_db > 1.0 && sharpened.shares[0] > 0.8, "{:?}", sharpened.shares);
        assert!(sharpened.shares[1] < 0.5, "{:?}", sharpened.shares);
    }
}
