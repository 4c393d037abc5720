//! The jobs of this session: what waits, what runs, what became of the others.

use crate::Permit;
use crate::engine::failures::Failures;
use crate::engine::progress::Progress;
use crate::engine::protocol::{Job, JobId, JobState};

/// How a job stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    Waiting,
    Running,
    Paused,
    Done,
    /// Done but for what failed, in one line; the rest is kept.
    Incomplete(String),
    /// With its cause.
    Failed(String),
    Cancelled,
}

/// A job of this session.
#[derive(Clone, Debug)]
pub struct JobEntry {
    pub id: JobId,
    pub kind: Kind,
    pub phase: Phase,
    pub progress: Option<Progress>,
    /// It is about all images of the workspace.
    pub is_whole: bool,
    /// Candidates there were when it began.
    pub candidates_before: usize,
    /// The job itself, where it may be given again with what it was refused for.
    job: Option<Job>,
    /// Seconds since the studio started.
    pub began_secs: f64,
    /// Seconds since the studio started, once it is over.
    pub ended_secs: Option<f64>,
}

/// What a job does, without what it does it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Create,
    Open,
    SetRecipe,
    Add,
    Mark,
    Discard,
    Judge,
    Sample,
    Score,
    Generate,
    Curate,
    Train,
    Compare,
    Run,
    Upscale,
    Export,
    ExportWeights,
    ExportTable,
    ImportScores,
    ImportCandidates,
    ImportVerdicts,
    ImportTable,
    ExportComparison,
    Repair,
    CheckModel,
    ComputeOn,
    Tag,
}

impl Kind {
    /// The kind of a job.
    pub fn of(job: &Job) -> Self {
        match job {
            Job::Create { .. } => Kind::Create,
            Job::Open { .. } => Kind::Open,
            Job::SetRecipe(_) | Job::TryRecipe(_) => Kind::SetRecipe,
            Job::Add(_) | Job::AddExample => Kind::Add,
            Job::SetSplits(_) | Job::SetPrompts(_) | Job::SetRemoved { .. } => Kind::Mark,
            Job::Judge { .. } | Job::JudgeBlindly { .. } => Kind::Judge,
            Job::DiscardDamaged => Kind::Discard,
            Job::Sample { .. } => Kind::Sample,
            Job::Score => Kind::Score,
            Job::Generate { .. } => Kind::Generate,
            Job::Curate { .. } => Kind::Curate,
            Job::Train { .. } => Kind::Train,
            Job::Compare { .. } => Kind::Compare,
            Job::Run { .. } => Kind::Run,
            Job::Upscale(_) => Kind::Upscale,
            Job::ExportPairs { .. } => Kind::Export,
            Job::ExportWeights { .. } => Kind::ExportWeights,
            Job::ExportTable { .. } => Kind::ExportTable,
            Job::ImportScores { .. } => Kind::ImportScores,
            Job::ImportCandidates(_) => Kind::ImportCandidates,
            Job::ImportVerdicts { .. } => Kind::ImportVerdicts,
            Job::ImportTable { .. } => Kind::ImportTable,
            Job::ExportComparison { .. } => Kind::ExportComparison,
            Job::Repair { .. } => Kind::Repair,
            Job::CheckModel(_) => Kind::CheckModel,
            Job::ComputeOn(_) => Kind::ComputeOn,
            Job::Tag { .. } | Job::ConvertTagger { .. } => Kind::Tag,
            Job::AllowExternal { then } => then.as_deref().map_or(Kind::SetRecipe, Kind::of),
        }
    }

    /// Its name on the screen.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Create => "New workspace",
            Kind::Open => "Open workspace",
            Kind::SetRecipe => "Save recipe",
            Kind::Add => "Add images",
            Kind::Mark => "Mark images",
            Kind::Discard => "Discard damaged candidates",
            Kind::Judge => "Judge pair",
            Kind::Sample => "Sample",
            Kind::Score => "Score",
            Kind::Generate => "Generate",
            Kind::Curate => "Curate",
            Kind::Train => "Train",
            Kind::Compare => "Compare",
            Kind::Run => "Whole loop",
            Kind::Upscale => "Upscale",
            Kind::Export => "Export pairs",
            Kind::ExportWeights => "Export weights",
            Kind::ExportTable => "Export table",
            Kind::ImportScores => "Import scores",
            Kind::ImportCandidates => "Import candidates",
            Kind::ImportVerdicts => "Import verdicts",
            Kind::ImportTable => "Import table",
            Kind::ExportComparison => "Export comparison",
            Kind::Repair => "Repair workspace",
            Kind::CheckModel => "Check model",
            Kind::ComputeOn => "Change device",
            Kind::Tag => "Tag images",
        }
    }

    /// Whether it is over at once and nothing to talk about.
    pub fn is_quiet(self) -> bool {
        matches!(self, Kind::SetRecipe | Kind::Mark | Kind::Judge | Kind::Discard | Kind::Open)
    }
}

