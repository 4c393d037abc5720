//! All candidates at once, image × seed, one number each: where the rewards that training learns from lie.

use rayon::prelude::*;

use super::ranking::{Part, Ranking};
use crate::iqa::Direction;
use crate::method::hpo;
use crate::method::reward::Rewards;
use crate::workspace::ImageId;

/// What the number of a candidate is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Subject {
    /// R.
    #[default]
    Reward,
    /// Its full-reference half.
    FrHalf,
    /// Its no-reference half.
    NrHalf,
    /// The raw score of a metric, held out ones too.
    Metric(String),
}

impl Subject {
    /// Its name on the screen.
    pub fn title(&self) -> &str {
        match self {
            Subject::Reward => "R",
            Subject::FrHalf => "FR half",
            Subject::NrHalf => "NR half",
            Subject::Metric(name) => name,
        }
    }
}

/// What the rows are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// The widest spread over the seeds first.
    #[default]
    Spread,
    /// The best mean first.
    Mean,
    /// As the images were added.
    Added,
}

impl Order {
    /// All of them.
    pub const ALL: [Order; 3] = [Order::Spread, Order::Mean, Order::Added];

    /// Its name on the screen.
    pub fn title(self) -> &'static str {
        match self {
            Order::Spread => "Spread",
            Order::Mean => "Mean",
            Order::Added => "Library",
        }
    }
}

/// Which grid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GridOf {
    pub subject: Subject,
    pub order: Order,
    /// The columns are ranks, the best first; else seeds.
    pub by_rank: bool,
}

/// An image of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct GridRow {
    pub image: ImageId,
    pub held_out: bool,
    /// Over its seeds; NaN where it has no value.
    pub mean: f64,
    /// Standard deviation over its seeds; 0 with fewer than two.
    pub spread: f64,
    /// Lowest and highest value.
    pub range: [f64; 2],
}

/// One number of every candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    pub of: GridOf,
    /// Which way the number improves.
    pub direction: Direction,
    /// Seeds, in the order of the tables' columns.
    pub seeds: Vec<u64>,
    pub rows: Vec<GridRow>,
    /// Row by row, NaN where there is none.
    pub values: Vec<f32>,
    /// The seed of each value: its place in `seeds`.
    pub columns: Vec<u16>,
    /// Lowest and highest value of all; infinite where there is none.
    pub range: [f64; 2],
    /// The widest spread of a row.
    pub max_spread: f64,
}

/// No value yet.
const NOTHING: [f64; 2] = [f64::INFINITY, f64::NEG_INFINITY];

impl Grid {
    /// The grid of a ranking. A metric that was not scored has no values.
    pub fn new(ranking: &Ranking, of: &GridOf) -> Self {
        let scores = &ranking.scores;
        let (m, direction) = (scores.seeds.len(), direction_of(ranking, &of.subject));
        let parts = [(false, &scores.train, &ranking.rewards), (true, &scores.held_out, &ranking.held_out)];
        let mut rows: Vec<(GridRow, Vec<(f64, u16)>)> = Vec::new();
        for (held_out, part, rewards) in parts {
            let row = |group: usize| row_of(values_of(part, rewards, group, &of.subject), m, direction, of.by_rank);
            let made: Vec<_> = (0..part.images.len()).into_par_iter().with_min_len(32).map(row).collect();
            rows.extend(part.images.iter().zip(made).map(|(&image, cells)| (stats(image, held_out, &cells), cells)));
        }
        let better = |row: &GridRow| direction.align(row.mean);
        rows.sort_by(|(a, _), (b, _)| {
            let by = match of.order {
                Order::Spread => b.spread.total_cmp(&a.spread),
                // An image without a value comes last.
                Order::Mean => a.mean.is_nan().cmp(&b.mean.is_nan()).then(better(b).total_cmp(&better(a))),
                Order::Added => std::cmp::Ordering::Equal,
            };
            by.then(a.image.cmp(&b.image))
        });
        let join = |[low, high]: [f64; 2], (row, _): &(GridRow, _)| [low.min(row.range[0]), high.max(row.range[1])];
        let range = rows.iter().fold(NOTHING, join);
        let cells = || rows.iter().flat_map(|(_, cells)| cells);
        Self {
            of: of.clone(),
            direction,
            seeds: scores.seeds.clone(),
            values: cells().map(|(value, _)| *value as f32).collect(),
            columns: cells().map(|(_, column)| *column).collect(),
            range,
            max_spread: rows.iter().map(|(row, _)| row.spread).fold(0.0, f64::max),
            rows: rows.into_iter().map(|(row, _)| row).collect(),
        }
    }

