//! A migration tool's directory.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cratestack_schema::File;

use super::Failure;

/// One more than the highest `V<number>__…` in the directory.
pub(super) fn next_number(directory: Option<&Path>) -> Result<String, Failure> {
    let Some(directory) = directory.filter(|directory| directory.exists()) else { return Ok("1".to_owned()) };
    let entries = fs::read_dir(directory).map_err(|error| Failure::new("--out", error))?;
    let highest = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let version = name.to_str()?.strip_prefix('V')?.split("__").next()?.to_owned();
            // Flyway's `V1.2__…` comes before `V2__…`.
            version.split(['.', '_']).next()?.parse::<u64>().ok()
        })
        .max();
    Ok((highest.unwrap_or(0).saturating_add(1)).to_string())
}

/// Writes all of the files, or none where one of them is there already.
pub(super) fn write(directory: &Path, files: &[File]) -> Result<Vec<PathBuf>, Failure> {
    let paths: Vec<_> = files.iter().map(|file| directory.join(&file.path)).collect();
    if let Some(there) = paths.iter().find(|path| path.exists()) {
        return Err(Failure(format!("--out: {} is there already; move it, or give another --number", there.display())));
    }
    for (path, file) in paths.iter().zip(files) {
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            let mut opened = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
            opened.write_all(file.text.as_bytes())
        });
        written.map_err(|error| Failure(format!("--out: cannot write {}: {error}", path.display())))?;
    }
    Ok(paths)
}
