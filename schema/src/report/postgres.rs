use crate::catalogue::Fact;
use crate::dialect::Dialect;
use crate::name::quoted;
use crate::report::comparison::{Comparison, FindingKind};
use crate::table::IDEMPOTENCY;

impl Comparison<'_> {
    /// What only Postgres has.
    pub(super) fn postgres(&mut self, table: &Fact) {
        self.key();
        self.index();
        self.interference(table);
        self.partitions();
        self.storage(table);
        self.rights();
    }

    fn key(&mut self) {
        let wanted = IDEMPOTENCY.primary_key.join(", ");
        let Some(key) = self.of("constraint").find(|fact| fact.detail(0) == "p") else {
            let remedy = self.alter(&format!("ADD PRIMARY KEY ({wanted})"));
            self.find(FindingKind::Key, format!("there is no primary key, expected ({wanted})"), remedy);
            return;
        };
        let parts: Vec<_> = key.detail(3).split(',').collect();
        // The order does not matter to who looks up both.
        let serves = parts.len() == IDEMPOTENCY.primary_key.len()
            && IDEMPOTENCY.primary_key.iter().all(|column| parts.contains(column));
        let text = if !serves {
            format!("the primary key is ({}), expected ({wanted})", parts.join(", "))
        } else if key.is(2) {
            "the primary key is deferrable, so ON CONFLICT cannot use it".to_owned()
        } else {
            return;
        };
        let remedy = self.alter(&format!("DROP CONSTRAINT {}, ADD PRIMARY KEY ({wanted})", quoted(key.name())));
        self.find(FindingKind::Key, text, remedy);
    }

    fn index(&mut self) {
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

    fn interference(&mut self, table: &Fact) {
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
        for (kind, does) in [("trigger", "refuse or change"), ("rule", "replace")] {
            for fact in self.of(kind) {
                let name = quoted(fact.name());
                let remedy = format!("DROP {} {name} ON {};", kind.to_ascii_uppercase(), self.table);
                let text = format!("the {kind} {name} can {does} what is written");
                self.find(FindingKind::Interference, text, Some(remedy));
            }
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

    fn partitions(&mut self) {
        let Some(partitioning) = self.of("partitioning").next() else { return };
        if partitioning.name() != "h" {
            let text = format!("the table is partitioned by {}, expected by hash", partitioning.detail(0));
            self.find(FindingKind::Partition, text, None);
            return;
        }
        let mut bounds = Vec::new();
        for fact in self.of("partition") {
            let name = quoted(fact.name());
            if let Some(bound) = modulus_and_remainder(fact.detail(0)) {
                bounds.push(bound);
            } else {
                let text = format!("the bound of the partition {name} cannot be read: {}", fact.detail(0));
                self.find(FindingKind::Partition, text, None);
            }
            if fact.detail(2) == "u" {
                let text = format!("the partition {name} is unlogged: a crash of the server empties it");
                let remedy = format!("ALTER TABLE {} SET LOGGED;", self.table.beside(fact.name()));
                self.find(FindingKind::Storage, text, Some(remedy));
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

    fn storage(&mut self, table: &Fact) {
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

    fn rights(&mut self) {
        let lacking: Vec<_> = self.of("right").filter(|fact| !fact.is(0)).map(Fact::name).collect();
        if !lacking.is_empty() {
            let (rights, role) = (lacking.join(", "), quoted(self.role()));
            let text = format!("the role {role} lacks {rights}");
            self.find(FindingKind::Rights, text, Some(format!("GRANT {rights} ON {} TO {role};", self.table)));
        }
    }
}

fn off(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "false" | "off" | "no" | "0" | "f" | "n")
}

/// Of `FOR VALUES WITH (modulus 8, remainder 3)`.
fn modulus_and_remainder(bound: &str) -> Option<(u32, u32)> {
    let mut numbers = bound.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    let (modulus, remainder) = (numbers.next()?, numbers.next()?);
    // `largest` bounds a loop; Postgres knows no table of a million partitions either.
    (1..=1_000_000).contains(&modulus).then_some((modulus, remainder))
}

#[cfg(test)]
mod tests {
    use super::modulus_and_remainder;

    #[test]
    fn bounds_are_read_and_never_trusted() {
        assert_eq!(modulus_and_remainder("FOR VALUES WITH (modulus 8, remainder 3)"), Some((8, 3)));
        for bound in ["", "DEFAULT", "FOR VALUES WITH (modulus 0, remainder 0)", "modulus 99999999999 remainder 1"] {
            assert_eq!(modulus_and_remainder(bound), None, "{bound}");
        }
    }
}
