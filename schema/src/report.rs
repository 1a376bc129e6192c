use std::fmt;

use crate::name::quoted;
use crate::{Column, Dialect, Fact, IDEMPOTENCY, Layout, TableName};

/// What a database has, compared with what the program needs.
///
/// ```
/// use cratestack_schema::{Dialect, Report, TableName};
///
/// // A database that has said nothing of the table does not have it.
/// let report = Report::new(&TableName::default(), Dialect::Sqlite, &[]);
/// assert!(!report.is_clean());
/// assert_eq!(report.version(), None);
/// assert!(report.to_string().contains("cratestack-schema ddl --dialect sqlite"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    table: TableName,
    dialect: Dialect,
    version: Option<u32>,
    findings: Vec<Finding>,
}

/// One difference, and what mends it.
///
/// ```
/// use cratestack_schema::{Dialect, FindingKind, Report, TableName};
///
/// let report = Report::new(&TableName::default(), Dialect::Postgres, &[]);
/// assert_eq!(report.findings()[0].kind, FindingKind::Table);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What kind of difference it is.
    pub kind: FindingKind,
    /// What is there, and what should be.
    pub text: String,
    /// A statement or a command that mends it, where one does.
    pub remedy: Option<String>,
}

/// Kinds of differences.
///
/// ```
/// assert_eq!(cratestack_schema::FindingKind::Nullability.name(), "nullability");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// The table is missing, or what has its name is no ordinary table.
    Table,
    /// The table is of an older version, or of a newer one than this program knows.
    Version,
    /// A column is missing, or one is in the way.
    Column,
    /// A column has another type, or compares in another way.
    Type,
    /// A column takes NULL that must not, or the other way round.
    Nullability,
    /// A column is filled in another way where an insert leaves it out.
    Default,
    /// The primary key is missing or another.
    Key,
    /// The index is missing or cannot serve.
    Index,
    /// A constraint, trigger, rule or policy that can refuse or change what the program writes.
    Interference,
    /// How the table is stored endangers its rows or its speed.
    Storage,
    /// A partition is missing.
    Partition,
    /// The role that is connected lacks a right.
    Rights,
}

impl FindingKind {
    /// A word for it.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::FindingKind::Index.name(), "index");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Version => "version",
            Self::Column => "column",
            Self::Type => "type",
            Self::Nullability => "nullability",
            Self::Default => "default",
            Self::Key => "key",
            Self::Index => "index",
            Self::Interference => "interference",
            Self::Storage => "storage",
            Self::Partition => "partition",
            Self::Rights => "rights",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Report {
    /// Compares what [`TableName::catalogue`] was answered.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, Report, TableName};
    ///
    /// let report = Report::new(&TableName::default(), Dialect::Postgres, &[]);
    /// assert_eq!(report.findings().len(), 1);
    /// ```
    pub fn new(table: &TableName, dialect: Dialect, facts: &[Fact]) -> Self {
        let mut comparison = Comparison { table, dialect, facts, findings: Vec::new() };
        let version = comparison.all();
        Self { table: table.clone(), dialect, version, findings: comparison.findings }
    }

    /// Whether the database is what the program expects.
    ///
    /// ```
    /// # use cratestack_schema::{Dialect, Report, TableName};
    /// assert!(!Report::new(&TableName::default(), Dialect::Postgres, &[]).is_clean());
    /// ```
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The version of the table that is there: the newest whose columns it has. `None` where it has not even the first's.
    ///
    /// ```
    /// # use cratestack_schema::{Dialect, Report, TableName};
    /// assert_eq!(Report::new(&TableName::default(), Dialect::Postgres, &[]).version(), None);
    /// ```
    pub fn version(&self) -> Option<u32> {
        self.version
    }

    /// The differences, the gravest first.
    ///
    /// ```
    /// # use cratestack_schema::{Dialect, Report, TableName};
    /// let report = Report::new(&TableName::default(), Dialect::Postgres, &[]);
    /// assert!(report.findings()[0].text.starts_with("there is no table cratestack_idempotency"));
    /// ```
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            let version = self.version.unwrap_or_default();
            return write!(f, "{} is as this program expects: version {version}", visible(&self.table.sql()));
        }
        let count = self.findings.len();
        let noun = if count == 1 { "difference" } else { "differences" };
        write!(f, "{} is not as this program expects: {count} {noun}", visible(&self.table.sql()))?;
        for Finding { kind, text, remedy } in &self.findings {
            write!(f, "\n  {kind:<12}  {}", visible(text))?;
            if let Some(remedy) = remedy {
                write!(f, "\n  {:<12}  mend: {}", "", visible(remedy))?;
            }
        }
        Ok(())
    }
}

