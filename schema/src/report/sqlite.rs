use crate::catalogue::Fact;
use crate::dialect::Dialect;
use crate::name::quoted;
use crate::report::comparison::{Comparison, FindingKind};
use crate::table::IDEMPOTENCY;

impl Comparison<'_> {
    /// What only SQLite has.
    pub(super) fn sqlite(&mut self, table: &Fact) {
        self.sqlite_key();
        self.sqlite_index();
        self.sqlite_interference(table);
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
            let drop = namesake.then(|| format!("DROP INDEX {}; ", self.table.beside(&self.layout().index_name())));
            let drop = drop.unwrap_or_default();
            let text = format!("there is no index on all of ({column}): sweeping reads the whole table");
            self.find(FindingKind::Index, text, Some(format!("{drop}{create}")));
        }
        for fact in self.of("index").filter(|fact| fact.is(0) && fact.detail(1) != "pk") {
            let text =
                format!("the index {} on ({}) is unique and can refuse rows", quoted(fact.name()), fact.detail(3));
            self.find(FindingKind::Interference, text, None);
        }
    }

    fn sqlite_interference(&mut self, table: &Fact) {
        if table.is(1) {
            self.find(FindingKind::Storage, "the table is WITHOUT ROWID: it cannot be swept", None);
        }
        if !table.is(2) {
            self.find(FindingKind::Storage, "the table is not STRICT: it stores values of any type", None);
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
    use super::has_word;

    #[test]
    fn words_are_found_outside_quotes_only() {
        assert!(has_word("CREATE TABLE t (a INT, check (a > 0))", "CHECK"));
        for text in ["", "\"check\"", "'check", "`check` [check", "-- check\n /* check */ a", "recheck check_", "ü/*"]
        {
            assert!(!has_word(text, "CHECK"), "{text}");
        }
    }
}
