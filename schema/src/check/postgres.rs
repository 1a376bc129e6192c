use super::facts::{Fact, SEPARATOR};
use super::report::{Drift, Finding, Findings};
use super::{INSPECTION_COLUMNS, Inspection, Step};
use crate::name::{identifier, literal};
use crate::{Dialect, NamedTable, columns};

const POSTGRES: Dialect = Dialect::Postgres;

/// One query, so that everything is read from one state. Each row begins with its kind; what the values of a kind are is
/// the order in which they are selected here.
#[expect(clippy::too_many_lines, reason = "one query, read from top to bottom")]
pub(super) fn query(table: &NamedTable) -> String {
    let name = literal(POSTGRES, table.name.table());
    // By name, not through `regclass`: that refuses a schema that the role may not use, and we want to say so ourselves.
    let (place, schema) = match table.name.schema() {
        Some(schema) => {
            let schema = literal(POSTGRES, schema);
            (
                format!("n.nspname = {schema}"),
                select(
                    "schema",
                    &[
                        &format!("EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = {schema})"),
                        &format!(
                            "(SELECT pg_catalog.has_schema_privilege(oid, 'USAGE') FROM pg_catalog.pg_namespace WHERE nspname = {schema})"
                        ),
                    ],
                    "",
                ),
            )
        }
        None => ("pg_catalog.pg_table_is_visible(c.oid)".to_owned(), select("schema", &["true", "true"], "")),
    };
    let list =
        |expression: &str| format!("pg_catalog.array_to_string({expression}, U&'\\{:04X}')", u32::from(SEPARATOR));
    let expected: Vec<_> = table
        .table
        .columns
        .iter()
        .map(|column| {
            let data_type = literal(POSTGRES, column.data_type(POSTGRES));
            select(
                "expected",
                &[
                    &literal(POSTGRES, column.name),
                    &format!("pg_catalog.format_type({data_type}::pg_catalog.regtype, NULL)"),
                ],
                "",
            )
        })
        .collect();
    let privileges: Vec<_> = ["SELECT", "INSERT", "UPDATE", "DELETE"]
        .iter()
        .map(|privilege| {
            // Rights on each column we use are as good as rights on the table; there are none for DELETE.
            let ours: Vec<_> = table.table.columns.iter().map(|column| literal(POSTGRES, column.name)).collect();
            let by_column = if *privilege == "DELETE" {
                "false".to_owned()
            } else {
                format!(
                    "(SELECT pg_catalog.bool_and(pg_catalog.has_column_privilege(it.oid, a.attnum, '{privilege}'))
                    FROM pg_catalog.pg_attribute AS a
                    WHERE a.attrelid = it.oid AND NOT a.attisdropped AND a.attname::text IN ({}))",
                    ours.join(", ")
                )
            };
            select(
                "privilege",
                &[
                    &format!("'{privilege}'"),
                    &format!("pg_catalog.has_table_privilege(it.oid, '{privilege}') OR {by_column}"),
                ],
                "FROM it",
            )
        })
        .collect();
    let parts = [
        select("server", &[
            "pg_catalog.pg_is_in_recovery()",
            "pg_catalog.current_setting('default_transaction_read_only')",
            "current_user",
        ], ""),
        schema,
        select("relation", &[
            "it.relkind",
            "it.nspname",
            "it.relpersistence",
            "pg_catalog.pg_get_userbyid(it.relowner)",
            "pg_catalog.pg_has_role(it.relowner, 'USAGE')",
            "it.relrowsecurity",
            &list("it.reloptions"),
            "it.relispartition OR EXISTS (SELECT 1 FROM pg_catalog.pg_inherits WHERE inhrelid = it.oid)
                OR it.relkind = 'r' AND EXISTS (SELECT 1 FROM pg_catalog.pg_inherits WHERE inhparent = it.oid)",
            "it.relreplident = 'n' AND it.published",
        ], "FROM it"),
        select("layout", &[
            "p.partstrat",
            &list(
                "ARRAY(SELECT a.attname FROM pg_catalog.generate_series(0, p.partnatts - 1) AS k
                LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = it.oid AND a.attnum = p.partattrs[k] ORDER BY k)",
            ),
        ], "FROM it JOIN pg_catalog.pg_partitioned_table AS p ON p.partrelid = it.oid"),
        select("hidden", &["n.nspname"],
            &format!(
                "FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace, it
                WHERE c.relname = {name} AND c.oid <> it.oid AND c.relkind IN ('r', 'p')
                  AND n.nspname = ANY (pg_catalog.current_schemas(false)) AND {}",
                table.name.schema().is_none()
            )),
        select("column", &[
            "a.attname",
            "pg_catalog.format_type(a.atttypid, a.atttypmod)",
            "a.attnotnull",
            "pg_catalog.pg_get_expr(d.adbin, d.adrelid)",
            "NULLIF(a.attidentity::text, '')",
            "NULLIF(a.attgenerated::text, '')",
            "COALESCE(co.collisdeterministic, true)",
        ], "FROM it JOIN pg_catalog.pg_attribute AS a ON a.attrelid = it.oid AND a.attnum > 0 AND NOT a.attisdropped
            LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            LEFT JOIN pg_catalog.pg_collation AS co ON co.oid = a.attcollation"),
        select("index", &[
            "ic.relname",
            "am.amname",
            "i.indisunique",
            "i.indisprimary",
            "i.indisvalid AND i.indisready",
            "i.indimmediate",
            "pg_catalog.pg_get_expr(i.indpred, i.indrelid)",
            &list(
                "ARRAY(SELECT COALESCE(a.attname::text, '(an expression)')
                FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) AS k
                LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] ORDER BY k)",
            ),
            &list(
                "ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::pg_catalog.int2[]))",
            ),
        ], "FROM it JOIN pg_catalog.pg_index AS i ON i.indrelid = it.oid
            JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid
            JOIN pg_catalog.pg_am AS am ON am.oid = ic.relam"),
        select("constraint", &[
            "k.conname",
            "k.contype",
            "pg_catalog.pg_get_constraintdef(k.oid)",
            "k.conrelid = it.oid",
            "k.conrelid::pg_catalog.regclass",
        ], "FROM it JOIN pg_catalog.pg_constraint AS k ON k.conrelid = it.oid OR k.confrelid = it.oid
            WHERE k.contype IN ('c', 'f', 'u', 'x', 't') AND k.conparentid = 0"),
        select("trigger", &["t.tgname", "'trigger'"],
            "FROM it JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = it.oid
            WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'"),
        select("trigger", &["w.rulename", "'rule'"],
            "FROM it JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = it.oid
            WHERE w.rulename <> '_RETURN' AND w.ev_enabled <> 'D' AND it.relkind IN ('r', 'p')"),
        select("partition", &[
            "n.nspname",
            "c.relname",
            "pg_catalog.pg_get_expr(c.relpartbound, c.oid)",
            &list("c.reloptions"),
            "c.relkind",
            "c.relpersistence",
        ], "FROM it JOIN pg_catalog.pg_inherits AS h ON h.inhparent = it.oid
            JOIN pg_catalog.pg_class AS c ON c.oid = h.inhrelid
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE it.relkind = 'p'"),
    ];
    let parts: Vec<_> = parts.into_iter().chain(expected).chain(privileges).collect();
    format!(
        "WITH it AS (
        SELECT c.*, n.nspname, EXISTS (SELECT 1 FROM pg_catalog.pg_publication WHERE puballtables)
            OR EXISTS (SELECT 1 FROM pg_catalog.pg_publication_rel WHERE prrelid = c.oid) AS published
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relname = {name} AND {place}
    )
    {}",
        parts.join("\n    UNION ALL\n    ")
    )
}

fn select(kind: &str, values: &[&str], from: &str) -> String {
    let mut all = vec![format!("'{kind}'")];
    all.extend(values.iter().map(|value| format!("({value})::text")));
    all.resize(INSPECTION_COLUMNS, "NULL".to_owned());
    format!("SELECT {} {from}", all.join(", "))
}

/// An index of the catalogue.
#[expect(clippy::struct_excessive_bools, reason = "they are the catalogue's")]
struct Index<'a> {
    name: &'a str,
    method: &'a str,
    unique: bool,
    primary: bool,
    valid: bool,
    immediate: bool,
    predicate: Option<&'a str>,
    keys: Vec<&'a str>,
    columns: Vec<&'a str>,
}

