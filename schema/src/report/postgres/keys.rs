use crate::catalogue::Fact;
use crate::dialect::Dialect;
use crate::name::quoted;
use crate::report::comparison::Comparison;
use crate::report::finding::FindingKind;
use crate::table::IDEMPOTENCY;

impl Comparison<'_> {
    pub(super) fn key(&mut self) {
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

    pub(super) fn index(&mut self) {
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
}
