use crate::catalogue::Fact;
use crate::dialect::Dialect;
use crate::name::quoted;
use crate::report::comparison::{Comparison, FindingKind};
use crate::table::{Column, IDEMPOTENCY};

impl Comparison<'_> {
    pub(super) fn schema(&mut self) {
        if self.dialect != Dialect::Postgres || self.facts.is_empty() {
            return;
        }
        if let Some(schema) = self.of("schema").next() {
            if !schema.is(0) {
                let (name, role) = (quoted(schema.name()), quoted(self.role()));
                let text = format!("the role {role} may not use the schema {name}");
                self.find(FindingKind::Rights, text, Some(format!("GRANT USAGE ON SCHEMA {name} TO {role};")));
            }
        } else if let Some(schema) = self.table.schema() {
            let schema = quoted(schema);
            let remedy = format!("CREATE SCHEMA {schema};");
            self.find(FindingKind::Table, format!("there is no schema {schema}"), Some(remedy));
        }
    }

    pub(super) fn read_only(&mut self) {
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
    pub(super) fn hidden(&mut self) {
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

    pub(super) fn missing_table(&mut self) {
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

    pub(super) fn kind_of_table(&mut self, table: &Fact) -> bool {
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

    pub(super) fn columns(&mut self) -> Option<u32> {
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
            let mut text = format!(
                "the table is of version {version}, this program's is {}; rows are safe, but until it is upgraded this \
                 program's statements are refused",
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
            if !owns {
                let owner = self.of("table").next().map(|table| quoted(table.detail(2))).unwrap_or_default();
                text = format!("{text}; only its owner {owner} can upgrade it, not {}", quoted(self.role()));
            }
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
        let found = fact.detail(0);
        if !found.eq_ignore_ascii_case(&wanted) {
            let found = if found.is_empty() { "without a type" } else { found };
            let text = format!("{name} is {found}, expected {wanted}");
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
        let same = match (found, wanted) {
            (Some(found), Some(wanted)) => same_expression(found, wanted),
            (found, wanted) => found == wanted,
        };
        if same {
            return;
        }
        let has = found.map_or_else(|| "has no default".to_owned(), |found| format!("defaults to {found}"));
        let change = wanted.map_or_else(|| "DROP DEFAULT".to_owned(), |wanted| format!("SET DEFAULT {wanted}"));
        let text = format!("{name} {has}, expected {}", wanted.unwrap_or("no default"));
        self.find(FindingKind::Default, text, self.alter(&format!("ALTER COLUMN {name} {change}")));
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
}

/// Whether both fill a column alike, however a database spells what it was given.
fn same_expression(found: &str, wanted: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')')).collect::<String>().to_ascii_lowercase()
    };
    let (found, wanted) = (plain(found), plain(wanted));
    found == wanted || (wanted == "now" && matches!(found.as_str(), "current_timestamp" | "transaction_timestamp"))
}

#[cfg(test)]
mod tests {
    use super::same_expression;

    #[test]
    fn defaults_are_compared_by_what_they_mean() {
        assert!(same_expression("now()", "NOW()") && same_expression("CURRENT_TIMESTAMP", "NOW()"));
        assert!(!same_expression("clock_timestamp()", "NOW()"));
    }
}