impl<'a> From<&'a Fact> for Index<'a> {
    fn from(fact: &'a Fact) -> Self {
        Self {
            name: fact.text(0),
            method: fact.text(1),
            unique: fact.is(2),
            primary: fact.is(3),
            valid: fact.is(4),
            immediate: fact.is(5),
            predicate: fact.get(6),
            keys: fact.list(7),
            columns: fact.list(8),
        }
    }
}

impl Index<'_> {
    /// Whether it leads with the columns of our index, so that the sweep can walk it.
    fn serves(&self, found: &Inspection) -> bool {
        self.method == "btree" && self.predicate.is_none() && self.keys.starts_with(found.table.table.index.columns)
    }
}

pub(super) fn indexed(found: &Inspection) -> bool {
    found.all("index").map(Index::from).any(|index| index.serves(found) && index.valid)
}

/// What builds the index of a table that is in use.
pub(super) fn index_steps(found: &Inspection) -> Vec<Step> {
    let name = found.table.index_name();
    let mut all = found.all("index").map(Index::from);
    let failed = all.find(|index| index.name == name && !index.valid).map(|index| drop_index(found, &index));
    let steps = failed.into_iter().chain([found.table.create_index_concurrently()]);
    steps.map(|sql| Step { sql, needed: false, alone: true }).collect()
}