struct Comparison<'a> {
    table: &'a TableName,
    dialect: Dialect,
    facts: &'a [Fact],
    findings: Vec<Finding>,
}

impl<'a> Comparison<'a> {
    fn all(&mut self) -> Option<u32> {
        self.schema();
        let Some(table) = self.of("table").next() else {
            if self.findings.is_empty() {
                self.missing_table();
            }
            return None;
        };
        self.read_only();
        self.hidden();
        if !self.kind_of_table(table) {
            return None;
        }
        let version = self.columns();
        match self.dialect {
            Dialect::Postgres => {
                self.postgres_key();
                self.postgres_index();
                self.postgres_interference(table);
                self.postgres_partitions();
                self.postgres_storage(table);
                self.postgres_rights();
            }
            Dialect::Sqlite => {
                self.sqlite_key();
                self.sqlite_index();
                self.sqlite_interference();
            }
        }
        version
    }

    fn of(&self, kind: &'static str) -> impl Iterator<Item = &'a Fact> + use<'a> {
        self.facts.iter().filter(move |fact| fact.kind() == kind)
    }

    fn find(&mut self, kind: FindingKind, text: impl Into<String>, remedy: Option<String>) {
        self.findings.push(Finding { kind, text: text.into(), remedy });
    }

    fn layout(&self) -> Layout {
        Layout::new(self.table.clone())
    }

    fn alter(&self, what: &str) -> Option<String> {
        (self.dialect == Dialect::Postgres).then(|| format!("ALTER TABLE {} {what};", self.table))
    }

