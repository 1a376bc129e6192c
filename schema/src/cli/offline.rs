//! The commands that connect to nothing: `ddl` and `migration`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use cratestack_schema::{Format, IDEMPOTENCY, Layout, MigrationError, MigrationFile, Numbering};

use crate::options::{Place, version};
use crate::output::{Failure, print};

#[derive(Args)]
pub struct Ddl {
    #[command(flatten)]
    place: Place,

    /// The version of the table: 1, or 2 with leases [default: the latest]
    #[arg(long, value_name = "N", value_parser = version)]
    version: Option<u32>,
}

impl Ddl {
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let version = self.version.unwrap_or(IDEMPOTENCY.latest());
        print(&self.place.layout()?.ddl(self.place.dialect, version)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
pub struct Migration {
    /// The tool that will run the migration
    #[arg(long, value_name = "TOOL", default_value_t = Format::Plain, value_parser = formats())]
    format: Format,

    #[command(flatten)]
    place: Place,

    /// The version that the database has; 0 where it has no table
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = from)]
    from: u32,

    /// The version to arrive at [default: the latest]
    #[arg(long, value_name = "N", value_parser = version)]
    to: Option<u32>,

    /// The tool's folder of migrations; created if missing
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name)).try_map(|name| name.parse::<Format>())
}

fn from(text: &str) -> Result<u32, String> {
    if text == "0" { Ok(0) } else { version(text).map_err(|versions| format!("{versions}, and 0 for no table")) }
}

impl Migration {
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let numbering = Numbering {
            unix_seconds: self.out.as_deref().and_then(next_second).map_or(now, |next| next.max(now)),
            next: self.out.as_deref().map_or(1, next_number),
        };
        let to = self.to.unwrap_or(IDEMPOTENCY.latest());
        let layout = self.place.layout()?;
        let files = layout.files(self.place.dialect, self.format, self.from, to, numbering).map_err(|error| {
            let flag = if matches!(error, MigrationError::Name(_)) { "--table" } else { "--from and --to" };
            Failure::of(flag, error)
        })?;
        match &self.out {
            None => show(&files)?,
            Some(folder) => {
                self.is_new(folder, &layout, to)?;
                write(folder, &files)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Migration {
    /// Refuses what the folder has already. Under a new number the tool would run it: its way up does nothing, and its
    /// way back drops the table that the first one made.
    fn is_new(&self, folder: &Path, layout: &Layout, to: u32) -> Result<(), Failure> {
        let Some((version, path)) = written(folder, layout) else { return Ok(()) };
        if version >= to {
            let text = format!(
                "{} leads to version {version} already, so nothing was written: undoing a second migration of the same \
                 would drop the table. To write it anew, delete that one first, if no database has run it",
                path.display()
            );
            return Err(Failure::of("--out", text));
        }
        if self.from < version {
            let text = format!(
                "{} leads to version {version} already, so nothing was written: to go on from there, say --from \
                 {version}",
                path.display()
            );
            return Err(Failure::of("--from", text));
        }
        Ok(())
    }
}

/// The migration in the folder that leads to the newest version of the table.
fn written(folder: &Path, layout: &Layout) -> Option<(u32, PathBuf)> {
    let version = |name: String| {
        // Diesel has a folder for each migration.
        let inner = if folder.join(&name).is_dir() { format!("{name}/up.sql") } else { name };
        let path = folder.join(&inner);
        let contents = fs::read_to_string(&path).ok()?;
        Some((layout.version_of(&inner, &contents)?, path))
    };
    file_names(folder).filter_map(version).max()
}

fn show(files: &[MigrationFile]) -> Result<(), Failure> {
    let texts: Vec<_> = files.iter().map(|file| format!("-- file: {}\n{}", file.path, file.contents)).collect();
    print(&texts.join("\n"))
}

fn write(folder: &Path, files: &[MigrationFile]) -> Result<(), Failure> {
    let refused = |path: &Path, error: std::io::Error| Failure::of("--out", format!("{}: {error}", path.display()));
    for file in files {
        let path = folder.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| refused(parent, error))?;
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut created| created.write_all(file.contents.as_bytes()))
            .map_err(|error| refused(&path, error))?;
        print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}

fn file_names(folder: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok())
}

/// The number after the last of refinery's migrations in the folder (`V12__name.sql`, `U3__name.rs`).
fn next_number(folder: &Path) -> u32 {
    let numbers =
        file_names(folder).filter_map(|name| name.strip_prefix(['V', 'U'])?.split_once("__")?.0.parse::<u32>().ok());
    numbers.max().map_or(1, |last| last.saturating_add(1))
}

/// The second after the last migration in the folder that is numbered by its time (`20260131093000_name.sql`,
/// `V2026…`, `2026-01-31-093000_name`).
///
/// Tools take two migrations of one second for the same, and skip the second; and one that another clock dated ahead is
/// still to come first.
fn next_second(folder: &Path) -> Option<u64> {
    let times = file_names(folder).filter_map(|name| {
        let number = name.trim_start_matches(['V', 'U']).split('_').next()?.replace('-', "");
        unix_seconds(&number)
    });
    times.max().map(|last| last + 1)
}

/// Of a time in UTC, such as `20260131093000`.
fn unix_seconds(digits: &str) -> Option<u64> {
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |range| digits.get(range).and_then(|part: &str| part.parse::<u64>().ok());
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March end with the day that leap years add.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let seconds = part(8..10)? * 3_600 + part(10..12)? * 60 + part(12..14)?;
    Some((days.checked_sub(719_468)?) * 86_400 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (digits, seconds) in [
            ("19700101000000", 0),
            ("20000229000000", 951_782_400),
            ("20241231235959", 1_735_689_599),
            ("21000301000000", 4_107_542_400),
        ] {
            assert_eq!(unix_seconds(digits), Some(seconds), "{digits}");
        }
        for other in ["", "1", "2026013109300", "20261331093000", "2026013109300x", "００００"] {
            assert_eq!(unix_seconds(other), None, "{other}");
        }
    }

    #[test]
    fn what_follows_is_numbered_later() {
        let folder = std::env::temp_dir().join(format!("cratestack-schema-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(next_second(&folder), None);
        for name in ["V7__a.sql", "20000229000000_a.sql", "2024-12-31-235959_b", "V20000101000000__c.sql", "notes"] {
            fs::write(folder.join(name), "").unwrap();
        }
        assert_eq!((next_second(&folder), next_number(&folder)), (Some(1_735_689_600), 8));
        fs::remove_dir_all(&folder).unwrap();
    }
}