fn drop_index(found: &Inspection, index: &Index<'_>) -> String {
    let relation = found.one("relation");
    let concurrently = if relation.is_some_and(|it| it.text(0) == "p") { "" } else { "CONCURRENTLY " };
    // An index lies beside its table, which the search path may not reach first.
    let schema = identifier(POSTGRES, relation.map_or("", |it| it.text(1)));
    format!("DROP INDEX {concurrently}{schema}.{};", identifier(POSTGRES, index.name))
}

pub(super) fn findings(found: &Inspection) -> Vec<Finding> {
    let mut findings = Findings::new(found);
    server(&mut findings);
    let Some(relation) = found.one("relation") else {
        missing(&mut findings);
        return findings.list;
    };
    let kind = relation.text(0);
    if !matches!(kind, "r" | "p") {
        let what = match kind {
            "v" => "a view",
            "m" => "a materialized view",
            "f" => "a foreign table",
            "i" | "I" => "an index",
            "S" => "a sequence",
            "c" => "a type",
            _ => "something else",
        };
        let text = format!("{} is {what}, not a table", findings.sql());
        findings.add(Drift::NotATable, text);
        return findings.list;
    }
    if found.one("schema").is_some_and(|schema| schema.get(1) == Some("false")) {
        lacks_schema(&mut findings);
    }
    columns_of(&mut findings);
    primary_key(&mut findings);
    indexes(&mut findings);
    constraints(&mut findings);
    relation_of(&mut findings, relation);
    privileges(&mut findings);
    layout(&mut findings, relation);
    storage(&mut findings, relation);
    findings.versions();
    findings.list
}

fn server(findings: &mut Findings<'_>) {
    let Some(server) = findings.found.one("server") else { return };
    if server.is(0) {
        findings.add(Drift::ReadOnly, "the server is a standby: it refuses every write");
    } else if server.get(1) == Some("on") {
        findings.add(
            Drift::ReadOnly,
            "transactions are read-only for this role or database (default_transaction_read_only)",
        );
    }
}

fn missing(findings: &mut Findings<'_>) {
    let found = findings.found;
    if let (Some(schema), Some(name)) = (found.one("schema"), found.table.name.schema()) {
        if !schema.is(0) {
            let text = format!("there is no schema {}", identifier(POSTGRES, name));
            let mend = findings.command("ddl");
            findings.mendable(Drift::Schema, text, mend);
            return;
        }
        if !schema.is(1) {
            lacks_schema(findings);
        }
    }
    findings.missing_table();
}

