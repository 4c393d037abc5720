//! The words that settings of the recipe choose between.

use crate::words::words;

words! {
    /// By what a metric's scores are normalized before they are fused.
    pub enum Scope {
        /// Minimum and maximum of the reference's candidates of the whole set.
        Frozen = "frozen",
        /// Minimum and maximum of each group.
        PerGroup = "per_group",
        /// Mean and standard deviation of each group.
        Decoupled = "decoupled",
        /// Two quantiles of the reference's candidates of the whole set.
        Robust = "robust",
        /// Bounds of the recipe.
        Fixed = "fixed",
    }
}
impl Scope {
    /// Whether normalized scores are shares of a range, with a best of 1; z-scores have no end, and their 0 is the mean.
    pub fn has_best(self) -> bool {
        self != Scope::Decoupled
    }
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
    /// What a training step makes smaller; see [`objective`](super::objective).
    pub enum Objective {
        /// Diffusion-DPO, the paper's.
        Dpo = "dpo",
        /// A margin to reach instead of one to widen.
        Ipo = "ipo",
        /// DiffusionNFT: towards what is probably good, away from what is not.
        Nft = "nft",
        /// Group advantages inside the loss of `dpo`.
        Group = "group",
        /// Imitation of the winners.
        Sft = "sft",
    }
}
words! {
    /// How the times are drawn that are trained at.
    pub enum Times {
        /// As the backbone was trained.
        Backbone = "backbone",
        /// Every share of noise is as likely.
        Uniform = "uniform",
        /// Rather with much noise, where structure is decided.
        Noisy = "noisy",
        /// Rather with little noise, where texture is decided.
        Clean = "clean",
    }
}
words! {
    /// Which noise a pair is corrupted with.
    pub enum PairNoise {
        /// Drawn anew at each step.
        Drawn = "drawn",
        /// What the winner was drawn from.
        Winner = "winner",
    }
}
words! {
    /// What stands for the winner of a pair as it is trained on.
    pub enum Winners {
        /// The candidate that won.
        Best = "best",
        /// The HR image.
        Truth = "truth",
    }
}
words! {
    /// How much a time counts in the loss.
    pub enum TimeWeights {
        /// As any other.
        Equal = "equal",
        /// By min(SNR, 5): times that are nearly clean count no more than others.
        MinSnr = "min_snr",
    }
}
words! {
    /// Which model is π_ref in the rounds after the first.
    pub enum RoundReference { Original = "original", Last = "last" }
}

impl Scope {
    /// Whether bounds are needed that are fitted once and frozen: for the rewards, or because checkpoints are judged by them.
    pub fn needs_frozen(self) -> bool {
        matches!(self, Self::Frozen | Self::Robust | Self::Decoupled)
    }

    /// Whether checkpoints are judged on the frozen scale: every checkpoint has the same decoupled reward, 0 on average.
    pub fn is_judged_as_frozen(self) -> bool {
        self == Self::Decoupled
    }

    /// Whether HPO takes gaps and spreads as they would be on the frozen scale, where the paper's α = 1 belongs. With
    /// `per_group` they are taken as they are, as before there were other scopes.
    pub fn weighs_as_frozen(self) -> bool {
        matches!(self, Self::Decoupled | Self::Robust | Self::Fixed)
    }
}
