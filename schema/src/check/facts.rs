use std::fmt;

use super::{INSPECTION_COLUMNS, Report, postgres, sqlite};
use crate::{Column, Dialect, NamedTable, TableName};

/// What a database says of the table.
///
/// ```
/// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
///
/// let found = IDEMPOTENCY.named(TableName::default()).inspect(Dialect::Sqlite, []);
/// assert_eq!(found.version(), None);
/// assert!(found.upgrade()?[0].sql.starts_with("CREATE TABLE"));
/// # Ok::<(), cratestack_schema::Unusable>(())
/// ```
#[derive(Debug, Clone)]
pub struct Inspection {
    pub(crate) table: NamedTable,
    pub(crate) dialect: Dialect,
    rows: Vec<Fact>,
}

/// One row: what it is about, and what it says.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    kind: String,
    values: Vec<Option<String>>,
}

impl Fact {
    pub(super) fn get(&self, index: usize) -> Option<&str> {
        self.values.get(index)?.as_deref()
    }

    /// Text that is never NULL in a row of this kind.
    pub(super) fn text(&self, index: usize) -> &str {
        self.get(index).unwrap_or_default()
    }

    pub(super) fn is(&self, index: usize) -> bool {
        matches!(self.get(index), Some("true" | "t" | "1"))
    }

    /// A list of names.
    pub(super) fn list(&self, index: usize) -> Vec<&str> {
        self.text(index).split(SEPARATOR).filter(|part| !part.is_empty()).collect()
    }
}

/// Between the names of a list: nothing that a column of ours contains.
pub(super) const SEPARATOR: char = '\u{1f}';

impl Inspection {
    pub(super) fn new(
        table: NamedTable,
        dialect: Dialect,
        rows: impl IntoIterator<Item = [Option<String>; INSPECTION_COLUMNS]>,
    ) -> Self {
        let rows = rows
            .into_iter()
            .map(|row| {
                let mut values = row.into_iter();
                let kind = values.next().flatten().unwrap_or_default();
                Fact { kind, values: values.collect() }
            })
            .collect();
        Self { table, dialect, rows }
    }

    pub(super) fn all(&self, kind: &'static str) -> impl Iterator<Item = &Fact> {
        self.rows.iter().filter(move |fact| fact.kind == kind)
    }

    pub(super) fn one(&self, kind: &'static str) -> Option<&Fact> {
        self.all(kind).next()
    }

    pub(super) fn column(&self, name: &str) -> Option<&Fact> {
        self.all("column").find(|column| column.text(0) == name)
    }

    fn has(&self, column: &Column) -> bool {
        self.column(column.name).is_some()
    }

    /// Whether anything has the table's name.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    ///
    /// let table = IDEMPOTENCY.named(TableName::default());
    /// let mut row: [Option<String>; 10] = Default::default();
    /// row[0] = Some("relation".to_owned());
    /// assert!(table.inspect(Dialect::Postgres, [row]).is_there());
    /// ```
    pub fn is_there(&self) -> bool {
        self.one("relation").is_some()
    }

    /// The version that the table has reached; part of a version counts.
    ///
    /// ```
    /// # use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    /// assert_eq!(IDEMPOTENCY.named(TableName::default()).inspect(Dialect::Postgres, []).version(), None);
    /// ```
    pub fn version(&self) -> Option<u32> {
        if !self.is_there() {
            return None;
        }
        let latest = self.table.table.latest();
        let stored = self.storage();
        let mut reached = 1;
        for version in 2..=latest {
            let columns = self.table.table.columns.iter().filter(|column| column.since == version);
            let options = self.table.table.storage.iter().filter(|option| option.since == version);
            let began = columns.clone().any(|column| self.has(column))
                || options.clone().any(|option| stored.iter().any(|(_, set)| set.contains(&option.name)));
            // What changes nothing here is reached with the version before.
            let nothing_to_do = columns.count() == 0 && (stored.is_empty() || options.count() == 0);
            if began || (nothing_to_do && reached == version - 1) {
                reached = version;
            }
        }
        Some(reached)
    }

    /// Every relation that stores rows, with the options that are set on it.
    pub(super) fn storage(&self) -> Vec<(TableName, Vec<&str>)> {
        let names = |fact: &'static str| self.all(fact);
        match self.one("relation") {
            Some(relation) if relation.text(0) == "p" => names("partition")
                .filter_map(|partition| {
                    let name = TableName::new(Some(partition.text(0)), partition.text(1)).ok()?;
                    Some((name, option_names(partition.text(3))))
                })
                .collect(),
            Some(relation) if relation.text(0) == "r" => {
                vec![(self.table.name.clone(), option_names(relation.text(6)))]
            }
            _ => Vec::new(),
        }
    }

    /// Whether the connected role may alter the table.
    fn owned(&self) -> bool {
        self.dialect == Dialect::Sqlite || self.one("relation").is_none_or(|relation| relation.is(4))
    }