    fn role(&self) -> &'a str {
        self.of("role").next().map_or("this role", Fact::name)
    }

    fn schema(&mut self) {
        if self.dialect != Dialect::Postgres || self.facts.is_empty() {
            return;
        }
        match self.of("schema").next() {
            None => {
                if let Some(schema) = self.table.schema() {
                    let schema = quoted(schema);
                    let remedy = format!("CREATE SCHEMA {schema};");
                    self.find(FindingKind::Table, format!("there is no schema {schema}"), Some(remedy));
                }
            }
            Some(schema) if !schema.is(0) => {
                let (name, role) = (quoted(schema.name()), quoted(self.role()));
                let text = format!("the role {role} may not use the schema {name}");
                self.find(FindingKind::Rights, text, Some(format!("GRANT USAGE ON SCHEMA {name} TO {role};")));
            }
            Some(_) => {}
        }
    }

    fn read_only(&mut self) {
        if let Some(fact) = self.of("read-only").next() {
            let text = match (self.dialect, fact.name()) {
                (Dialect::Sqlite, _) => "the connection refuses every write: query_only is on".to_owned(),
                (_, "standby") => "the server is a standby: it refuses every write".to_owned(),
                _ => {
                    let role = quoted(self.role());
                    format!("transactions of the role {role} are read-only here: default_transaction_read_only is on")
                }
            };
            self.find(FindingKind::Interference, text, None);
        }
    }

    /// A second table of the name, which a session with another search path would use.
    fn hidden(&mut self) {
        for fact in self.of("hidden") {
            let (used, other) = (quoted(fact.detail(0)), quoted(fact.name()));
            let text = format!(
                "there are two on the search path: the one in the schema {used} is used, the one in {other} is not; name \
                 the schema of the one that is meant"
            );
            self.find(FindingKind::Table, text, None);
        }
        let temporary = self.of("table").any(|fact| fact.detail(3).eq_ignore_ascii_case("temp"));
        if self.dialect == Dialect::Sqlite && self.table.schema().is_none() && temporary {
            let text = "the table is temporary: only this connection has it, and it hides another of the name";
            self.find(FindingKind::Storage, text, None);
        }
    }

    fn missing_table(&mut self) {
        let mut text = format!("there is no table {}", self.table);
        let elsewhere: Vec<_> = self.of("elsewhere").map(|fact| quoted(fact.name())).collect();
        if !elsewhere.is_empty() {
            text = format!(
                "{text} on the search path of the role {}, but there is one in {}",
                quoted(self.role()),
                elsewhere.join(" and ")
            );
        }
        let ddl = format!("cratestack-schema ddl --dialect {}{}", self.dialect, self.table.flags());
        self.find(FindingKind::Table, text, Some(ddl));
    }

    fn kind_of_table(&mut self, table: &Fact) -> bool {
        let what = match (self.dialect, table.detail(0)) {
            (Dialect::Postgres, "r" | "p") | (Dialect::Sqlite, "table") => return true,
            (Dialect::Postgres, "v") | (Dialect::Sqlite, "view") => "a view",
            (Dialect::Postgres, "m") => "a materialized view",
            (Dialect::Postgres, "f") => "a foreign table",
            (Dialect::Postgres, "i" | "I") => "an index",
            (Dialect::Postgres, "S") => "a sequence",
            (Dialect::Sqlite, "virtual") => "a virtual table",
            _ => "something else",
        };
        self.find(FindingKind::Table, format!("{} is {what}, not a table", self.table), None);
        false
    }

    fn columns(&mut self) -> Option<u32> {
        let lacks = |column: &&Column| !self.of("column").any(|fact| fact.name() == column.name);
        let missing: Vec<&Column> = IDEMPOTENCY.columns.iter().filter(lacks).collect();
        let version = missing.iter().map(|column| column.since - 1).min().unwrap_or(IDEMPOTENCY.latest());
        for column in &missing {
            // All that a version added is missing: that is an older version, and no damage.
            let whole = IDEMPOTENCY.columns.iter().filter(|other| other.since == column.since);
            let older = column.since > 1 && version > 0 && whole.clone().all(|other| missing.contains(&other));
            if !older {
                let text = format!("the column {} is missing", column.name);
                // What was in the column since the first version is lost; a new one would make rows of nonsense.
                let remedy = (column.since > 1).then(|| self.layout().add_column(self.dialect, column));
                self.find(FindingKind::Column, text, remedy);
            }
        }
        let behind = (2..=IDEMPOTENCY.latest()).any(|step| {
            let mut added = IDEMPOTENCY.columns.iter().filter(|column| column.since == step);
            added.all(|column| missing.contains(&column))
        });
        if behind && version > 0 {
            let text = format!(
                "the table is of version {version}, this program's is {}; rows are safe, leases are not kept",
                IDEMPOTENCY.latest()
            );
            let partitions = match self.of("partition").count() {
                0 => String::new(),
                count => format!(" --partitions {count}"),
            };
            let command = format!(
                "cratestack-schema migration --dialect {} --from {version}{}{partitions}",
                self.dialect,
                self.table.flags()
            );
            let owns = self.of("role").next().is_none_or(|role| role.optional(1).is_none() || role.is(1));
            let text = if owns {
                text
            } else {
                let owner = self.of("table").next().map(|table| quoted(table.detail(2))).unwrap_or_default();
                format!("{text}; only its owner {owner} can upgrade it, not {}", quoted(self.role()))
            };
            self.find(FindingKind::Version, text, Some(command));
        }
        for fact in self.of("column") {
            match IDEMPOTENCY.columns.iter().find(|column| column.name == fact.name()) {
                Some(column) => self.column(column, fact),
                None => self.unknown_column(fact),
            }
        }
        (version > 0).then_some(version)
    }

    fn column(&mut self, column: &Column, fact: &Fact) {
        let name = column.name;
        let wanted = self.catalogue_type(column);
        if !fact.detail(0).eq_ignore_ascii_case(&wanted) {
            let text = format!("{name} is {}, expected {wanted}", or_nothing(fact.detail(0)));
            self.find(FindingKind::Type, text, None);
        }
        if fact.is(1) == column.nullable {
            let (text, verb) = if column.nullable {
                (format!("{name} is NOT NULL, but is NULL in some rows of every version"), "DROP")
            } else {
                (format!("{name} can be NULL"), "SET")
            };
            let remedy = self.alter(&format!("ALTER COLUMN {name} {verb} NOT NULL"));
            self.find(FindingKind::Nullability, text, remedy);
        }
        self.default(column, fact);
        let oddity = match self.dialect {
            Dialect::Postgres => fact.detail(3),
            Dialect::Sqlite if fact.detail(3) != "0" => "generated",
            Dialect::Sqlite => "",
        };
        if !oddity.is_empty() {
            self.find(FindingKind::Default, format!("{name} is {oddity}, so no value can be written to it"), None);
        }
        if self.dialect == Dialect::Postgres
            && let Some(collation) = fact.optional(4)
        {
            let text = format!("{name} has the collation {}, under which different texts are equal", quoted(collation));
            self.find(FindingKind::Type, text, None);
        }
    }

    fn default(&mut self, column: &Column, fact: &Fact) {
        let name = column.name;
        let found = fact.optional(2).filter(|found| !found.to_ascii_uppercase().starts_with("NULL"));
        let wanted = column.default_expression(self.dialect);
        match (found, wanted) {
            (None, None) => {}
            (Some(found), Some(wanted)) if same_expression(found, wanted) => {}
            (None, Some(wanted)) => {
                let remedy = self.alter(&format!("ALTER COLUMN {name} SET DEFAULT {wanted}"));
                self.find(FindingKind::Default, format!("{name} has no default, expected {wanted}"), remedy);
            }
            (Some(found), Some(wanted)) => {
                let remedy = self.alter(&format!("ALTER COLUMN {name} SET DEFAULT {wanted}"));
                self.find(FindingKind::Default, format!("{name} defaults to {found}, expected {wanted}"), remedy);
            }
            (Some(found), None) => {
                let remedy = self.alter(&format!("ALTER COLUMN {name} DROP DEFAULT"));
                self.find(FindingKind::Default, format!("{name} defaults to {found}, expected no default"), remedy);
            }
        }
    }

    fn unknown_column(&mut self, fact: &Fact) {
        let name = quoted(fact.name());
        let filled = fact.optional(2).is_some() || fact.detail(3) == "generated" || fact.detail(3) == "an identity";
        if fact.is(1) && !filled {
            let text =
                format!("the column {name} is not this program's, NOT NULL and without a default: no row goes in");
            let remedy = self.alter(&format!("ALTER COLUMN {name} DROP NOT NULL"));
            self.find(FindingKind::Column, text, remedy);
        } else {
            let text = format!(
                "the column {name} is unknown to this program, whose version is {}: the table is newer, or somebody \
                 added it",
                IDEMPOTENCY.latest()
            );
            self.find(FindingKind::Version, text, Some("update the program, or drop the column".to_owned()));
        }
    }

    fn catalogue_type(&self, column: &Column) -> String {
        match (self.dialect, column.data_type(self.dialect)) {
            (Dialect::Postgres, "INT") => "integer".to_owned(),
            (Dialect::Postgres, "TIMESTAMPTZ") => "timestamp with time zone".to_owned(),
            (Dialect::Postgres, spelled) => spelled.to_ascii_lowercase(),
            (Dialect::Sqlite, spelled) => spelled.to_owned(),
        }
    }

    fn postgres_key(&mut self) {
        let wanted = IDEMPOTENCY.primary_key.join(", ");
        let Some(key) = self.of("constraint").find(|fact| fact.detail(0) == "p") else {
            let remedy = self.alter(&format!("ADD PRIMARY KEY ({wanted})"));
            self.find(FindingKind::Key, format!("there is no primary key, expected ({wanted})"), remedy);
            return;
        };
        let parts: Vec<_> = key.detail(3).split(',').collect();
        // The order does not matter to who looks up both.
        if parts.len() != IDEMPOTENCY.primary_key.len()
            || !IDEMPOTENCY.primary_key.iter().all(|column| parts.contains(column))
        {
            self.find(
                FindingKind::Key,
                format!("the primary key is ({}), expected ({wanted})", parts.join(", ")),
                self.alter(&format!("DROP CONSTRAINT {}, ADD PRIMARY KEY ({wanted})", quoted(key.name()))),
            );
        } else if key.is(2) {
            let text = "the primary key is deferrable, so ON CONFLICT cannot use it";
            let remedy = self.alter(&format!("DROP CONSTRAINT {}, ADD PRIMARY KEY ({wanted})", quoted(key.name())));
            self.find(FindingKind::Key, text, remedy);
        }
    }

    fn postgres_index(&mut self) {
        let column = IDEMPOTENCY.index.columns.join(",");
        let serves = |fact: &&Fact| {
            let first = fact.detail(2).split(',').next().unwrap_or_default();
            first.split(' ').next() == Some(column.as_str()) && !fact.is(3) && fact.detail(4) == "btree"
        };
        let partitioned = self.of("partitioning").next().is_some();
        let create = if partitioned {
            self.layout().create_index(Dialect::Postgres)
        } else {
            self.layout().create_index_concurrently()
        };
        let create = create.replace("\n   ", "");
        let mut candidates = self.of("index").filter(serves);
        let first = candidates.next();
        let valid = first.into_iter().chain(candidates).any(|fact| fact.is(0));
        match first {
            _ if valid => {}
            Some(invalid) => {
                let name = quoted(invalid.name());
                let text = format!("the index {name} on {column} is invalid: building it failed or has not ended");
                let drop = self.drop_index(invalid, partitioned);
                self.find(FindingKind::Index, text, Some(format!("{drop} {create}")));
            }
            None => {
                let namesake = self.of("index").find(|fact| fact.name() == self.layout().index_name());
                let text = match namesake {
                    Some(fact) => format!(
                        "the index {} is {}on ({}) by {}, expected all of ({column}) by btree",
                        quoted(fact.name()),
                        if fact.is(3) { "partial, " } else { "" },
                        fact.detail(2),
                        fact.detail(4),
                    ),
                    None => format!("there is no index on ({column}): sweeping reads the whole table"),
                };
                let drop = namesake.map(|fact| self.drop_index(fact, partitioned) + " ").unwrap_or_default();
                self.find(FindingKind::Index, text, Some(format!("{drop}{create}")));
            }
        }
        for fact in self.of("index").filter(|fact| fact.is(1)) {
            let text =
                format!("the index {} on ({}) is unique and can refuse rows", quoted(fact.name()), fact.detail(2));
            self.find(FindingKind::Interference, text, None);
        }
    }

    /// An index lies in its table's schema, where the search path may not lead.
    fn drop_index(&self, index: &Fact, partitioned: bool) -> String {
        let schema = self.of("schema").next().map(|schema| quoted(schema.name()) + ".").unwrap_or_default();
        let concurrently = if partitioned { "" } else { "CONCURRENTLY " };
        format!("DROP INDEX {concurrently}{schema}{};", quoted(index.name()))
    }

    fn postgres_interference(&mut self, table: &Fact) {
        for fact in self.of("constraint") {
            let what = match fact.detail(0) {
                "u" | "x" => "refuse rows",
                "c" => "refuse values",
                "f" => "refuse rows, and locks others",
                // The primary key, and NOT NULL, which newer servers list here as well.
                _ => continue,
            };
            let name = quoted(fact.name());
            let text = format!("the constraint {name}, {}, can {what}", fact.detail(1));
            let remedy = self.alter(&format!("DROP CONSTRAINT {name}"));
            self.find(FindingKind::Interference, text, remedy);
        }
        for fact in self.of("reference") {
            let text =
                format!("{} refers to the table by {}: a sweep fails or cascades", fact.detail(0), quoted(fact.name()));
            self.find(FindingKind::Interference, text, None);
        }
        for fact in self.of("trigger") {
            let name = quoted(fact.name());
            let remedy = format!("DROP TRIGGER {name} ON {};", self.table);
            let text = format!("the trigger {name} can refuse or change what is written");
            self.find(FindingKind::Interference, text, Some(remedy));
        }
        for fact in self.of("rule") {
            let name = quoted(fact.name());
            let remedy = format!("DROP RULE {name} ON {};", self.table);
            let text = format!("the rule {name} can replace what is written");
            self.find(FindingKind::Interference, text, Some(remedy));
        }
        if table.is(3) {
            let text = format!("row security hides rows from the role {}", quoted(self.role()));
            let remedy = self.alter("DISABLE ROW LEVEL SECURITY");
            self.find(FindingKind::Interference, text, remedy);
        }
        for fact in self.of("relative") {
            let relative = quoted(fact.name());
            let text = format!("the table and {relative} inherit from each other: a key can be in both, and run twice");
            self.find(FindingKind::Interference, text, None);
        }
        if let Some(fact) = self.of("publication").next() {
            let text = format!(
                "the publication {} publishes updates of the table, which has no replica identity: they are refused",
                quoted(fact.name())
            );
            let remedy = self.alter("REPLICA IDENTITY DEFAULT");
            self.find(FindingKind::Interference, text, remedy);
        }
        if table.is(4) {
            let text = "the table is a partition of another, which has rows of its own";
            self.find(FindingKind::Interference, text, None);
        }
    }

    fn postgres_partitions(&mut self) {
        let Some(partitioning) = self.of("partitioning").next() else { return };
        if partitioning.name() != "h" {
            let text = format!("the table is partitioned by {}, expected by hash", partitioning.detail(0));
            self.find(FindingKind::Partition, text, None);
            return;
        }
        let mut bounds = Vec::new();
        for fact in self.of("partition") {
            let name = quoted(fact.name());
            match modulus_and_remainder(fact.detail(0)) {
                Some(bound) => bounds.push(bound),
                None => self.find(
                    FindingKind::Partition,
                    format!("the bound of the partition {name} cannot be read: {}", fact.detail(0)),
                    None,
                ),
            }
            if fact.detail(2) == "u" {
                let text = format!("the partition {name} is unlogged: a crash of the server empties it");
                self.find(
                    FindingKind::Storage,
                    text,
                    Some(format!("ALTER TABLE {} SET LOGGED;", self.table.beside(fact.name()))),
                );
            }
        }
        // Each modulus divides the next larger one, so the largest has a remainder of its own for every gap.
        let largest = bounds.iter().map(|(modulus, _)| *modulus).max().unwrap_or(1);
        let covered = |remainder: u32| bounds.iter().any(|(modulus, own)| remainder % modulus == *own);
        let gaps = (0..largest).filter(|remainder| !covered(*remainder)).count();
        if gaps > 0 {
            let text = format!("partitions are missing: {gaps} of {largest} keys have no place");
            self.find(FindingKind::Partition, text, None);
        }
    }

    fn postgres_storage(&mut self, table: &Fact) {
        match table.detail(1) {
            "u" => {
                let remedy = self.alter("SET LOGGED");
                self.find(FindingKind::Storage, "the table is unlogged: a crash of the server empties it", remedy);
            }
            "t" => self.find(FindingKind::Storage, "the table is temporary: only this session has it", None),
            _ => {}
        }
        let partitions =
            self.of("partition option").filter(|fact| fact.detail(0) == "autovacuum_enabled" && off(fact.detail(1)));
        let names: Vec<_> = self
            .of("option")
            .filter(|fact| fact.name() == "autovacuum_enabled" && off(fact.detail(0)))
            .map(|_| self.table.sql())
            .chain(partitions.map(|fact| self.table.beside(fact.name())))
            .collect();
        for name in names {
            let text = format!("autovacuum is off for {name}: what was swept is never given back");
            let remedy = format!("ALTER TABLE {name} RESET (autovacuum_enabled);");
            self.find(FindingKind::Storage, text, Some(remedy));
        }
    }

    fn postgres_rights(&mut self) {
        let lacking: Vec<_> = self.of("right").filter(|fact| !fact.is(0)).map(Fact::name).collect();
        if !lacking.is_empty() {
            let (rights, role) = (lacking.join(", "), quoted(self.role()));
            let text = format!("the role {role} lacks {rights}");
            self.find(FindingKind::Rights, text, Some(format!("GRANT {rights} ON {} TO {role};", self.table)));
        }
    }

    fn sqlite_key(&mut self) {
        let wanted = IDEMPOTENCY.primary_key.join(", ");
        let mut parts: Vec<_> =
            self.of("column").filter(|fact| !matches!(fact.detail(4), "" | "0")).map(Fact::name).collect();
        parts.sort_unstable();
        let mut expected = IDEMPOTENCY.primary_key.to_vec();
        expected.sort_unstable();
        if parts != expected {
            let text = if parts.is_empty() {
                format!("there is no primary key, expected ({wanted})")
            } else {
                format!("the primary key is over {}, expected ({wanted})", parts.join(" and "))
            };
            self.find(FindingKind::Key, text, None);
        }
        let binary = |fact: &Fact| fact.detail(4).split(',').all(|collation| collation.eq_ignore_ascii_case("BINARY"));
        if self.of("index").any(|fact| fact.detail(1) == "pk" && !binary(fact)) {
            let text = "the primary key has a collation under which different keys are equal";
            self.find(FindingKind::Key, text, None);
        }
    }

    fn sqlite_index(&mut self) {
        let column = IDEMPOTENCY.index.columns.join(",");
        let serves = |fact: &Fact| fact.detail(3).split(',').next() == Some(&column) && !fact.is(2);
        if !self.of("index").any(serves) {
            let namesake = self.of("index").any(|fact| fact.name() == self.layout().index_name());
            let create = self.layout().create_index(Dialect::Sqlite).replace("\n   ", "");
            let drop = if namesake {
                format!("DROP INDEX {}; ", self.table.beside(&self.layout().index_name()))
            } else {
                String::new()
            };
            let text = format!("there is no index on all of ({column}): sweeping reads the whole table");
            self.find(FindingKind::Index, text, Some(format!("{drop}{create}")));
        }
        for fact in self.of("index").filter(|fact| fact.is(0) && fact.detail(1) != "pk") {
            let text =
                format!("the index {} on ({}) is unique and can refuse rows", quoted(fact.name()), fact.detail(3));
            self.find(FindingKind::Interference, text, None);
        }
    }

    fn sqlite_interference(&mut self) {
        if let Some(table) = self.of("table").next() {
            if table.is(1) {
                self.find(FindingKind::Storage, "the table is WITHOUT ROWID: it cannot be swept", None);
            }
            if !table.is(2) {
                self.find(FindingKind::Storage, "the table is not STRICT: it stores values of any type", None);
            }
        }
        for fact in self.of("trigger") {
            let name = quoted(fact.name());
            let remedy = format!("DROP TRIGGER {};", self.table.beside(fact.name()));
            let text = format!("the trigger {name} can refuse or change what is written");
            self.find(FindingKind::Interference, text, Some(remedy));
        }
        for fact in self.of("foreign key") {
            let text = format!("{} refers to the table {}", fact.name(), quoted(fact.detail(0)));
            self.find(FindingKind::Interference, text, None);
        }
        if self.of("text").any(|fact| has_word(fact.detail(0), "CHECK")) {
            self.find(FindingKind::Interference, "the table has a CHECK that can refuse values", None);
        }
    }
}

