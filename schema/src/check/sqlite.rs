use super::facts::SEPARATOR;
use super::report::{Drift, Finding, Findings};
use super::{INSPECTION_COLUMNS, Inspection};
use crate::name::{identifier, literal};
use crate::{Dialect, NamedTable, columns};

const SQLITE: Dialect = Dialect::Sqlite;

pub(super) fn query(table: &NamedTable) -> String {
    let name = literal(SQLITE, table.name.table());
    let (place, of) = match table.name.schema() {
        Some(schema) => {
            let schema = literal(SQLITE, schema);
            (format!("AND schema = {schema} COLLATE NOCASE"), format!("{name}, {schema}"))
        }
        None => (String::new(), name.clone()),
    };
    let catalogue = identifier(SQLITE, table.name.schema().unwrap_or("main"));
    let list = |expression: &str| format!("group_concat({expression}, char({}))", u32::from(SEPARATOR));
    let parts = [
        select("server", &["(SELECT query_only FROM pragma_query_only)"], ""),
        select(
            "relation",
            &["type", "schema", "strict", "wr"],
            &format!(
                "FROM (SELECT * FROM pragma_table_list WHERE name = {name} COLLATE NOCASE {place}
            ORDER BY schema <> 'temp', schema <> 'main' LIMIT 1)"
            ),
        ),
        select(
            "column",
            &["name", "type", "\"notnull\"", "dflt_value", "pk", "hidden"],
            &format!("FROM pragma_table_xinfo({of})"),
        ),
        select(
            "index",
            &[
                "l.name",
                "l.\"unique\"",
                "l.origin",
                "l.partial",
                &format!(
                    "(SELECT {} FROM (SELECT * FROM pragma_index_xinfo({}) WHERE key = 1 ORDER BY seqno) AS x)",
                    list("COALESCE(x.name, '(an expression)')"),
                    of_index(table)
                ),
                &format!(
                    "(SELECT {} FROM (SELECT * FROM pragma_index_xinfo({}) WHERE key = 1 ORDER BY seqno) AS x)",
                    list("x.coll"),
                    of_index(table)
                ),
            ],
            &format!("FROM pragma_index_list({of}) AS l"),
        ),
        select("foreign", &["f.\"table\""], &format!("FROM pragma_foreign_key_list({of}) AS f WHERE f.seq = 0")),
        select(
            "trigger",
            &["name"],
            &format!("FROM {catalogue}.sqlite_schema WHERE type = 'trigger' AND tbl_name = {name} COLLATE NOCASE"),
        ),
        select(
            "trigger",
            &["name"],
            &format!("FROM temp.sqlite_schema WHERE type = 'trigger' AND tbl_name = {name} COLLATE NOCASE"),
        ),
        select(
            "text",
            &["sql"],
            &format!("FROM {catalogue}.sqlite_schema WHERE type = 'table' AND name = {name} COLLATE NOCASE"),
        ),
    ];
    parts.join("\n    UNION ALL\n    ")
}

fn of_index(table: &NamedTable) -> String {
    match table.name.schema() {
        Some(schema) => format!("l.name, {}", literal(SQLITE, schema)),
        None => "l.name".to_owned(),
    }
}

fn select(kind: &str, values: &[&str], from: &str) -> String {
    let mut all = vec![format!("'{kind}'")];
    all.extend(values.iter().map(|value| format!("CAST({value} AS TEXT)")));
    all.resize(INSPECTION_COLUMNS, "NULL".to_owned());
    format!("SELECT {} {from}", all.join(", "))
}

pub(super) fn indexed(found: &Inspection) -> bool {
    found.all("index").any(|index| !index.is(3) && index.list(4).starts_with(found.table.table.index.columns))
}

pub(super) fn findings(found: &Inspection) -> Vec<Finding> {
    let mut findings = Findings::new(found);
    if found.one("server").is_some_and(|server| server.is(0)) {
        findings.add(Drift::ReadOnly, "the connection refuses every write (query_only)");
    }
    let Some(relation) = found.one("relation") else {
        findings.missing_table();
        return findings.list;
    };
    let kind = relation.text(0);
    if kind != "table" {
        let text = format!("{} is a {kind}, not an ordinary table", findings.sql());
        findings.add(Drift::NotATable, text);
        return findings.list;
    }
    if relation.text(1).eq_ignore_ascii_case("temp") {
        findings.add(Drift::Persistence, "the table is TEMPORARY: other connections do not see it");
    }
    if !relation.is(2) {
        findings.add(Drift::ColumnType, "the table is not STRICT: it stores values of any type in any column");
    }
    if relation.is(3) {
        findings.add(Drift::PrimaryKey, "the table is WITHOUT ROWID: the sweep finds nothing in it");
    }
    columns_of(&mut findings);
    keys(&mut findings);
    for foreign in found.all("foreign") {
        findings.add(Drift::Constraint, format!("a foreign key to {} can refuse rows", foreign.text(0)));
    }
    if found.one("text").is_some_and(|text| has_word(text.text(0), "CHECK")) {
        findings.add(Drift::Constraint, "a CHECK constraint can refuse rows");
    }
    for trigger in found.all("trigger") {
        findings.add(Drift::Trigger, format!("the trigger {} can change what statements do", trigger.text(0)));
    }
    findings.versions();
    findings.list
}

