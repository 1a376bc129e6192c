//! What the commands say, and where.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write as _};
use std::process::ExitCode;

/// Why a command could not be carried out; the text names the flag to mend where one is at fault.
pub struct Failure(String);

impl Failure {
    pub fn of(flag: &str, error: impl Display) -> Self {
        Self(format!("{flag}: {error}"))
    }

    pub fn tell(self) -> ExitCode {
        eprintln!("{} {}", paint(&io::stderr(), "31", "error:"), self.0);
        ExitCode::from(2)
    }
}

/// Not of every error: what a database says is to be told in its own way.
macro_rules! failures {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self(error.to_string())
            }
        }
    )*};
}

failures!(io::Error, cratestack_schema::UnknownVersion);
#[cfg(feature = "live")]
failures!(cratestack_schema::Report);

/// Writes data.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        // `| head` has read enough, and that is no failure of ours.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::of("stdout", error)),
    }
}

/// In colour where a terminal shows it and nobody objects (<https://no-color.org>).
pub fn paint(stream: &impl IsTerminal, colour: &str, text: &str) -> String {
    let wanted = stream.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

/// A bar on a terminal; elsewhere nothing, so that a log has lines only.
#[cfg(feature = "live")]
pub struct Progress {
    total: u64,
    shown: bool,
}

#[cfg(feature = "live")]
impl Progress {
    pub fn new(total: u64) -> Self {
        Self { total, shown: io::stderr().is_terminal() }
    }

    pub fn show(&self, done: u64) {
        if !self.shown {
            return;
        }
        // More may expire meanwhile.
        let total = self.total.max(done).max(1);
        let filled = usize::try_from(done.saturating_mul(30) / total).unwrap_or_default();
        let bar = format!("{}{}", "#".repeat(filled), "-".repeat(30_usize.saturating_sub(filled)));
        eprint!("\r[{bar}] {done} of {total} rows");
        let _ = io::stderr().flush();
    }

    pub fn clear(&self) {
        if self.shown {
            eprint!("\r\x1b[2K");
        }
    }
}

/// What is shown may be a name out of a database, and must not steer the terminal that shows it.
#[cfg(feature = "live")]
pub fn visible(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

#[cfg(feature = "live")]
pub fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(feature = "live")]
pub fn bytes(count: i64) -> String {
    match count {
        ..10_240 => format!("{count} B"),
        10_240..10_485_760 => format!("{} KiB", count / 1_024),
        10_485_760..10_737_418_240 => format!("{} MiB", count / 1_048_576),
        _ => format!("{} GiB", count / 1_073_741_824),
    }
}