fn lacks_schema(findings: &mut Findings<'_>) {
    let name = findings.found.table.name.schema().unwrap_or_default();
    let schema = identifier(POSTGRES, name);
    let role = role(findings);
    let text = format!("the role {role} may not use the schema {schema}");
    findings.mendable(Drift::Schema, text, format!("GRANT USAGE ON SCHEMA {schema} TO {role};"));
}

fn role(findings: &Findings<'_>) -> String {
    identifier(POSTGRES, findings.found.one("server").map_or("", |server| server.text(2)))
}

fn columns_of(findings: &mut Findings<'_>) {
    let found = findings.found;
    let table = findings.sql();
    for column in found.table.table.columns {
        let Some(fact) = found.column(column.name) else { continue };
        let name = column.name;
        let alter = |what: &str| format!("ALTER TABLE {table} ALTER COLUMN {name} {what};");
        let expected = found.all("expected").find(|expected| expected.text(0) == name).map_or("", |fact| fact.text(1));
        if fact.text(1) != expected {
            findings
                .add(Drift::ColumnType, format!("column {name} has the type {}, expected {expected}", fact.text(1)));
        }
        if column.nullable && fact.is(2) {
            findings.mendable(
                Drift::Nullability,
                format!("column {name} is NOT NULL: it must take NULL"),
                alter("DROP NOT NULL"),
            );
        } else if !column.nullable && !fact.is(2) {
            findings.mendable(
                Drift::Nullability,
                format!("column {name} takes NULL: it must be NOT NULL"),
                alter("SET NOT NULL"),
            );
        }
        if fact.get(4).is_some() || fact.get(5).is_some() {
            findings.add(Drift::Default, format!("column {name} is filled by the database (identity or generated)"));
        } else {
            match (column.default_expression(POSTGRES), fact.get(3)) {
                (None, None) => {}
                (Some(expected), Some(set)) if same_default(expected, set) => {}
                (Some(expected), Some(set)) => findings.mendable(
                    Drift::Default,
                    format!("column {name} has the default {set}, expected {expected}"),
                    alter(&format!("SET DEFAULT {expected}")),
                ),
                (Some(expected), None) => findings.mendable(
                    Drift::Default,
                    format!("column {name} has no default, expected {expected}"),
                    alter(&format!("SET DEFAULT {expected}")),
                ),
                (None, Some(set)) => findings.mendable(
                    Drift::Default,
                    format!("column {name} has the default {set}, expected none"),
                    alter("DROP DEFAULT"),
                ),
            }
        }
        if !fact.is(6) {
            findings.add(
                Drift::Collation,
                format!("column {name} has a nondeterministic collation: different keys can be equal"),
            );
        }
    }
    findings.unknown_columns();
}

/// The moment at which the transaction began has several names.
fn same_default(expected: &str, set: &str) -> bool {
    let plain = |text: &str| match text.to_ascii_lowercase().as_str() {
        "current_timestamp" | "transaction_timestamp()" => "now()".to_owned(),
        other => other.to_owned(),
    };
    plain(expected) == plain(set)
}

fn primary_key(findings: &mut Findings<'_>) {
    let found = findings.found;
    let table = findings.sql();
    let expected = found.table.table.primary_key;
    let list = expected.join(", ");
    let add = format!("ALTER TABLE {table} ADD PRIMARY KEY ({list});");
    let same = |keys: &[&str]| keys.len() == expected.len() && expected.iter().all(|column| keys.contains(column));
    let all: Vec<_> = found.all("index").map(Index::from).collect();
    let Some(primary) = all.iter().find(|index| index.primary) else {
        findings.mendable(Drift::PrimaryKey, format!("there is no primary key, expected ({list})"), add);
        return;
    };
    if !same(&primary.keys) {
        findings.add(Drift::PrimaryKey, format!("the primary key is ({}), expected ({list})", primary.keys.join(", ")));
    } else if !primary.immediate {
        findings.mendable(
            Drift::PrimaryKey,
            "the primary key is deferrable: ON CONFLICT cannot use it",
            format!("ALTER TABLE {table} DROP CONSTRAINT {}; {add}", identifier(POSTGRES, primary.name)),
        );
    } else if !primary.valid {
        findings.add(Drift::PrimaryKey, "the index of the primary key is not valid");
    }
}

