//! Scores: what each metric said of each candidate, read back fast enough to follow a dragged slider's first touch.

use std::ops::Range;

use rusqlite::{Connection, Params};

use super::candidates::{COLUMNS, usable};
use super::metric_keys::ensure_device;
use super::{CandidateId, CandidateRow, CandidateSet, ImageId, Ledger, execute, rows, seed_from_sql};
use crate::iqa::{Kind, MetricKey};
use crate::{Error, Result};

/// A score about to be recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewScore {
    /// The candidate.
    pub candidate: CandidateId,
    /// Index into the list of metrics given beside.
    pub metric: usize,
    /// The metric's raw value, in its own range and direction; NaN if it has none for this image.
    pub value: f64,
}

/// What is still to be scored of one candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct MissingScores {
    /// The candidate.
    pub candidate: CandidateRow,
    /// Indices into the metrics asked for; never empty.
    pub metrics: Vec<usize>,
}

/// The identity of a row of a [`ScoreTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoredCandidate {
    /// The candidate.
    pub id: CandidateId,
    /// Its LR image.
    pub image: ImageId,
    /// Its seed.
    pub seed: u64,
}

/// Raw scores of candidates × metrics; a group's candidates stand together.
#[derive(Clone, Debug)]
pub struct ScoreTable {
    metric_count: usize,
    candidates: Vec<ScoredCandidate>,
    /// `candidates.len() × metric_count`, row by row.
    values: Vec<f64>,
}

impl ScoreTable {
    /// The rows, by image and seed.
    pub fn candidates(&self) -> &[ScoredCandidate] {
        &self.candidates
    }

    /// The scores of one row in the order the metrics were asked for; NaN where there is none.
    pub fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.metric_count..(index + 1) * self.metric_count]
    }

    /// All scores: `candidates().len() × number of metrics`, row by row; NaN where there is none.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The groups: each image with the range of its rows.
    pub fn groups(&self) -> impl Iterator<Item = (ImageId, Range<usize>)> {
        let mut start = 0;
        self.candidates.chunk_by(|a, b| a.image == b.image).map(move |group| {
            let range = start..start + group.len();
            start = range.end;
            (group[0].image, range)
        })
    }
}

/// Of the usable candidates those of one image, ?3.
const OF_IMAGE: &str = " AND image_id = ?3";

impl Ledger {
    /// Records scores computed on `device`, all or none; a metric's earlier score of the same candidate is replaced.
    pub fn record_scores(&self, device: &str, metrics: &[MetricKey], new: &[NewScore]) -> Result<()> {
        self.write(|conn| {
            let device = ensure_device(conn, device)?;
            let ids = metrics.iter().map(|metric| metric.ensure(conn)).collect::<Result<Vec<_>>>()?;
            let sql =
                "INSERT OR REPLACE INTO scores (candidate_id, scorer_id, value, device_id) VALUES (?1, ?2, ?3, ?4)";
            for score in new {
                let metric = ids
                    .get(score.metric)
                    .ok_or_else(|| Error::invalid(format!("there is no metric number {}", score.metric)))?;
                execute(conn, sql, (score.candidate, metric, score.value, device))?;
            }
            Ok(())
        })
    }

    /// The scores of one group.
    pub fn group_scores(&self, set: &CandidateSet, image: ImageId, metrics: &[MetricKey]) -> Result<ScoreTable> {
        let params = (set.checkpoint, &set.sampler, image);
        self.read(|conn| read_table(conn, &(usable(set) + OF_IMAGE), params, metrics))
    }

    /// The scores of all groups.
    pub fn scores(&self, set: &CandidateSet, metrics: &[MetricKey]) -> Result<ScoreTable> {
        let params = (set.checkpoint, &set.sampler);
        self.read(|conn| read_table(conn, &usable(set), params, metrics))
    }

    /// What is still to be scored so that every candidate has a score of each metric, by image and seed. Images without an
    /// HR image are no business of full-reference metrics.
    pub fn missing_scores(&self, set: &CandidateSet, wanted: &[(MetricKey, Kind)]) -> Result<Vec<MissingScores>> {
        self.read(|conn| read_missing(conn, &usable(set), (set.checkpoint, &set.sampler), wanted))
    }

