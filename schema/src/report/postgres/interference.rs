use crate::catalogue::Fact;
use crate::name::quoted;
use crate::report::comparison::Comparison;
use crate::report::finding::FindingKind;

impl Comparison<'_> {
    pub(super) fn interference(&mut self, table: &Fact) {
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
}
