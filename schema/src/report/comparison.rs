use crate::catalogue::Fact;
use crate::ddl::Layout;
use crate::dialect::Dialect;
use crate::name::TableName;
use crate::report::finding::{Finding, FindingKind};

/// What the database said of the table, and what was found wrong with it so far.
pub(super) struct Comparison<'a> {
    pub(super) table: &'a TableName,
    pub(super) dialect: Dialect,
    pub(super) facts: &'a [Fact],
    pub(super) findings: Vec<Finding>,
}

impl<'a> Comparison<'a> {
    /// What was said of one kind of thing.
    pub(super) fn of(&self, kind: &'static str) -> impl Iterator<Item = &'a Fact> + use<'a> {
        self.facts.iter().filter(move |fact| fact.kind() == kind)
    }

    pub(super) fn find(&mut self, kind: FindingKind, text: impl Into<String>, remedy: Option<String>) {
        self.findings.push(Finding { kind, text: text.into(), remedy });
    }

    pub(super) fn layout(&self) -> Layout {
        Layout::new(self.table.clone())
    }

    /// A change of the table as a remedy; SQLite can change no column and no key of a table that is there.
    pub(super) fn alter(&self, what: &str) -> Option<String> {
        (self.dialect == Dialect::Postgres).then(|| format!("ALTER TABLE {} {what};", self.table))
    }

    pub(super) fn role(&self) -> &'a str {
        self.of("role").next().map_or("this role", Fact::name)
    }
}