    /// [`Ledger::missing_scores`] of the candidates of one image.
    pub fn missing_scores_of(
        &self,
        set: &CandidateSet,
        image: ImageId,
        wanted: &[(MetricKey, Kind)],
    ) -> Result<Vec<MissingScores>> {
        let params = (set.checkpoint, &set.sampler, image);
        self.read(|conn| read_missing(conn, &(usable(set) + OF_IMAGE), params, wanted))
    }
}

fn read_missing(
    conn: &Connection,
    usable: &str,
    params: impl Params + Clone,
    wanted: &[(MetricKey, Kind)],
) -> Result<Vec<MissingScores>> {
    let ids = wanted.iter().map(|(metric, _)| metric.find(conn)).collect::<Result<Vec<_>>>()?;
    let sql = format!("SELECT {COLUMNS}, images.hr_path IS NOT NULL AS has_hr FROM {usable} ORDER BY image_id, seed");
    let candidates =
        rows(conn, &sql, params.clone(), |row| Ok((CandidateRow::from_row(row)?, row.get::<_, bool>("has_hr")?)))?;
    let width = wanted.len();
    let mut present = vec![false; candidates.len() * width];
    for_each_score(
        conn,
        usable,
        params,
        &ids,
        candidates.iter().map(|(candidate, _)| candidate.id),
        |row, column, _| present[row * width + column] = true,
    )?;
    let missing = candidates.into_iter().enumerate().filter_map(|(row, (candidate, has_hr))| {
        let applies =
            |&column: &usize| !present[row * width + column] && (has_hr || wanted[column].1 == Kind::NoReference);
        let metrics: Vec<usize> = (0..width).filter(applies).collect();
        (!metrics.is_empty()).then_some(MissingScores { candidate, metrics })
    });
    Ok(missing.collect())
}

fn read_table(
    conn: &Connection,
    usable: &str,
    params: impl Params + Clone,
    metrics: &[MetricKey],
) -> Result<ScoreTable> {
    let ids = metrics.iter().map(|metric| metric.find(conn)).collect::<Result<Vec<_>>>()?;
    let sql = format!("SELECT candidates.id, image_id, seed FROM {usable} ORDER BY image_id, seed");
    let candidates = rows(conn, &sql, params.clone(), |row| {
        Ok(ScoredCandidate { id: row.get(0)?, image: row.get(1)?, seed: seed_from_sql(row.get(2)?) })
    })?;
    let width = metrics.len();
    let mut values = vec![f64::NAN; candidates.len() * width];
    for_each_score(
        conn,
        usable,
        params,
        &ids,
        candidates.iter().map(|candidate| candidate.id),
        |row, column, value| values[row * width + column] = value,
    )?;
    Ok(ScoreTable { metric_count: width, candidates, values })
}

/// Calls `found(row, column, value)` for every score there is of `candidates` (rows, by image and seed) by the metrics
/// (columns) that have a number.
///
/// Both lists come in the same order, so that one walk matches them: no map of a hundred thousand candidates.
fn for_each_score(
    conn: &Connection,
    usable: &str,
    params: impl Params,
    metric_ids: &[Option<i64>],
    candidates: impl Iterator<Item = CandidateId>,
    mut found: impl FnMut(usize, usize, f64),
) -> Result<()> {
    let max = metric_ids.iter().flatten().max();
    let mut column_of = vec![Vec::new(); max.map_or(0, |&id| id as usize + 1)];
    for (column, id) in metric_ids.iter().enumerate() {
        if let Some(id) = id {
            column_of[*id as usize].push(column);
        }
    }
    // CROSS JOIN keeps SQLite from starting at the scores.
    let sql = format!(
        "SELECT candidate_id, scorer_id, value FROM (SELECT candidates.id AS candidate_id, image_id, seed FROM {usable}
            ORDER BY image_id, seed) CROSS JOIN scores USING (candidate_id)"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut scores = statement.query(params)?;
    let mut candidates = candidates.enumerate();
    let mut current = candidates.next();
    while let Some(score) = scores.next()? {
        let id: CandidateId = score.get(0)?;
        while current.is_some_and(|(_, candidate)| candidate != id) {
            current = candidates.next();
        }
        let Some((row, _)) = current else { break };
        let metric: i64 = score.get(1)?;
        for &column in column_of.get(metric as usize).into_iter().flatten() {
            found(row, column, score.get::<_, Option<f64>>(2)?.unwrap_or(f64::NAN));
        }
    }
    Ok(())
}
