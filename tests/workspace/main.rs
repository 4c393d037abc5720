//! The workspace from outside: as a folder, as a place to save to, and among processes.

mod damage;
mod folder;
mod processes;
mod saving;
mod support;
