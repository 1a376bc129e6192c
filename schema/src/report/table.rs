use crate::catalogue::Fact;
use crate::dialect::Dialect;
use crate::name::quoted;
use crate::report::comparison::Comparison;
use crate::report::finding::FindingKind;

impl Comparison<'_> {
    pub(super) fn schema(&mut self) {
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
}
