//! The statements by which an operator looks at records and removes them. The command and the stores of
//! `cratestack-runtime` run the same ones, so that what one of them shows is what the other removes.

mod removal;
mod select;
#[cfg(test)]
mod tests;

use crate::dialect::Dialect;
use crate::table::columns::{CREATED_AT, EXPIRES_AT, RESPONSE_STATUS};
use crate::upkeep::lease_end;

pub use self::removal::Removal;
pub use self::select::{KeyFilter, NamespaceFilter, PrincipalFilter, RecordFilter};

/// What stands between a namespace and the principal after it in a row's `principal_fingerprint`.
///
/// ```
/// assert_eq!(cratestack_schema::NAMESPACE_MARK.to_string(), "→");
/// ```
pub const NAMESPACE_MARK: char = '\u{2192}';

/// Where a record is in its life.
///
/// ```
/// use cratestack_schema::RecordState;
///
/// assert_eq!("past_lease".parse(), Ok(RecordState::PastLease));
/// assert_eq!(RecordState::InFlight.to_string(), "in_flight");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordState {
    /// Reserved, within its lease: its request is running.
    InFlight,
    /// Reserved, and its lease has ended without an outcome: its process is gone or silent, and its effect may have
    /// happened.
    PastLease,
    /// It holds an outcome, which is replayed.
    Finished,
    /// Its retention has ended: it counts for nobody, and a sweep deletes it.
    Expired,
}

impl RecordState {
    /// All of them.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::RecordState::ALL.len(), 4);
    /// ```
    pub const ALL: [Self; 4] = [Self::InFlight, Self::PastLease, Self::Finished, Self::Expired];

    /// The name that statements return and the command prints.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::RecordState::Finished.name(), "finished");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::PastLease => "past_lease",
            Self::Finished => "finished",
            Self::Expired => "expired",
        }
    }
}

impl std::fmt::Display for RecordState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for RecordState {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| format!("there is no state {name:?}; there are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// A statement's text and what is bound to it, in order.
///
/// ```
/// use cratestack_schema::{Dialect, RecordFilter, StatementValue, TableName};
///
/// let statement = TableName::default().records(Dialect::Sqlite, &RecordFilter::one("alice", "8e03"), 1);
/// assert_eq!(statement.values[0], StatementValue::Text("alice".to_owned()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text.
    pub text: String,
    /// Its parameters.
    pub values: Vec<StatementValue>,
}

/// A parameter of a [`Statement`].
///
/// ```
/// assert_ne!(cratestack_schema::StatementValue::Integer(1), cratestack_schema::StatementValue::Text("1".to_owned()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementValue {
    /// TEXT.
    Text(String),
    /// BIGINT, INTEGER.
    Integer(i64),
}

/// A text as it grows, and the parameters that it has so far.
struct Builder {
    dialect: Dialect,
    values: Vec<StatementValue>,
}

impl Builder {
    fn new(dialect: Dialect) -> Self {
        Self { dialect, values: Vec::new() }
    }

    fn text(&mut self, text: &str) -> String {
        self.parameter(StatementValue::Text(text.to_owned()), "text")
    }

    fn integer(&mut self, integer: i64) -> String {
        self.parameter(StatementValue::Integer(integer), "bigint")
    }

    fn parameter(&mut self, value: StatementValue, kind: &str) -> String {
        self.values.push(value);
        let number = self.values.len();
        match self.dialect {
            Dialect::Postgres => format!("${number}::{kind}"),
            Dialect::Sqlite => format!("?{number}"),
        }
    }

    fn statement(self, text: String) -> Statement {
        Statement { text, values: self.values }
    }
}

/// The SQL expression for the state of the row `held`, all of it as of one moment.
///
/// On Postgres that is when the statement's transaction began. A removal may wait for a lock after that; a lease that
/// ends meanwhile still counts then, so what is judged late is judged to be running rather than dead.
fn state(dialect: Dialect) -> String {
    let (now, lease) = (dialect.now(), lease_end("held"));
    let [in_flight, past_lease, finished, expired] = RecordState::ALL.map(RecordState::name);
    format!(
        "CASE WHEN held.{EXPIRES_AT} <= {now} THEN '{expired}' WHEN held.{RESPONSE_STATUS} IS NOT NULL THEN '{finished}'
            WHEN {lease} <= {now} THEN '{past_lease}' ELSE '{in_flight}' END"
    )
}

/// Since when the row `held` has been in its state.
fn since(dialect: Dialect) -> String {
    let (now, lease) = (dialect.now(), lease_end("held"));
    format!(
        "CASE WHEN held.{EXPIRES_AT} <= {now} THEN held.{EXPIRES_AT}
            WHEN held.{RESPONSE_STATUS} IS NULL AND {lease} <= {now} THEN {lease} ELSE held.{CREATED_AT} END"
    )
}

/// A moment of the table as milliseconds after the Unix epoch.
///
/// Of what an operator keeps for ever with `infinity`, Postgres knows no number; the last day of 9999 stands for it.
fn millis(dialect: Dialect, moment: &str) -> String {
    match dialect {
        Dialect::Postgres => format!(
            "(GREATEST(LEAST(EXTRACT(EPOCH FROM {moment})::float8, 253402214400), -62135596800) * 1000)::bigint"
        ),
        Dialect::Sqlite => moment.to_owned(),
    }
}
