//! A temporary folder of our own.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A folder nobody else can read; removed with all that is in it when dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes one under the system's temporary folder.
    pub(super) fn new() -> io::Result<Folder> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!("onceward-dev-{:016x}", u64::from_be_bytes(random));
        let path = std::env::temp_dir().join(name);
        // Fails when it exists, so nobody can have laid it out for us.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Folder(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("onceward dev: {} stays: {error}", self.0.display());
        }
    }
}
