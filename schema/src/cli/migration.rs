//! `migration`

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use cratestack_schema::{Format, IDEMPOTENCY, MigrationError, MigrationFile, Numbering};

use crate::options::{Place, version};
use crate::output::{Failure, print};

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
        let numbering = Numbering {
            unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            next: self.out.as_deref().map_or(1, next_number),
        };
        let to = self.to.unwrap_or(IDEMPOTENCY.latest());
        let files =
            self.place.layout()?.files(self.place.dialect, self.format, self.from, to, numbering).map_err(|error| {
                match error {
                    MigrationError::Name(_) => Failure::of("--table", error),
                    _ => Failure::of("--from and --to", error),
                }
            })?;
        match &self.out {
            None => show(&files)?,
            Some(folder) => write(folder, &files)?,
        }
        Ok(ExitCode::SUCCESS)
    }
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

/// The number after the last of refinery's migrations in the folder (`V12__name.sql`, `U3__name.rs`).
fn next_number(folder: &Path) -> u32 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_prefix(['V', 'U'])?.split_once("__")?.0.parse::<u32>().ok()
    });
    numbers.max().map_or(1, |last| last.saturating_add(1))
}
