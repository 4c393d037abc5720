//! The words that settings of the recipe choose between.

use crate::words::words;

words! {
    /// Over which candidates a metric's minimum and maximum are taken.
    pub enum Scope { Frozen = "frozen", PerGroup = "per_group" }
}
words! {
    /// Which weights are trained.
    pub enum Mode { Full = "full", Lora = "lora" }
}
words! {
    /// What becomes of the activations that the backward pass needs.
    pub enum Activations { Keep = "keep", Recompute = "recompute" }
}
words! {
    /// Whether pairs are trained on in all eight ways that a square can be turned and mirrored, drawn at random.
    pub enum Augmentation { None = "none", Turns = "turns" }
}
words! {
    /// Whether event files for TensorBoard are written beside a run.
    pub enum Events { Tensorboard = "tensorboard", Off = "off" }
}
words! {
    /// Which model is π_ref in the rounds after the first.
    pub enum RoundReference { Original = "original", Last = "last" }
}