/// Jobs kept in memory after they ended.
const KEPT: usize = 200;

/// The jobs of this session, in the order they were started.
#[derive(Debug, Default)]
pub struct Jobs {
    entries: Vec<JobEntry>,
}

impl Jobs {
    /// A job was handed to the engine.
    pub fn started(&mut self, id: JobId, job: &Job, now_secs: f64) {
        let over = |entry: &JobEntry| entry.ended_secs.is_some();
        if self.entries.len() >= KEPT
            && let Some(oldest) = self.entries.iter().position(over)
        {
            self.entries.remove(oldest);
        }
        let kind = Kind::of(job);
        self.entries.push(JobEntry {
            id,
            kind,
            phase: Phase::Waiting,
            progress: None,
            is_whole: matches!(job, Job::Generate { images: None }),
            candidates_before: 0,
            job: Some(job.clone()),
            began_secs: now_secs,
            ended_secs: None,
        });
    }

    /// The engine said how a job stands.
    pub fn apply(&mut self, id: JobId, state: JobState, now_secs: f64) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) else {
            return;
        };
        if state.is_final() {
            entry.ended_secs = Some(now_secs);
        }
        entry.phase = match state {
            JobState::Started => {
                entry.began_secs = now_secs;
                Phase::Running
            }
            JobState::Progress(progress) => {
                entry.progress = Some(progress);
                return;
            }
            JobState::Paused => Phase::Paused,
            JobState::Resumed => Phase::Running,
            JobState::Done(outcome) => match outcome.failed().and_then(Failures::line) {
                Some(line) => Phase::Incomplete(line),
                None => Phase::Done,
            },
            JobState::Failed(cause) | JobState::Refused { cause, .. } => Phase::Failed(cause),
            JobState::Cancelled => Phase::Cancelled,
        };
    }

    /// A job that was refused, with what it was refused for permitted.
    pub fn permitting(&self, id: JobId, permit: Permit) -> Option<Job> {
        self.entries.iter().find(|entry| entry.id == id)?.job.as_ref()?.permitting(permit)
    }

    /// A job begins with this many candidates in the workspace.
    pub fn begins_with(&mut self, id: JobId, candidates: usize) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) {
            entry.candidates_before = candidates;
        }
    }

    /// Title of the last job worth mentioning and what of it failed, if some of it did.
    pub fn last_incomplete(&self) -> Option<(&'static str, &str)> {
        let last = self.entries.iter().rfind(|entry| entry.ended_secs.is_some() && !entry.kind.is_quiet())?;
        match &last.phase {
            Phase::Incomplete(line) => Some((last.kind.title(), line)),
            _ => None,
        }
    }

    /// All of them, in the order they were started.
    pub fn all(&self) -> &[JobEntry] {
        &self.entries
    }

    /// The job that runs or is held.
    pub fn current(&self) -> Option<&JobEntry> {
        self.entries.iter().find(|entry| matches!(entry.phase, Phase::Running | Phase::Paused))
    }

    /// Jobs that are not over.
    pub fn active(&self) -> impl Iterator<Item = &JobEntry> {
        self.entries.iter().filter(|entry| entry.ended_secs.is_none())
    }

    /// Whether a job of a kind waits or runs.
    pub fn is_active(&self, kinds: &[Kind]) -> bool {
        self.active().any(|entry| kinds.contains(&entry.kind))
    }

    /// The kind of a job of this client.
    pub fn kind(&self, id: JobId) -> Option<Kind> {
        self.entries.iter().find(|entry| entry.id == id).map(|entry| entry.kind)
    }

    /// Name of a job.
    pub fn title(&self, id: JobId) -> &'static str {
        self.kind(id).map_or("Job", Kind::title)
    }

    /// See [`Kind::is_quiet`]; jobs of another client are.
    pub fn is_quiet(&self, id: JobId) -> bool {
        self.kind(id).is_none_or(Kind::is_quiet)
    }
}
