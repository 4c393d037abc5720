//! Which images the library shows, and in which order.

use crate::app::state::State;
use crate::workspace::{ImageId, ImageRow, Split};

/// What the images are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    #[default]
    Added,
    Name,
    Seeds,
    Reward,
    Spread,
}

impl SortBy {
    /// All of them, in the order they are offered.
    pub const ALL: [SortBy; 5] = [SortBy::Added, SortBy::Name, SortBy::Seeds, SortBy::Reward, SortBy::Spread];

    /// Its name on the screen.
    pub fn title(self) -> &'static str {
        match self {
            SortBy::Added => "Added",
            SortBy::Name => "Name",
            SortBy::Seeds => "Seeds done",
            SortBy::Reward => "Mean reward",
            SortBy::Spread => "Spread σ",
        }
    }
}

/// Which images are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    #[default]
    All,
    Training,
    HeldOut,
    Validation,
    Test,
    Incomplete,
    WithoutHr,
}

impl Show {
    /// All of them, in the order they are offered.
    pub const ALL: [Show; 7] =
        [Show::All, Show::Training, Show::HeldOut, Show::Validation, Show::Test, Show::Incomplete, Show::WithoutHr];

    /// Its name on the screen.
    pub fn title(self) -> &'static str {
        match self {
            Show::All => "All",
            Show::Training => "Training",
            Show::HeldOut => "Held out",
            Show::Validation => "Validation",
            Show::Test => "Test",
            Show::Incomplete => "Seeds missing",
            Show::WithoutHr => "Without HR",
        }
    }
}

/// The images that pass the filters, sorted.
pub fn sorted(state: &State, settings: &(SortBy, bool, Show, String)) -> Vec<ImageId> {
    let (by, descending, show, filter) = settings;
    let Some(library) = &state.library else { return Vec::new() };
    let wanted = filter.trim().to_lowercase();
    let m = state.recipe.edited.sampling.m;
    let passes = |index: usize, image: &ImageRow| {
        let of_kind = match show {
            Show::All => true,
            Show::Training => !image.is_held_out(),
            Show::HeldOut => image.is_held_out(),
            Show::Validation => image.split == Split::Validation,
            Show::Test => image.split == Split::Test,
            Show::Incomplete => (library.sampled[index] as usize) < m,
            Show::WithoutHr => image.hr_path.is_none(),
        };
        of_kind && (wanted.is_empty() || image.name.to_lowercase().contains(&wanted))
    };
    let mut places: Vec<usize> =
        library.images.iter().enumerate().filter(|(index, image)| passes(*index, image)).map(|(i, _)| i).collect();
    let stat = |index: usize| {
        let stats = state.rewards.as_ref().and_then(|rewards| rewards.stats(library.images[index].id));
        stats.map_or(f64::NAN, |s| if *by == SortBy::Reward { s.mean } else { s.sigma })
    };
    match by {
        SortBy::Added => {}
        SortBy::Name => places.sort_by_cached_key(|&i| library.images[i].name.to_lowercase()),
        SortBy::Seeds => places.sort_by_key(|&i| library.sampled[i]),
        SortBy::Reward | SortBy::Spread => {
            // Images without a figure stay at the end either way.
            let key = |i: &usize| stat(*i);
            places.sort_by(|a, b| match (key(a), key(b)) {
                (a, b) if a.is_nan() || b.is_nan() => (a.is_nan() != *descending).cmp(&(b.is_nan() != *descending)),
                (a, b) => a.total_cmp(&b),
            });
        }
    }
    if *descending {
        places.reverse();
    }
    places.into_iter().map(|i| library.images[i].id).collect()
}
