use crate::dialect::{Dialect, SQLITE_NOW};

/// The table's name.
///
/// ```
/// assert_eq!(cratestack_schema::TABLE, "cratestack_idempotency");
/// ```
pub const TABLE: &str = "cratestack_idempotency";

/// First half of the keys of every advisory lock that is taken for the table ("crst"), so that they meet nobody else's.
///
/// ```
/// assert_eq!(cratestack_schema::LOCK_CLASS.to_be_bytes(), *b"crst");
/// ```
pub const LOCK_CLASS: i32 = 0x6372_7374;

/// What the name of a table's index adds to the table's own.
pub(crate) const INDEX_SUFFIX: &str = "_expires_idx";

/// The columns' names, for those who write statements.
///
/// ```
/// use cratestack_schema::{IDEMPOTENCY, columns};
///
/// assert_eq!(IDEMPOTENCY.primary_key, [columns::PRINCIPAL_FINGERPRINT, columns::KEY]);
/// ```
pub mod columns {
    /// Whom the key belongs to.
    pub const PRINCIPAL_FINGERPRINT: &str = "principal_fingerprint";
    /// The idempotency key.
    pub const KEY: &str = "key";
    /// What the request looked like, 32 bytes.
    pub const REQUEST_HASH: &str = "request_hash";
    /// The token of the current reservation.
    pub const RESERVATION_ID: &str = "reservation_id";
    /// The recorded status; NULL while the request is in flight.
    pub const RESPONSE_STATUS: &str = "response_status";
    /// The recorded headers.
    pub const RESPONSE_HEADERS: &str = "response_headers";
    /// The recorded body.
    pub const RESPONSE_BODY: &str = "response_body";
    /// When the key was reserved.
    pub const CREATED_AT: &str = "created_at";
    /// When the row may be deleted or replaced.
    pub const EXPIRES_AT: &str = "expires_at";
    /// When a reservation that nobody renews is up for takeover (version 2).
    pub const LEASE_EXPIRES_AT: &str = "lease_expires_at";
    /// How many reservations this execution has needed so far (version 2).
    pub const ATTEMPT: &str = "attempt";
    /// The steps that a run has recorded, one after the other (version 3).
    pub const STEPS: &str = "steps";
    /// Whose steps they are: they count where this is the reservation's own token (version 3).
    pub const STEPS_TOKEN: &str = "steps_token";
}

/// The table that `cratestack-runtime` keeps its records in.
///
/// ```
/// use cratestack_schema::IDEMPOTENCY;
///
/// let added: Vec<_> = IDEMPOTENCY.columns.iter().filter(|column| column.since == 2).map(|column| column.name).collect();
/// assert_eq!(added, ["lease_expires_at", "attempt"]);
/// ```
pub const IDEMPOTENCY: Table = Table {
    name: TABLE,
    columns: &[
        Column::new(columns::PRINCIPAL_FINGERPRINT, "TEXT", "TEXT").not_null(),
        Column::new(columns::KEY, "TEXT", "TEXT").not_null(),
        Column::new(columns::REQUEST_HASH, "BYTEA", "BLOB").not_null(),
        Column::new(columns::RESERVATION_ID, "UUID", "BLOB").not_null(),
        Column::new(columns::RESPONSE_STATUS, "INT", "INTEGER"),
        Column::new(columns::RESPONSE_HEADERS, "BYTEA", "BLOB"),
        Column::new(columns::RESPONSE_BODY, "BYTEA", "BLOB"),
        Column::new(columns::CREATED_AT, "TIMESTAMPTZ", "INTEGER").not_null().default("NOW()", SQLITE_NOW),
        Column::new(columns::EXPIRES_AT, "TIMESTAMPTZ", "INTEGER").not_null(),
        Column::new(columns::LEASE_EXPIRES_AT, "TIMESTAMPTZ", "INTEGER").since(2),
        Column::new(columns::ATTEMPT, "INT", "INTEGER").since(2),
        Column::new(columns::STEPS, "BYTEA", "BLOB").since(3),
        Column::new(columns::STEPS_TOKEN, "UUID", "BLOB").since(3),
    ],
    primary_key: &[columns::PRINCIPAL_FINGERPRINT, columns::KEY],
    index: Index { name: "cratestack_idempotency_expires_idx", columns: &[columns::EXPIRES_AT] },
    // Measured, see docs/schema.md. A tenth of each page is left for the update that records the outcome, which then
    // touches no index; and as every row is deleted in the end, a fiftieth of the table is enough for a vacuum.
    storage: &[
        StorageOption { name: "fillfactor", value: "90", since: 2 },
        StorageOption { name: "autovacuum_vacuum_scale_factor", value: "0.02", since: 2 },
        StorageOption { name: "autovacuum_analyze_scale_factor", value: "0.02", since: 2 },
    ],
};