/// What is shown may be a name out of the database, and must not steer the terminal that shows it.
fn visible(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "without a type" } else { text }
}

fn off(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "false" | "off" | "no" | "0" | "f" | "n")
}

/// Whether both fill a column alike, however a database spells what it was given.
fn same_expression(found: &str, wanted: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')')).collect::<String>().to_ascii_lowercase()
    };
    let (found, wanted) = (plain(found), plain(wanted));
    found == wanted || (wanted == "now" && matches!(found.as_str(), "current_timestamp" | "transaction_timestamp"))
}

/// Of `FOR VALUES WITH (modulus 8, remainder 3)`.
fn modulus_and_remainder(bound: &str) -> Option<(u32, u32)> {
    let mut numbers = bound.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    let (modulus, remainder) = (numbers.next()?, numbers.next()?);
    // `largest` bounds a loop; Postgres knows no table of a million partitions either.
    (1..=1_000_000).contains(&modulus).then_some((modulus, remainder))
}

/// Whether a word stands in a statement, outside names in quotes, strings and comments.
fn has_word(statement: &str, word: &str) -> bool {
    let mut rest = statement;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' | '`' => 1 + rest[1..].find(first).map_or(rest.len() - 1, |end| end + 1),
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            c if c.is_alphanumeric() || c == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                if rest[..end].eq_ignore_ascii_case(word) {
                    return true;
                }
                end
            }
            c => c.len_utf8(),
        };
        rest = &rest[length..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_steers_no_terminal() {
        let name = TableName::new(None, "a\x1b[2J\nb").unwrap();
        let report = Report::new(&name, Dialect::Postgres, &[]).to_string();
        assert!(!report.contains('\x1b') && report.contains("\\u{1b}[2J"), "{report}");
    }

    #[test]
    fn words_are_found_outside_quotes_only() {
        assert!(has_word("CREATE TABLE t (a INT, check (a > 0))", "CHECK"));
        for text in ["", "\"check\"", "'check", "`check` [check", "-- check\n /* check */ a", "recheck check_", "ü/*"]
        {
            assert!(!has_word(text, "CHECK"), "{text}");
        }
    }

    #[test]
    fn defaults_are_compared_by_what_they_mean() {
        assert!(same_expression("now()", "NOW()") && same_expression("CURRENT_TIMESTAMP", "NOW()"));
        assert!(!same_expression("clock_timestamp()", "NOW()"));
    }

    #[test]
    fn bounds_are_read_and_never_trusted() {
        assert_eq!(modulus_and_remainder("FOR VALUES WITH (modulus 8, remainder 3)"), Some((8, 3)));
        for bound in ["", "DEFAULT", "FOR VALUES WITH (modulus 0, remainder 0)", "modulus 99999999999 remainder 1"] {
            assert_eq!(modulus_and_remainder(bound), None, "{bound}");
        }
    }

    #[test]
    fn facts_that_make_no_sense_do_no_harm() {
        let rows = ["table", "column", "index", "constraint", "partition", "partitioning", "right", "nonsense"];
        for dialect in Dialect::ALL {
            let mut facts: Vec<_> = rows.map(|kind| Fact::new([Some(kind.to_owned())])).to_vec();
            facts.push(Fact::new([]));
            assert!(!Report::new(&TableName::default(), dialect, &facts).is_clean());
        }
    }
}
