//! The workspace from outside: as a folder, as a place to save to, and among processes.

mod folder;
mod processes;
mod saving;
mod support;
