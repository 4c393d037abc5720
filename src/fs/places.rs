//! Where this program keeps what belongs to no workspace.

use std::path::PathBuf;

use directories::ProjectDirs;

/// What lasts: weights that were added, the example. `None` without a home.
pub fn data_dir() -> Option<PathBuf> {
    project().map(|project| project.data_dir().to_owned())
}

/// What can be made again: measurements, hashes of files. `None` without a home.
pub fn cache_dir() -> Option<PathBuf> {
    project().map(|project| project.cache_dir().to_owned())
}

fn project() -> Option<ProjectDirs> {
    ProjectDirs::from("", "", "dp2o-studio")
}
