//! Checkpoints: the weights candidates are sampled from.

use rusqlite::{Row, named_params};

use super::ids::text_enum;
use super::{CandidateSet, CheckpointId, Ledger, RunId, digest_of, execute, first, now_secs, rows};
use crate::fs::hash::hash_bytes;
use crate::method::provenance::{Chosen, On};
use crate::workspace::files::{self, DirName, RelPath, SamplerKey};
use crate::{Error, Result};

text_enum! {
    /// What a checkpoint's weights are.
    CheckpointKind {
        /// The frozen model π_ref.
        Reference => "reference",
        /// The trained model π_θ as the optimizer left it.
        Policy => "policy",
        /// The exponential moving average of π_θ.
        Ema => "ema",
    }
}

impl CheckpointKind {
    /// What tells file and directory names of this kind from the policy's.
    pub(in crate::workspace) fn suffix(self) -> &'static str {
        match self {
            CheckpointKind::Ema => "-ema",
            CheckpointKind::Reference | CheckpointKind::Policy => "",
        }
    }
}

/// A reference model, which lies outside of the workspace (compiled in, or a pretrained model's files).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReference {
    /// Name of the backbone, such as `mini`.
    pub backbone: String,
    /// SHA-256 of the weights: the same hash is the same reference.
    pub weights_hash: String,
}

/// A checkpoint of a run, about to be saved.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCheckpoint {
    /// The run.
    pub run: RunId,
    /// Number of training steps behind it.
    pub step: u32,
    /// Policy or EMA.
    pub kind: CheckpointKind,
    /// Name of the backbone.
    pub backbone: String,
    /// The training state saved for this step, if one can resume from here.
    pub state: Option<RelPath>,
    /// Mean reward on the held-out images it was evaluated on, once it was.
    pub held_out_reward: Option<f64>,
}

/// A checkpoint of the workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointRow {
    /// Its number.
    pub id: CheckpointId,
    /// Unique name, also of its directories: `reference`, `RUN-000100`, `RUN-000100-ema`.
    pub name: String,
    /// Name of the backbone.
    pub backbone: String,
    /// Reference, policy or EMA.
    pub kind: CheckpointKind,
    /// Its run; `None` for a reference.
    pub run: Option<RunId>,
    /// Number of training steps behind it; 0 for a reference.
    pub step: u32,
    /// Its safetensors file; `None` for a reference, whose weights lie outside.
    pub path: Option<RelPath>,
    /// The training state to resume from, while it is kept.
    pub state_path: Option<RelPath>,
    /// SHA-256 of the weights file.
    pub weights_hash: String,
    /// Mean reward on the held-out images it was evaluated on, once it was.
    pub held_out_reward: Option<f64>,
    /// Seconds since 1970 UTC.
    pub added_at_secs: i64,
    /// Its weights file was gone when the workspace was opened.
    pub file_missing: bool,
    /// Its training state was gone when the workspace was opened.
    pub state_missing: bool,
}

/// What stands for the backbone of candidates that another program made.
const ELSEWHERE: &str = "imported";

impl CheckpointRow {
    /// Whether another program made its candidates, whose weights are not known here.
    pub fn is_imported(&self) -> bool {
        self.run.is_none() && self.backbone == ELSEWHERE
    }

    /// The candidates that were imported under it.
    pub fn imported_set(&self) -> CandidateSet {
        CandidateSet { checkpoint: self.id, sampler: SamplerKey::imported() }
    }

    /// As people type a checkpoint that was imported: NAME, or NAME@STEP.
    pub fn import_name(&self) -> String {
        match self.name.strip_suffix(&format!("-{:06}", self.step)) {
            Some(name) => format!("{name}@{}", self.step),
            None => self.name.clone(),
        }
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get::<_, DirName>("name")?.0,
            backbone: row.get("backbone")?,
            kind: row.get("kind")?,
            run: row.get("run_id")?,
            step: row.get("step")?,
            path: row.get("path")?,
            state_path: row.get("state_path")?,
            weights_hash: row.get("weights_hash")?,
            held_out_reward: row.get("held_out_reward")?,
            added_at_secs: row.get("added_at_secs")?,
            file_missing: row.get("file_missing")?,
            state_missing: row.get("state_missing")?,
        })
    }
}