fn indexes(findings: &mut Findings<'_>) {
    let found = findings.found;
    let partitioned = found.one("relation").is_some_and(|relation| relation.text(0) == "p");
    let create = if partitioned { found.table.create_index(POSTGRES) } else { found.table.create_index_concurrently() };
    let all: Vec<_> = found.all("index").map(Index::from).collect();
    let drop = |index: &Index<'_>| drop_index(found, index);
    if !indexed(found) {
        let over = found.table.table.index.columns.join(", ");
        match all.iter().find(|index| index.name == found.table.index_name() || index.serves(found)) {
            Some(index) if !index.valid => findings.mendable(
                Drift::Index,
                format!("the index {} on ({over}) is not valid: building it failed or goes on", index.name),
                format!("{} {create}", drop(index)),
            ),
            Some(index) => findings.mendable(
                Drift::Index,
                format!("the index {} does not find expired rows, expected a btree on ({over})", index.name),
                format!("{} {create}", drop(index)),
            ),
            None => findings.mendable(
                Drift::Index,
                format!("there is no index on ({over}): every sweep reads the whole table"),
                create.clone(),
            ),
        }
    }
    let written =
        [columns::RESPONSE_STATUS, columns::RESPONSE_HEADERS, columns::RESPONSE_BODY, columns::LEASE_EXPIRES_AT];
    for index in all.iter().filter(|index| !index.primary && !index.serves(found)) {
        let constraint = found.all("constraint").any(|constraint| constraint.text(0) == index.name);
        if index.name == found.table.index_name() && !indexed(found) {
            continue;
        }
        if index.unique && !constraint {
            findings.mendable(
                Drift::Index,
                format!("the unique index {} on ({}) refuses rows", index.name, index.keys.join(", ")),
                drop(index),
            );
        } else if let Some(column) = written.iter().find(|column| index.columns.contains(column)) {
            findings.mendable(
                Drift::Index,
                format!("the index {} contains {column}: each completion has to write every index anew", index.name),
                drop(index),
            );
        }
    }
    // One that serves and is unique refuses the second row that expires at a moment; another has to serve instead.
    let serving = |index: &Index<'_>| index.serves(found) && index.valid && !index.unique;
    for index in all.iter().filter(|index| !index.primary && index.serves(found) && index.unique) {
        let instead = if all.iter().any(serving) { "" } else { &create };
        findings.mendable(
            Drift::Index,
            format!("the unique index {} on ({}) refuses rows", index.name, index.keys.join(", ")),
            format!("{} {instead}", drop(index)).trim_end(),
        );
    }
}

fn constraints(findings: &mut Findings<'_>) {
    let found = findings.found;
    let table = findings.sql();
    for constraint in found.all("constraint") {
        let (name, definition) = (constraint.text(0), constraint.text(2));
        if constraint.is(3) {
            findings.mendable(
                Drift::Constraint,
                format!("the constraint {name} can refuse rows: {definition}"),
                format!("ALTER TABLE {table} DROP CONSTRAINT {};", identifier(POSTGRES, name)),
            );
        } else {
            findings.add(
                Drift::Constraint,
                format!("the table {} refers to this one ({name}): deletes can be refused", constraint.text(4)),
            );
        }
    }
    for trigger in found.all("trigger") {
        findings
            .add(Drift::Trigger, format!("the {} {} can change what statements do", trigger.text(1), trigger.text(0)));
    }
}