    /// Value and place of the seed of a cell; `None` outside. The value may be NaN.
    pub fn cell(&self, row: usize, column: usize) -> Option<(f32, usize)> {
        let m = self.seeds.len();
        let at = (column < m).then_some(row * m + column)?;
        Some((*self.values.get(at)?, usize::from(*self.columns.get(at)?)))
    }

    /// Row and column of a candidate.
    pub fn find(&self, image: ImageId, seed: u64) -> Option<[usize; 2]> {
        let row = self.rows.iter().position(|row| row.image == image)?;
        let place = self.seeds.iter().position(|&s| s == seed)?;
        let m = self.seeds.len();
        let column = self.columns.get(row * m..(row + 1) * m)?.iter().position(|&c| usize::from(c) == place)?;
        Some([row, column])
    }

    /// How good a value is within a range, in [0, 1]: 1 is the best end. Where the range has no width all are in the middle.
    pub fn share(&self, value: f32, [low, high]: [f64; 2]) -> f32 {
        let share = if high > low { (f64::from(value) - low) / (high - low) } else { 0.5 };
        (if self.direction == Direction::Lower { 1.0 - share } else { share }) as f32
    }
}

fn direction_of(ranking: &Ranking, subject: &Subject) -> Direction {
    let Subject::Metric(name) = subject else { return Direction::Higher };
    let table = &ranking.scores.train.table;
    table.column_of(name).map_or(Direction::Higher, |column| table.columns()[column].direction)
}

/// The numbers of a group by seed; empty where there are none.
fn values_of<'a>(part: &'a Part, rewards: &'a Rewards, group: usize, subject: &Subject) -> &'a [f64] {
    match subject {
        Subject::Reward => rewards.group(group),
        Subject::FrHalf => rewards.fr(group),
        Subject::NrHalf => rewards.nr(group),
        Subject::Metric(name) => part.table.column_of(name).map_or(&[], |column| part.table.row(group, column)),
    }
}

/// The cells of a row with the place of their seed.
fn row_of(values: &[f64], m: usize, direction: Direction, by_rank: bool) -> Vec<(f64, u16)> {
    let value = |at: u16| values.get(usize::from(at)).copied().unwrap_or(f64::NAN);
    let mut cells: Vec<(f64, u16)> = (0..m as u32).map(|at| at as u16).map(|at| (value(at), at)).collect();
    if by_rank {
        let key = |value: f64| direction.align(value);
        cells.sort_by(|a, b| a.0.is_nan().cmp(&b.0.is_nan()).then(key(b.0).total_cmp(&key(a.0))));
    }
    cells
}

