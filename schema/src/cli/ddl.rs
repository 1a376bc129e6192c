//! `ddl`

use std::process::ExitCode;

use clap::Args;
use cratestack_schema::IDEMPOTENCY;

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
