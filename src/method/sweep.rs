//! A sweep: every combination of some settings' values, each trained with several seeds, and what came of it as mean ± std
//! over the seeds.

use super::intervals::Interval;
use super::recipe::Recipe;
use crate::{Error, Result};

/// More combinations than this are a mistake.
const MOST: usize = 10_000;

/// Settings as they are given, `key=value`, of one combination.
pub type Combination = Vec<String>;

/// Every combination of axes such as `ratio=1/4,1/8`: the last axis changes fastest. Values that hold commas themselves are
/// separated by semicolons, `fr=stlpips:1,ms_ssim:1;stlpips:1`. One without settings where there is no axis. Errors: an axis
/// without values, one named twice, or a value that its setting does not take.
pub fn combinations(axes: &[String]) -> Result<Vec<Combination>> {
    let mut all: Vec<Combination> = vec![Vec::new()];
    let mut named: Vec<String> = Vec::new();
    for axis in axes {
        let (key, values) =
            axis.split_once('=').ok_or_else(|| Error::invalid(format!("`{axis}` is not key=value,value…")))?;
        let (field, metric) = super::fields::find(key.trim())?;
        let key = metric.map_or_else(|| field.key.to_owned(), |metric| format!("{}.{metric}", field.key));
        if named.contains(&key) {
            return Err(Error::invalid(format!("{key} is varied twice")));
        }
        if key == "training.seed" {
            return Err(Error::invalid("training.seed is varied by --seeds"));
        }
        named.push(key.clone());
        let separator = if values.contains(';') { ';' } else { ',' };
        let values: Vec<&str> = values.split(separator).map(str::trim).filter(|value| !value.is_empty()).collect();
        for value in &values {
            Recipe::default().set(&key, value)?;
        }
        if values.is_empty() || all.len() * values.len() > MOST {
            return Err(Error::invalid(format!("`{axis}` makes no combinations, or more than {MOST}")));
        }
        let with = |combination: &Combination, value: &&str| {
            combination.iter().cloned().chain([format!("{key}={value}")]).collect()
        };
        all = all.iter().flat_map(|combination| values.iter().map(move |value| with(combination, value))).collect();
    }
    Ok(all)
}

/// What a combination is called: its settings without their topics.
pub fn label(combination: &Combination) -> String {
    let short = |setting: &String| setting.split_once('.').map_or(setting.clone(), |(_, rest)| rest.to_owned());
    match combination.is_empty() {
        true => "as it is".into(),
        false => combination.iter().map(short).collect::<Vec<_>>().join(" "),
    }
}

/// A figure over training seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    pub name: String,
    pub mean: f64,
    /// Over the seeds; `None` of fewer than two.
    pub std: Option<f64>,
    pub seeds: usize,
}

/// Means and standard deviations by name, in the order of the first seed that has the name. What is not finite takes no part.
pub fn over_seeds(seeds: &[Vec<(String, f64)>]) -> Vec<Figure> {
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in seeds.iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let figure = |name: &String| {
        let known = seeds.iter().flatten().filter(|(other, value)| other == name && value.is_finite());
        let values: Vec<f64> = known.map(|(_, value)| *value).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let std = (values.len() > 1).then(|| super::hpo::sigma(&values));
        Figure { name: name.clone(), mean, std, seeds: values.len() }
    };
    names.into_iter().map(figure).collect()
}

/// What of a change chance may explain, the training seeds taken together: of each image the mean over them, so that photographs
/// are what chance draws. `seeds` are what each seed makes of each image, before and after. `None` without seeds, or where the images
/// that all of them have are of fewer than two photographs.
pub fn pooled(seeds: &[[&[Option<f64>]; 2]], photographs: &[usize]) -> Option<Interval> {
    let mean = |side: usize| -> Vec<Option<f64>> {
        let images = seeds.iter().map(|seed| seed[side].len()).min().unwrap_or(0);
        let of = |image: usize| seeds.iter().map(|seed| seed[side][image]).sum::<Option<f64>>();
        (0..images).map(|image| Some(of(image)? / seeds.len() as f64)).collect()
    };
    Interval::between(&mean(0), &mean(1), photographs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_made_once_and_what_is_no_setting_is_refused() {
        let axes = ["ratio=1/2, 1/4".to_owned(), "objective=dpo,nft".to_owned()];
        let all = combinations(&axes).unwrap();
        let labels: Vec<String> = all.iter().map(label).collect();
        assert_eq!(
            labels,
            [
                "ratio=1/2 objective=dpo",
                "ratio=1/2 objective=nft",
                "ratio=1/4 objective=dpo",
                "ratio=1/4 objective=nft"
            ]
        );
        assert_eq!(combinations(&[]).unwrap(), [Vec::<String>::new()]);
        assert_eq!(combinations(&["reward.fr.stlpips=0,1".into()]).unwrap()[0], ["reward.fr.stlpips=0"]);
        assert_eq!(combinations(&["fr=stlpips:1,ms_ssim:1;stlpips:1".into()]).unwrap().len(), 2);
        for wrong in ["ratio", "ratio=", "ratio=2", "colour=1", "training.seed=1,2"] {
            assert!(combinations(&[wrong.into()]).is_err(), "{wrong}");
        }
        assert!(combinations(&["ratio=1/2".into(), "curation.ratio=1/4".into()]).is_err());
    }

    #[test]
    fn seeds_are_pooled_image_by_image() {
        let before = [Some(1.0), Some(2.0), None];
        let [up, more] = [[Some(1.5), Some(2.5), Some(9.0)], [Some(2.5), Some(3.5), Some(9.0)]];
        let found = pooled(&[[&before, &up], [&before, &more]], &[]).unwrap();
        assert_eq!((found.change, found.images), (1.0, 2));
        assert_eq!(pooled(&[[&before, &up], [&before, &before]], &[]).unwrap().change, 0.25);
        assert_eq!(pooled(&[], &[]), None);
    }

    #[test]
    fn figures_are_over_the_seeds_that_have_them() {
        let seed = |psnr: f64, more: Option<f64>| {
            let more = more.map(|value| ("niqe".to_owned(), value));
            [("psnr".to_owned(), psnr)].into_iter().chain(more).collect::<Vec<_>>()
        };
        let figures = over_seeds(&[seed(1.0, None), seed(3.0, Some(0.5)), seed(f64::NAN, None)]);
        assert_eq!(figures[0], Figure { name: "psnr".into(), mean: 2.0, std: Some(1.0), seeds: 2 });
        assert_eq!(figures[1], Figure { name: "niqe".into(), mean: 0.5, std: None, seeds: 1 });
    }
}