fn columns_of(findings: &mut Findings<'_>) {
    let found = findings.found;
    for column in found.table.table.columns {
        let Some(fact) = found.column(column.name) else { continue };
        let name = column.name;
        let expected = column.data_type(SQLITE);
        if !fact.text(1).eq_ignore_ascii_case(expected) {
            findings
                .add(Drift::ColumnType, format!("column {name} has the type {}, expected {expected}", fact.text(1)));
        }
        if column.nullable && fact.is(2) {
            findings.add(Drift::Nullability, format!("column {name} is NOT NULL: it must take NULL"));
        } else if !column.nullable && !fact.is(2) {
            findings.add(Drift::Nullability, format!("column {name} takes NULL: it must be NOT NULL"));
        }
        if fact.get(5) != Some("0") {
            findings.add(Drift::Default, format!("column {name} is filled by the database (generated)"));
        }
        match (column.default_expression(SQLITE), fact.get(3)) {
            (None, None) => {}
            (Some(expected), Some(set)) if bare(expected) == bare(set) => {}
            (expected, set) => findings.add(
                Drift::Default,
                format!(
                    "column {name} has the default {}, expected {}",
                    set.unwrap_or("NULL"),
                    expected.unwrap_or("none")
                ),
            ),
        }
    }
    findings.unknown_columns();
}

/// Without the parentheses that a default needs around it, and without layout.
fn bare(expression: &str) -> String {
    let mut text: String = expression.chars().filter(|c| !c.is_whitespace()).collect();
    while text.starts_with('(') && text.ends_with(')') {
        text = text.get(1..text.len() - 1).unwrap_or_default().to_owned();
    }
    text.to_ascii_lowercase()
}

fn keys(findings: &mut Findings<'_>) {
    let found = findings.found;
    let expected = found.table.table.primary_key;
    let list = expected.join(", ");
    let mut primary = None;
    for index in found.all("index") {
        let (name, keys) = (index.text(0), index.list(4));
        if index.text(2) == "pk" {
            primary = Some(keys.clone());
        }
        let ours = expected.iter().any(|column| keys.contains(column));
        if ours && index.list(5).iter().any(|collation| *collation != "BINARY") {
            findings.add(
                Drift::Collation,
                format!("the index {name} compares otherwise than byte by byte: different keys can be equal"),
            );
        }
        if index.is(1) && index.text(2) != "pk" {
            findings.add(Drift::Index, format!("the unique index {name} on ({}) refuses rows", keys.join(", ")));
        } else if keys.contains(&columns::RESPONSE_BODY) {
            findings.add(Drift::Index, format!("the index {name} holds every body a second time"));
        }
    }
    match primary {
        None => findings.add(Drift::PrimaryKey, format!("there is no primary key, expected ({list})")),
        Some(keys) if keys.len() != expected.len() || !expected.iter().all(|column| keys.contains(column)) => {
            findings.add(Drift::PrimaryKey, format!("the primary key is ({}), expected ({list})", keys.join(", ")));
        }
        Some(_) => {}
    }
    if !indexed(found) {
        let over = found.table.table.index.columns.join(", ");
        let create = found.table.create_index(SQLITE);
        findings.mendable(
            Drift::Index,
            format!("there is no index on ({over}) that finds every expired row: every sweep reads the whole table"),
            create,
        );
    }
}

/// Whether SQL contains the word, outside of names, constants and comments.
fn has_word(sql: &str, word: &str) -> bool {
    let mut rest = sql.char_indices().peekable();
    while let Some((start, character)) = rest.next() {
        let close = match character {
            '\'' | '"' | '`' => Some(character),
            '[' => Some(']'),
            _ => None,
        };
        if let Some(close) = close {
            // A doubled quote closes and opens again, which comes to the same here.
            rest.by_ref().find(|(_, c)| *c == close);
        } else if sql.get(start..).is_some_and(|tail| tail.starts_with("--")) {
            rest.by_ref().find(|(_, c)| *c == '\n');
        } else if let Some(length) = sql.get(start..).filter(|tail| tail.starts_with("/*")).and_then(|t| t.find("*/")) {
            while rest.peek().is_some_and(|(at, _)| *at < start + length + 2) {
                rest.next();
            }
        } else if character.is_alphabetic() || character == '_' {
            let mut end = start + character.len_utf8();
            while let Some((at, c)) = rest.peek().copied().filter(|(_, c)| c.is_alphanumeric() || *c == '_') {
                end = at + c.len_utf8();
                rest.next();
            }
            if sql.get(start..end).is_some_and(|found| found.eq_ignore_ascii_case(word)) {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_from_names_and_text() {
        for there in ["a CHECK (b)", "check", "x,\nCheck(1)", "'it''s' check (1)", "/* no */ CHECK"] {
            assert!(has_word(there, "CHECK"), "{there}");
        }
        for absent in
            ["\"CHECK\"", "'check'", "[check]", "`check`", "-- check\n", "/* check */", "checks", "a_check", "'"]
        {
            assert!(!has_word(absent, "CHECK"), "{absent}");
        }
    }

    #[test]
    fn a_default_is_the_same_in_other_layout() {
        assert_eq!(bare("(CAST(ROUND( x ) AS INTEGER))"), bare("cast(round(x) AS INTEGER)"));
    }
}