/// A table, in all its versions and dialects.
///
/// Rendered with [`ddl`](Self::ddl) and [`migration`](Self::migration).
///
/// ```
/// assert_eq!(cratestack_schema::IDEMPOTENCY.latest(), 3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table {
    /// The table's name.
    pub name: &'static str,
    /// Its columns, in order; those of a later version come last.
    pub columns: &'static [Column],
    /// The columns that identify a row.
    pub primary_key: &'static [&'static str],
    /// The index that finds expired rows.
    pub index: Index,
    /// How Postgres stores it.
    pub storage: &'static [StorageOption],
}

impl Table {
    /// The newest version.
    ///
    /// ```
    /// use cratestack_schema::IDEMPOTENCY;
    ///
    /// assert!(IDEMPOTENCY.columns.iter().all(|column| column.since <= IDEMPOTENCY.latest()));
    /// ```
    pub const fn latest(&self) -> u32 {
        // Each version adds its columns after those that were there.
        match self.columns {
            [.., newest] => newest.since,
            [] => 1,
        }
    }
}

/// A column, in all dialects.
///
/// ```
/// use cratestack_schema::{Dialect, IDEMPOTENCY, columns};
///
/// let status = IDEMPOTENCY.columns.iter().find(|column| column.name == columns::RESPONSE_STATUS).unwrap();
/// assert_eq!(status.data_type(Dialect::Postgres), "INT");
/// assert_eq!(status.data_type(Dialect::Sqlite), "INTEGER");
/// assert!(status.nullable);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// The column's name.
    pub name: &'static str,
    /// Whether it can be NULL.
    pub nullable: bool,
    /// The version of the table that added it.
    pub since: u32,
    types: PerDialect,
    default: Option<PerDialect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PerDialect {
    postgres: &'static str,
    sqlite: &'static str,
}

impl PerDialect {
    const fn get(self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Postgres => self.postgres,
            Dialect::Sqlite => self.sqlite,
        }
    }
}

impl Column {
    const fn new(name: &'static str, postgres: &'static str, sqlite: &'static str) -> Self {
        Self { name, nullable: true, since: 1, types: PerDialect { postgres, sqlite }, default: None }
    }

    const fn not_null(mut self) -> Self {
        self.nullable = false;
        self
    }

    const fn default(mut self, postgres: &'static str, sqlite: &'static str) -> Self {
        self.default = Some(PerDialect { postgres, sqlite });
        self
    }

    const fn since(mut self, version: u32) -> Self {
        self.since = version;
        self
    }

    /// The column's type.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY};
    ///
    /// assert_eq!(IDEMPOTENCY.columns[0].data_type(Dialect::Postgres), "TEXT");
    /// ```
    pub const fn data_type(&self, dialect: Dialect) -> &'static str {
        self.types.get(dialect)
    }

    /// The SQL expression that fills the column where an insert leaves it out.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, columns};
    ///
    /// let created_at = IDEMPOTENCY.columns.iter().find(|column| column.name == columns::CREATED_AT).unwrap();
    /// assert_eq!(created_at.default_expression(Dialect::Postgres), Some("NOW()"));
    /// ```
    pub fn default_expression(&self, dialect: Dialect) -> Option<&'static str> {
        self.default.map(|default| default.get(dialect))
    }
}

/// A storage option of Postgres. An operator may set another value: that is no drift.
///
/// ```
/// use cratestack_schema::IDEMPOTENCY;
///
/// assert!(IDEMPOTENCY.storage.iter().any(|option| option.name == "fillfactor"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageOption {
    /// The option's name.
    pub name: &'static str,
    /// Its value.
    pub value: &'static str,
    /// The version of the table that set it.
    pub since: u32,
}

/// An index.
///
/// ```
/// assert_eq!(cratestack_schema::IDEMPOTENCY.index.columns, ["expires_at"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Index {
    /// The index's name.
    pub name: &'static str,
    /// The columns that it is over.
    pub columns: &'static [&'static str],
}
