//! Options that several commands have.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use cratestack_schema::{Dialect, IDEMPOTENCY, Layout, TableName};

use crate::output::Failure;

#[derive(Args)]
pub struct Name {
    /// The table's name, as it is spelled without quotes
    #[arg(long, value_name = "NAME", default_value = cratestack_schema::TABLE)]
    table: String,

    /// The schema that the table is in [default: where the database looks for it]
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
}

impl Name {
    /// Nothing where no name is given; else the flag that gives one.
    #[cfg(feature = "redis")]
    pub fn unsaid(&self) -> Result<(), &'static str> {
        match self {
            Self { schema: Some(_), .. } => Err("--schema"),
            Self { table, .. } if table != cratestack_schema::TABLE => Err("--table"),
            Self { .. } => Ok(()),
        }
    }

    pub fn checked(&self, dialect: Dialect) -> Result<TableName, Failure> {
        TableName::new(self.schema.as_deref(), &self.table)
            .and_then(|name| name.check(dialect).map(|()| name))
            .map_err(|error| Failure::of(if error.is_schema() { "--schema" } else { "--table" }, error))
    }
}

#[derive(Args)]
pub struct Place {
    /// The database to write for
    #[arg(long, value_name = "DIALECT", default_value_t = Dialect::Postgres, value_parser = dialects())]
    pub dialect: Dialect,

    #[command(flatten)]
    name: Name,

    /// Spread a new table over this many hash partitions; Postgres only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    partitions: Option<u16>,
}

impl Place {
    pub fn layout(&self) -> Result<Layout, Failure> {
        let layout = Layout::new(self.name.checked(self.dialect)?);
        match self.partitions {
            Some(_) if self.dialect != Dialect::Postgres => Err(Failure::of(
                "--partitions",
                format!("{} has none; leave it out, or say --dialect postgres", self.dialect),
            )),
            Some(count) => Ok(layout.partitions(count)),
            None => Ok(layout),
        }
    }
}

fn dialects() -> impl TypedValueParser<Value = Dialect> {
    PossibleValuesParser::new(Dialect::ALL.map(Dialect::name)).try_map(|name| name.parse::<Dialect>())
}

pub fn version(text: &str) -> Result<u32, String> {
    let latest = IDEMPOTENCY.latest();
    match text.parse() {
        Ok(version) if (1..=latest).contains(&version) => Ok(version),
        _ => {
            let versions: Vec<_> = (1..=latest).map(|version| version.to_string()).collect();
            Err(format!("the versions are {}", versions.join(", ")))
        }
    }
}
