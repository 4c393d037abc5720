//! DP²O itself: reward, curation, HPO weights, loss, training, evaluation.
//!
//! Nothing in these files knows a disk or a window, and only the trainer knows a network, so that the command line, the
//! studio and the trainer all get the same answer from the same few lines. The order of the method, one file a step:
//!
//! 1. [`recipe`]: every setting, [`choices`]: their words, [`fields`]: what each of them means, [`presets`]: named sets of them. [`idle`]: which do
//!    nothing, [`resume`]: which make another run.
//! 2. [`scores`]: the raw scores (group × metric × seed) as one flat table.
//! 3. [`bounds`]: minimum and maximum of each metric. [`reward`]: the hybrid perceptual reward R of a candidate.
//!    [`attribution`]: which metric decides the ranking, [`balance`]: weights under which all do.
//! 4. [`curation`]: rank each group, take N² pairs. [`overrides`]: what a person said about single pairs.
//! 5. [`hpo`]: weights of the pairs. [`summary`]: their histograms and the effect of an edit.
//! 6. [`loss`]: the Diffusion-DPO loss of a pair and its derivative. [`objective`]: others beside it. [`slopes`]: their derivatives
//!    on a device that is not waited for.
//! 7. [`trainer`]: makes the steps, on pairs in the [`order`] of a seed made into a [`batch`], with the weights of a
//!    [`policy`].
//! 8. [`statistics`]: Best@m, Mean@m, Worst@m and the spread over seeds. [`evaluation`]: two checkpoints compared,
//!    [`intervals`]: what of it may be chance, [`changes`]: candidate by candidate, [`provenance`]: on which images, and whether they were seen, [`notes`]: that in words. [`alarms`]: what in
//!    a run needs a look, [`learning`]: a run in one line. [`sweep`]: many runs side by side.
//!
//! Sources: Wu et al., "DP²O-SR: Direct Perceptual Preference Optimization for Real-World Image
//! Super-Resolution", NeurIPS 2025, arXiv 2510.18851; Wallace et al., "Diffusion Model Alignment Using Direct
//! Preference Optimization", arXiv 2311.12908.
//!
//! Conventions shared by all files:
//!
//! * A *group* is the M candidates of one LR image; a candidate's *seed* is its column, `0..M`, as `u16`.
//! * Inside flat `f64` arrays NaN means "absent" and nothing else: real scores are finite, which
//!   [`scores::ScoreTable::set`] enforces. Accessors that hand out single values return `Option`.
//! * Every standard deviation is the population's (divided by the count, as `numpy.std` does).

pub mod agreement;
pub mod alarms;
pub mod attribution;
pub mod balance;
mod batch;
pub mod blind;
pub mod bounds;
pub mod changes;
pub mod choices;
pub mod curation;
pub mod evaluation;
pub mod fields;
pub mod hpo;
pub mod idle;
pub mod intervals;
pub mod learning;
pub mod loss;
pub mod notes;
pub mod objective;
pub mod order;
pub mod overrides;
pub mod pair;
pub mod policy;
pub mod presets;
pub mod provenance;
pub mod recipe;
mod recipe_file;
pub mod regardless;
pub mod resume;
pub mod reward;
pub mod scores;
pub mod seed_effect;
mod settings;
mod slopes;
pub mod statistics;
pub mod summary;
pub mod sweep;
pub mod trainer;
pub mod value;