fn relation_of(findings: &mut Findings<'_>, relation: &Fact) {
    let table = findings.sql();
    match relation.text(2) {
        "p" => {}
        "u" => findings.mendable(
            Drift::Persistence,
            "the table is UNLOGGED: a crash of the server forgets every key",
            format!("ALTER TABLE {table} SET LOGGED;"),
        ),
        _ => findings.add(Drift::Persistence, "the table is TEMPORARY: other sessions do not see it"),
    }
    if relation.is(5) {
        findings.mendable(
            Drift::RowSecurity,
            "row security is on: a row that a role does not see is a key that it cannot reserve",
            format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;"),
        );
    }
    if relation.is(7) {
        findings
            .add(Drift::Inheritance, "the table is part of an inheritance tree: its key holds in a part of it only");
    }
    if relation.is(8) {
        findings.mendable(
            Drift::Replication,
            "the table is published and has no replica identity: updates are refused",
            format!("ALTER TABLE {table} REPLICA IDENTITY DEFAULT;"),
        );
    }
    let shown = relation.text(1).to_owned();
    let hidden: Vec<_> = findings.found.all("hidden").map(|fact| fact.text(0).to_owned()).collect();
    for schema in hidden {
        findings.add(
            Drift::Shadows,
            format!(
                "there are two on the search path, in the schemas {} and {}: name the one that is meant",
                identifier(POSTGRES, &shown),
                identifier(POSTGRES, &schema)
            ),
        );
    }
}

fn privileges(findings: &mut Findings<'_>) {
    let found = findings.found;
    let (role, table) = (role(findings), findings.sql());
    let lacking: Vec<_> = found.all("privilege").filter(|fact| !fact.is(1)).map(|fact| fact.text(0)).collect();
    if !lacking.is_empty() {
        let list = lacking.join(", ");
        findings.mendable(
            Drift::Privilege,
            format!("the role {role} lacks the right to {list}"),
            format!("GRANT {list} ON {table} TO {role};"),
        );
    }
}

fn layout(findings: &mut Findings<'_>, relation: &Fact) {
    let found = findings.found;
    if relation.text(0) != "p" {
        return;
    }
    let key = found.table.table.primary_key;
    if let Some(layout) = found.one("layout") {
        let by = layout.list(1);
        if layout.text(0) != "h" || by.is_empty() || !by.iter().all(|column| key.contains(column)) {
            findings.add(
                Drift::Partitions,
                format!("the table is not partitioned by a hash of its key, but by ({})", by.join(", ")),
            );
            return;
        }
    }
    let mut bounds = Vec::new();
    for partition in found.all("partition") {
        let name = partition.text(1);
        if partition.text(4) != "r" {
            findings.add(Drift::Partitions, format!("the partition {name} is not an ordinary table"));
        }
        if partition.text(5) != "p" {
            findings.add(
                Drift::Persistence,
                format!("the partition {name} is UNLOGGED: a crash of the server forgets its keys"),
            );
        }
        bounds.extend(modulus(partition.text(2)));
    }
    // The server lets none overlap, so they hold every key when their shares add up to the whole.
    let whole = bounds.iter().copied().max().unwrap_or(1);
    let covered: u64 = bounds.iter().map(|modulus| whole / modulus.max(&1)).sum();
    if covered < whole {
        findings.add(
            Drift::Partitions,
            format!("partitions are missing: {} of {whole} keys have no place", whole - covered),
        );
    }
}

/// From `FOR VALUES WITH (modulus 8, remainder 3)`.
fn modulus(bound: &str) -> Option<u64> {
    let rest = bound.split("modulus ").nth(1)?;
    rest.split(',').next()?.trim().parse().ok()
}

fn storage(findings: &mut Findings<'_>, relation: &Fact) {
    let found = findings.found;
    let reached = found.version().unwrap_or(1);
    for (name, set) in found.storage() {
        let lacking: Vec<_> = found
            .table
            .table
            .storage
            .iter()
            .filter(|option| option.since <= reached && !set.contains(&option.name))
            .map(|option| option.name)
            .collect();
        if !lacking.is_empty() {
            let mend = found.table.set_missing_storage(&name, &set).unwrap_or_default();
            findings.mendable(
                Drift::Storage,
                format!("{} has no value for {}", name.sql(POSTGRES), lacking.join(", ")),
                mend,
            );
        }
    }
    let partitions = found.all("partition").map(|partition| (partition.text(1), partition.list(3)));
    for (name, options) in std::iter::once((found.table.name.table(), relation.list(6))).chain(partitions) {
        if options.iter().any(|option| matches!(*option, "autovacuum_enabled=false" | "autovacuum_enabled=off")) {
            findings.add(
                Drift::Storage,
                format!("autovacuum is off for {}: the table only grows", identifier(POSTGRES, name)),
            );
        }
    }
}
