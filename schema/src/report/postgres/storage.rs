use crate::catalogue::Fact;
use crate::name::quoted;
use crate::report::comparison::Comparison;
use crate::report::finding::FindingKind;

impl Comparison<'_> {
    pub(super) fn partitions(&mut self) {
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

    pub(super) fn storage(&mut self, table: &Fact) {
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

    pub(super) fn rights(&mut self) {
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