fn stats(image: ImageId, held_out: bool, cells: &[(f64, u16)]) -> GridRow {
    let present: Vec<f64> = cells.iter().map(|(value, _)| *value).filter(|value| !value.is_nan()).collect();
    let mean = present.iter().sum::<f64>() / present.len() as f64;
    let range = present.iter().fold(NOTHING, |[low, high], &v| [low.min(v), high.max(v)]);
    GridRow { image, held_out, mean, spread: hpo::sigma(&present), range }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::ranking::Scores;
    use crate::iqa::{Info, Kind};
    use crate::method::overrides::Overrides;
    use crate::method::recipe::Recipe;
    use crate::method::scores::ScoreTable;
    use crate::workspace::{CandidateSet, CheckpointId, SamplerKey};

    /// Two images to train on and one held out, three seeds; the second image lacks a score.
    fn ranking() -> Ranking {
        let mut recipe = Recipe::default();
        for setting in ["m=3", "fr=psnr", "nr=niqe", "reward.held_out="] {
            recipe.set_assignment(setting).unwrap();
        }
        let columns = vec![
            Info::new("psnr", Kind::FullReference, Direction::Higher),
            Info::new("niqe", Kind::NoReference, Direction::Lower),
        ];
        let part = |images: &[i64], scores: &[[[f64; 3]; 2]]| {
            let mut table = ScoreTable::new(vec![true; images.len()], 3, columns.clone()).unwrap();
            for (group, metrics) in scores.iter().enumerate() {
                for (column, seeds) in metrics.iter().enumerate() {
                    for (seed, &score) in seeds.iter().enumerate().filter(|(_, score)| score.is_finite()) {
                        table.set(group, seed, column, score).unwrap();
                    }
                }
            }
            Part { images: images.iter().map(|&id| ImageId(id)).collect(), noise: vec![0; images.len()], table }
        };
        let scores = Scores {
            set: CandidateSet { checkpoint: CheckpointId(1), sampler: SamplerKey::new("heun/7").unwrap() },
            seeds: vec![10, 11, 12],
            train: part(&[1, 3], &[[[20.0, 30.0, 25.0], [5.0, 5.5, 4.0]], [[22.0, 22.0, 22.0], [4.0, f64::NAN, 6.0]]]),
            held_out: part(&[2], &[[[28.0, 26.0, 27.0], [5.0, 5.0, 5.0]]]),
            frozen: None,
            overrides: Overrides::default(),
        };
        Arc::new(scores).rank(&recipe).unwrap()
    }

    fn grid(subject: &str, order: Order, by_rank: bool) -> Grid {
        let subject = match subject {
            "R" => Subject::Reward,
            name => Subject::Metric(name.into()),
        };
        Grid::new(&ranking(), &GridOf { subject, order, by_rank })
    }

    #[test]
    fn rows_are_ordered_by_spread_and_columns_by_rank_whichever_way_is_better() {
        let images = |grid: &Grid| grid.rows.iter().map(|row| row.image.0).collect::<Vec<_>>();
        let psnr = grid("psnr", Order::Spread, false);
        assert_eq!((images(&psnr), psnr.range), (vec![1, 2, 3], [20.0, 30.0]));
        assert_eq!(psnr.values[..3], [20.0, 30.0, 25.0]);
        assert!((psnr.max_spread - (50.0f64 / 3.0).sqrt()).abs() < 1e-12);
        let ranked = grid("psnr", Order::Mean, true);
        assert_eq!(images(&ranked), [2, 1, 3]);
        assert_eq!((&ranked.values[3..6], &ranked.columns[3..6]), (&[30.0, 25.0, 20.0][..], &[1, 2, 0][..]));
        // Lower is better, and what is absent is last.
        let niqe = grid("niqe", Order::Added, true);
        assert_eq!(images(&niqe), [1, 2, 3]);
        assert_eq!((&niqe.values[6..8], &niqe.columns[6..9]), (&[4.0, 6.0][..], &[0, 2, 1][..]));
        assert!(niqe.values[8].is_nan() && niqe.share(4.0, niqe.range) == 1.0 && niqe.share(6.0, niqe.range) == 0.0);
        assert!(niqe.rows[1].held_out && !niqe.rows[0].held_out);
    }

    #[test]
    fn a_candidate_is_found_where_it_stands() {
        let ranked = grid("psnr", Order::Spread, true);
        assert_eq!(ranked.find(ImageId(1), 11), Some([0, 0]));
        assert_eq!(ranked.cell(0, 0), Some((30.0, 1)));
        assert_eq!((ranked.find(ImageId(9), 11), ranked.find(ImageId(1), 9)), (None, None));
        assert_eq!((ranked.cell(0, 3), ranked.cell(3, 0)), (None, None));
        // A missing score leaves the candidate without a reward.
        let rewards = grid("R", Order::Added, false);
        assert!(rewards.values[7].is_nan() && !rewards.values[6].is_nan());
        assert_eq!(grid("of no name", Order::Spread, false).range, NOTHING);
    }
}
