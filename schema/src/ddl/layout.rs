use std::fmt;

use crate::name::TableName;
use crate::table::{IDEMPOTENCY, INDEX_SUFFIX, Table};

/// Where the table is and how it is laid out there: what the text of its DDL depends on besides dialect and version.
///
/// ```
/// use cratestack_schema::{Dialect, Layout, TableName};
///
/// let layout = Layout::new(TableName::new(Some("payments"), "keys")?);
/// let ddl = layout.ddl(Dialect::Postgres, 1)?;
/// assert!(ddl.starts_with(r#"CREATE TABLE IF NOT EXISTS "payments"."keys" ("#));
/// assert!(ddl.contains(r#"CREATE INDEX IF NOT EXISTS "keys_expires_idx""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub(super) table: Table,
    pub(super) name: TableName,
    pub(super) partitions: Option<u16>,
}

impl Default for Layout {
    fn default() -> Self {
        Self::new(TableName::default())
    }
}

impl Layout {
    /// A plain table of this name.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, Layout, TableName};
    ///
    /// let layout = Layout::new(TableName::default());
    /// assert_eq!(layout.ddl(Dialect::Postgres, 2), IDEMPOTENCY.ddl(Dialect::Postgres, 2));
    /// ```
    pub fn new(name: TableName) -> Self {
        Self { table: IDEMPOTENCY, name, partitions: None }
    }

    /// Spread over this many hash partitions, which each have a vacuum of their own. Postgres only.
    ///
    /// A key is found in its partition alone, so a store on the table does nothing else than on a plain one.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, Layout};
    ///
    /// let ddl = Layout::default().partitions(4).ddl(Dialect::Postgres, 1)?;
    /// assert!(ddl.contains(") PARTITION BY HASH (principal_fingerprint, key);"));
    /// assert_eq!(ddl.matches("PARTITION OF").count(), 4);
    /// # Ok::<(), cratestack_schema::UnknownVersion>(())
    /// ```
    #[must_use]
    pub fn partitions(mut self, count: u16) -> Self {
        self.partitions = (count > 0).then_some(count);
        self
    }

    /// The table's name.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::Layout::default().name().table(), "cratestack_idempotency");
    /// ```
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// The name of the table's index.
    ///
    /// ```
    /// use cratestack_schema::{IDEMPOTENCY, Layout};
    ///
    /// assert_eq!(Layout::default().index_name(), IDEMPOTENCY.index.name);
    /// ```
    pub fn index_name(&self) -> String {
        self.name.derived(INDEX_SUFFIX)
    }

    pub(crate) fn is_partitioned(&self) -> bool {
        self.partitions.is_some()
    }

    pub(crate) fn check_version(&self, version: u32) -> Result<(), UnknownVersion> {
        let latest = self.table.latest();
        if (1..=latest).contains(&version) { Ok(()) } else { Err(UnknownVersion { asked: version, latest }) }
    }
}

/// A version that the table never had.
///
/// ```
/// use cratestack_schema::{Dialect, IDEMPOTENCY};
///
/// let error = IDEMPOTENCY.ddl(Dialect::Postgres, 9).unwrap_err();
/// assert_eq!(error.to_string(), "the table has no version 9; there are versions 1 to 2");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownVersion {
    asked: u32,
    latest: u32,
}

impl fmt::Display for UnknownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the table has no version {}; there are versions 1 to {}", self.asked, self.latest)
    }
}

impl std::error::Error for UnknownVersion {}
