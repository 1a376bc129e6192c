//! The documentation tells of the table that there is.

use cratestack_schema::{Dialect, IDEMPOTENCY};

const GUIDE: &str = include_str!("../../../docs/schema.md");

#[test]
fn the_guide_lists_every_column_and_no_other() {
    let rows: Vec<_> = IDEMPOTENCY
        .columns
        .iter()
        .map(|column| {
            let nullable = if column.nullable { "yes" } else { "no" };
            let [postgres, sqlite] = [Dialect::Postgres, Dialect::Sqlite].map(|dialect| column.data_type(dialect));
            format!("| `{}` | {postgres} | {sqlite} | {nullable} | {} |", column.name, column.since)
        })
        .collect();
    let listed: Vec<_> = GUIDE
        .lines()
        .skip_while(|line| !line.starts_with("| column |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(listed, rows);
    assert!(GUIDE.contains(&format!("`({})`", IDEMPOTENCY.primary_key.join(", "))));
    assert!(GUIDE.contains(&format!("`({})`", IDEMPOTENCY.index.columns.join(", "))));
    let options: Vec<_> =
        IDEMPOTENCY.storage.iter().map(|option| format!("{} = {}", option.name, option.value)).collect();
    assert!(GUIDE.contains(&options.join(", ")));
}