    /// A column of the first version that is not there: then the table is somebody else's.
    pub(super) fn lacking(&self) -> Option<&'static Column> {
        self.table.table.columns_of(1).find(|column| !self.has(column))
    }

    /// Whether an index finds expired rows.
    pub(super) fn indexed(&self) -> bool {
        match self.dialect {
            Dialect::Postgres => postgres::indexed(self),
            Dialect::Sqlite => sqlite::indexed(self),
        }
    }

    /// The statements that lead from what is there to the latest version: none where it is reached.
    ///
    /// # Errors
    ///
    /// When something else has the table's name; adding our columns would not make it ours.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    ///
    /// let nothing = IDEMPOTENCY.named(TableName::default()).inspect(Dialect::Postgres, []);
    /// let steps = nothing.upgrade()?;
    /// assert!(steps[0].needed);
    /// # Ok::<(), cratestack_schema::Unusable>(())
    /// ```
    pub fn upgrade(&self) -> Result<Vec<Step>, Unusable> {
        let (table, dialect) = (&self.table, self.dialect);
        let latest = table.table.latest();
        let mut steps = Vec::new();
        let mut push = |sql: String, needed: bool| steps.push(Step { sql, needed, alone: false });
        let Some(relation) = self.one("relation") else {
            if dialect == Dialect::Postgres && !self.one("schema").is_none_or(|schema| schema.is(0)) {
                table.create_schema().into_iter().for_each(|sql| push(sql, true));
            }
            let text = table.ddl(dialect, latest).map_err(|error| Unusable(error.to_string()))?;
            push(text, true);
            return Ok(steps);
        };
        let is_table = match dialect {
            Dialect::Postgres => matches!(relation.text(0), "r" | "p"),
            Dialect::Sqlite => relation.text(0) == "table",
        };
        if !is_table {
            return Err(Unusable(format!("{} is there, but it is not a table", table.name)));
        }
        if let Some(column) = self.lacking() {
            return Err(Unusable(format!(
                "there is a table {}, but it has no column {}: it is not the table that this program keeps its \
                 idempotency records in, and migrating would not make it so; see `cratestack-schema ddl`",
                table.name, column.name
            )));
        }
        for version in 2..=latest {
            let missing: Vec<_> =
                table.table.columns.iter().filter(|column| column.since == version && !self.has(column)).collect();
            match dialect {
                Dialect::Postgres if !missing.is_empty() => push(table.add_columns(&missing), true),
                _ => missing.into_iter().for_each(|column| push(table.add_column(dialect, column), true)),
            }
        }
        let concurrently = dialect == Dialect::Postgres && relation.text(0) == "r";
        if !self.indexed() && !concurrently {
            push(table.create_index(dialect), true);
        }
        if dialect == Dialect::Postgres && self.owned() {
            for (relation, set) in self.storage() {
                table.set_missing_storage(&relation, &set).into_iter().for_each(|sql| push(sql, false));
            }
            if !self.indexed() && concurrently {
                steps.extend(postgres::index_steps(self));
            }
        }
        Ok(steps)
    }

    /// What of this is not as programs expect it.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, Drift, IDEMPOTENCY, TableName};
    ///
    /// let report = IDEMPOTENCY.named(TableName::default()).inspect(Dialect::Sqlite, []).report();
    /// assert_eq!(report.findings()[0].drift, Drift::MissingTable);
    /// ```
    pub fn report(&self) -> Report {
        let findings = match self.dialect {
            Dialect::Postgres => postgres::findings(self),
            Dialect::Sqlite => sqlite::findings(self),
        };
        Report::new(self, findings)
    }
}

fn option_names(options: &str) -> Vec<&str> {
    options.split(SEPARATOR).filter_map(|option| option.split_once('=')).map(|(name, _)| name).collect()
}

/// A statement of an upgrade.
///
/// ```
/// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
///
/// let nothing = IDEMPOTENCY.named(TableName::default()).inspect(Dialect::Sqlite, []);
/// assert!(nothing.upgrade()?.iter().all(|step| step.needed && !step.alone));
/// # Ok::<(), cratestack_schema::Unusable>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// The statement; for a table that is not there, all of them.
    pub sql: String,
    /// Whether programs need it; else it is for the operator's good.
    pub needed: bool,
    /// Whether it takes long and runs outside of a transaction, so that nobody waits for it meanwhile.
    pub alone: bool,
}

/// What has the table's name is not the table.
///
/// ```
/// # use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
/// let mut view: [Option<String>; 10] = Default::default();
/// view[0] = Some("relation".to_owned());
/// view[1] = Some("v".to_owned());
/// let error = IDEMPOTENCY.named(TableName::default()).inspect(Dialect::Postgres, [view]).upgrade().unwrap_err();
/// assert_eq!(error.to_string(), "cratestack_idempotency is there, but it is not a table");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable(String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}