impl Ledger {
    /// The reference with these weights, recorded now if it is new.
    pub fn ensure_reference(&self, new: &NewReference) -> Result<CheckpointId> {
        self.write(|conn| {
            let known = "SELECT id FROM checkpoints WHERE run_id IS NULL AND weights_hash = ?1";
            if let Some(id) = first(conn, known, [&new.weights_hash], |row| row.get(0))? {
                return Ok(id);
            }
            let mut taken = conn.prepare_cached("SELECT 1 FROM checkpoints WHERE name = ?1")?;
            let mut name = String::from("reference");
            if taken.exists([&name])? {
                name = files::safe_dir_name(&name, &new.weights_hash, |n| n == "reference");
            }
            let sql = "INSERT INTO checkpoints (name, backbone, kind, step, weights_hash, added_at_secs)
                VALUES (?1, ?2, ?3, 0, ?4, ?5) RETURNING id";
            let values = (&name, &new.backbone, CheckpointKind::Reference, &new.weights_hash, now_secs());
            Ok(conn.prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
        })
    }

    /// What candidates are imported under: a name, and a step where there are several; recorded now if it is new. Errors: a run is
    /// called so, or a checkpoint.
    pub fn ensure_imported(&self, name: &str, step: Option<u32>) -> Result<CheckpointId> {
        files::check_import_name(name)?;
        let dir = step.map_or(name.to_owned(), |step| files::checkpoint_name(name, step, ""));
        self.write(|conn| {
            if let Some(known) =
                first(conn, "SELECT * FROM checkpoints WHERE name = ?1", [&dir], CheckpointRow::from_row)?
            {
                return match known.is_imported() {
                    true => Ok(known.id),
                    false => Err(Error::invalid(format!("“{dir}” is the name of a checkpoint here; choose another"))),
                };
            }
            if conn.prepare_cached("SELECT 1 FROM runs WHERE name = ?1")?.exists([name])? {
                return Err(Error::invalid(format!("“{name}” is the name of a run here; choose another")));
            }
            let sql = "INSERT INTO checkpoints (name, backbone, kind, step, weights_hash, added_at_secs)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id";
            let identity = hash_bytes(format!("{ELSEWHERE}\0{dir}").as_bytes());
            let values = (&dir, ELSEWHERE, CheckpointKind::Reference, step.unwrap_or(0), identity, now_secs());
            Ok(conn.prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
        })
    }

    /// [`Ledger::ensure_imported`] of the directory that candidates lie in.
    pub(in crate::workspace) fn ensure_imported_dir(&self, dir: &str) -> Result<CheckpointId> {
        let step = dir.rsplit_once('-').filter(|(_, step)| step.len() >= 6);
        match step.and_then(|(name, step)| Some((name, step.parse().ok()?))) {
            Some((name, step)) => self.ensure_imported(name, Some(step)),
            None => self.ensure_imported(dir, None),
        }
    }

    /// The imported candidates of a name, NAME or NAME@STEP.
    pub fn imported(&self, name: &str) -> Result<Option<CheckpointRow>> {
        let rows = self.checkpoints()?.into_iter().filter(CheckpointRow::is_imported);
        Ok(rows.into_iter().find(|row| row.import_name().eq_ignore_ascii_case(name)))
    }

    /// All checkpoints: references first, then by run and step.
    pub fn checkpoints(&self) -> Result<Vec<CheckpointRow>> {
        let sql = "SELECT * FROM checkpoints ORDER BY run_id, step, kind, id";
        self.read(|conn| rows(conn, sql, [], CheckpointRow::from_row))
    }

    /// The checkpoints of a run by step, the policy's before the EMA's.
    pub fn checkpoints_of_run(&self, run: RunId) -> Result<Vec<CheckpointRow>> {
        let sql = "SELECT * FROM checkpoints WHERE run_id = ?1 ORDER BY step, kind DESC";
        self.read(|conn| rows(conn, sql, [run], CheckpointRow::from_row))
    }

    /// One checkpoint.
    pub fn checkpoint(&self, id: CheckpointId) -> Result<CheckpointRow> {
        let sql = "SELECT * FROM checkpoints WHERE id = ?1";
        self.read(|conn| first(conn, sql, [id], CheckpointRow::from_row))?
            .ok_or_else(|| Error::invalid(format!("there is no checkpoint {}", id.0)))
    }

    /// The checkpoint of this name.
    pub fn checkpoint_by_name(&self, name: &str) -> Result<Option<CheckpointRow>> {
        let sql = "SELECT * FROM checkpoints WHERE name = ?1";
        self.read(|conn| first(conn, sql, [name], CheckpointRow::from_row))
    }

    /// The checkpoint of a run at a step.
    pub fn checkpoint_at(&self, run: RunId, step: u32, kind: CheckpointKind) -> Result<Option<CheckpointRow>> {
        let sql = "SELECT * FROM checkpoints WHERE run_id = ?1 AND step = ?2 AND kind = ?3";
        self.read(|conn| first(conn, sql, (run, step, kind), CheckpointRow::from_row))
    }

    /// The checkpoint of a run that stands for it, and why: of those whose file is there and that were evaluated on the
    /// validation images there are now, the one with the highest reward, the earlier of equals; else the last.
    pub fn chosen_checkpoint(&self, run: RunId) -> Result<Option<(CheckpointRow, Chosen)>> {
        let validation = self.images_on(On::Validation)?;
        let sql = "SELECT checkpoints.* FROM checkpoints JOIN evaluations USING (run_id, step)
            WHERE run_id = ?1 AND measured_on = 'validation' AND images_digest = ?2 AND held_out_reward IS NOT NULL
                AND file_missing = 0
            ORDER BY held_out_reward DESC, step, kind";
        let digest = digest_of(&validation);
        let evaluated = self.read(|conn| rows(conn, sql, (run, &digest), CheckpointRow::from_row))?;
        let of = evaluated.len();
        if let Some(best) = evaluated.into_iter().next() {
            return Ok(Some((best, Chosen::Validation { of, images: validation.len() })));
        }
        let Some(last) = self.checkpoints_of_run(run)?.into_iter().rfind(|c| !c.file_missing) else { return Ok(None) };
        let evaluations = self.evaluations(run)?;
        let why = match () {
            () if validation.is_empty() => "no image is held out for validation",
            () if evaluations.iter().all(|e| e.step == 0) => "none was evaluated on the validation images",
            () if evaluations.iter().all(|e| e.on == On::HeldOut) => "its evaluations are of all held-out images",
            () => "its evaluations are of other validation images than there are now",
        };
        Ok(Some((last, Chosen::Last { why: why.into() })))
    }

    /// The checkpoints of a run from which training can go on, the last first.
    pub fn resumable(&self, run: RunId) -> Result<Vec<CheckpointRow>> {
        let sql = "SELECT * FROM checkpoints
            WHERE run_id = ?1 AND state_path IS NOT NULL AND file_missing = 0 AND state_missing = 0
            ORDER BY step DESC, kind DESC";
        self.read(|conn| rows(conn, sql, [run], CheckpointRow::from_row))
    }

    /// Notes what an evaluation found.
    pub fn set_held_out_reward(&self, id: CheckpointId, reward: f64) -> Result<()> {
        let sql = "UPDATE checkpoints SET held_out_reward = ?2 WHERE id = ?1";
        self.write(|conn| execute(conn, sql, (id, reward)).map(drop))
    }

    /// Records a checkpoint whose file is in place; `name` and `path` follow from run, step and kind.
    ///
    /// If other weights stood under the same run, step and kind, the candidates made with them are forgotten.
    pub(in crate::workspace) fn insert_checkpoint(
        &self,
        new: &NewCheckpoint,
        name: &str,
        path: &RelPath,
        weights_hash: &str,
    ) -> Result<CheckpointId> {
        if new.kind == CheckpointKind::Reference {
            return Err(Error::invalid("a run cannot save a reference"));
        }
        self.write(|conn| {
            execute(
                conn,
                "DELETE FROM candidates WHERE checkpoint_id IN (SELECT id FROM checkpoints
                    WHERE run_id = ?1 AND step = ?2 AND kind = ?3 AND weights_hash <> ?4)",
                (new.run, new.step, new.kind, weights_hash),
            )?;
            let sql = "INSERT INTO checkpoints (name, backbone, kind, run_id, step, path, state_path, weights_hash,
                    held_out_reward, added_at_secs)
                VALUES (:name, :backbone, :kind, :run, :step, :path, :state, :hash, :reward, :now)
                ON CONFLICT (run_id, step, kind) DO UPDATE SET path = excluded.path, state_path = excluded.state_path,
                    weights_hash = excluded.weights_hash, held_out_reward = excluded.held_out_reward,
                    added_at_secs = excluded.added_at_secs, file_missing = 0, state_missing = 0
                RETURNING id";
            Ok(conn.prepare_cached(sql)?.query_row(
                named_params! {
                    ":name": name,
                    ":backbone": new.backbone,
                    ":kind": new.kind,
                    ":run": new.run,
                    ":step": new.step,
                    ":path": path,
                    ":state": new.state,
                    ":hash": weights_hash,
                    ":reward": new.held_out_reward,
                    ":now": now_secs(),
                },
                |row| row.get(0),
            )?)
        })
    }

    /// Forgets the training states of a run but for the last `keep` steps that have one; returns the forgotten paths.
    pub(in crate::workspace) fn forget_states(&self, run: RunId, keep: u32) -> Result<Vec<RelPath>> {
        self.write(|conn| {
            let old = "state_path IS NOT NULL AND run_id = ?1 AND step NOT IN (SELECT DISTINCT step FROM checkpoints
                WHERE run_id = ?1 AND state_path IS NOT NULL ORDER BY step DESC LIMIT ?2)";
            let select = format!("SELECT DISTINCT state_path FROM checkpoints WHERE {old}");
            let paths = rows(conn, &select, (run, keep), |row| row.get(0))?;
            let update = format!("UPDATE checkpoints SET state_path = NULL, state_missing = 0 WHERE {old}");
            execute(conn, &update, (run, keep))?;
            Ok(paths)
        })
    }
}
