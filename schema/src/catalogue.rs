//! What a database says of the table, as rows of one shape: a kind, a name and five details, of which `Fact::detail`
//! counts from 0.
//!
//! | Postgres | name | 0 | 1 | 2 | 3 | 4 |
//! |---|---|---|---|---|---|---|
//! | `role` | who is connected | the server's version | owns the table | | | |
//! | `schema` | the table's | may be used | | | | |
//! | `elsewhere` | a schema off the search path | what kind of relation | | | | |
//! | `table` | | kind | persistence | owner | hides rows | is a partition |
//! | `read-only` | `standby` or `setting` | | | | | |
//! | `hidden` | the schema of a namesake | the schema in use | | | | |
//! | `relative` | a table that it inherits with | | | | | |
//! | `publication` | | | | | | |
//! | `option` | | value | | | | |
//! | `column` | | type | NOT NULL | default | `generated`, `an identity` | collation |
//! | `constraint` | | type | definition | deferrable | columns | |
//! | `reference` | a foreign key | the table that has it | | | | |
//! | `index` | | valid | unique | columns | partial | method |
//! | `trigger`, `rule` | | | | | | |
//! | `right` | `SELECT` and so on | held | | | | |
//! | `partitioning` | strategy | definition | | | | |
//! | `partition` | | bound | kind | persistence | | |
//! | `partition option` | the partition | option | value | | | |
//!
//! | SQLite | name | 0 | 1 | 2 | 3 | 4 |
//! |---|---|---|---|---|---|---|
//! | `table` | | kind | WITHOUT ROWID | STRICT | schema | |
//! | `column` | | type | NOT NULL | default | hidden: 0 for an ordinary one | place in the primary key |
//! | `index` | | unique | origin | partial | columns | collations |
//! | `read-only` | `setting` | | | | | |
//! | `foreign key` | column | the table that it refers to | | | | |
//! | `trigger`, `text` | | its SQL | | | | |

use crate::dialect::Dialect;
use crate::name::{TableName, quoted};

/// One thing that a database says of the table: a row of what [`TableName::catalogue`] asks, seven columns of text.
///
/// ```
/// use cratestack_schema::Fact;
///
/// let mut row = ["column", "attempt", "integer", "false"].map(|text| Some(text.to_owned())).to_vec();
/// row.resize(Fact::COLUMNS, None);
/// let fact = Fact::new(row);
/// assert_eq!(fact.to_string(), "column attempt: integer, false");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    columns: Vec<Option<String>>,
}

impl Fact {
    /// How many columns a row has.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::Fact::COLUMNS, 7);
    /// ```
    pub const COLUMNS: usize = 7;

    /// A row of the answer, its columns in order.
    ///
    /// ```
    /// let fact = cratestack_schema::Fact::new([Some("role".to_owned()), Some("alice".to_owned())]);
    /// assert_eq!(fact.to_string(), "role alice: ");
    /// ```
    pub fn new(row: impl IntoIterator<Item = Option<String>>) -> Self {
        Self { columns: row.into_iter().collect() }
    }

    pub(crate) fn kind(&self) -> &str {
        self.column(0)
    }

    pub(crate) fn name(&self) -> &str {
        self.column(1)
    }

    /// One of the five details; where there is none, empty.
    pub(crate) fn detail(&self, number: usize) -> &str {
        self.column(number + 2)
    }

    pub(crate) fn optional(&self, number: usize) -> Option<&str> {
        self.columns.get(number + 2).and_then(Option::as_deref)
    }

    pub(crate) fn is(&self, number: usize) -> bool {
        matches!(self.detail(number), "true" | "1")
    }

    fn column(&self, number: usize) -> &str {
        self.columns.get(number).and_then(Option::as_deref).unwrap_or_default()
    }
}

impl std::fmt::Display for Fact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let details: Vec<_> = self.columns.iter().skip(2).flatten().map(String::as_str).collect();
        write!(f, "{} {}: {}", self.kind(), self.name(), details.join(", "))
    }
}

impl TableName {
    /// The statement that reads what the database has, for [`Report::new`](crate::Report::new).
    ///
    /// Its two parameters are the schema, or NULL, and the table's name. It only reads the catalogue: it takes no lock
    /// that anybody waits for, and a role without any right on the table can run it.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, TableName};
    ///
    /// assert!(TableName::default().catalogue(Dialect::Sqlite).contains("pragma_table_xinfo"));
    /// ```
    pub fn catalogue(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::Postgres => POSTGRES.to_owned(),
            Dialect::Sqlite => {
                let schema = self.schema().map(|schema| format!("{}.", quoted(schema))).unwrap_or_default();
                SQLITE.replace("{schema}", &schema)
            }
        }
    }
}

const POSTGRES: &str = "\
WITH target AS (
    SELECT c.* FROM pg_catalog.pg_class AS c
    WHERE c.oid = CASE
        WHEN $1::text IS NULL THEN to_regclass(quote_ident($2::text))::oid
        ELSE (
            SELECT named.oid FROM pg_catalog.pg_class AS named
            JOIN pg_catalog.pg_namespace AS n ON n.oid = named.relnamespace
            WHERE n.nspname = $1::text AND named.relname = $2::text
        )
    END
)
SELECT 'role', current_user::text, current_setting('server_version_num'),
    (SELECT pg_has_role(relowner, 'USAGE')::text FROM target), NULL::text, NULL::text, NULL::text
UNION ALL
SELECT 'schema', nspname::text, has_schema_privilege(oid, 'USAGE')::text, NULL, NULL, NULL, NULL
FROM pg_catalog.pg_namespace
WHERE nspname = $1::text OR oid = (SELECT relnamespace FROM target)
UNION ALL
SELECT 'elsewhere', n.nspname::text, c.relkind::text, NULL, NULL, NULL, NULL
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname = $2::text AND NOT EXISTS (SELECT 1 FROM target)
UNION ALL
SELECT 'table', relname::text, relkind::text, relpersistence::text, pg_get_userbyid(relowner)::text,
    (relrowsecurity AND (relforcerowsecurity OR NOT pg_has_role(relowner, 'USAGE'))
        AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = current_user))::text,
    relispartition::text
FROM target
UNION ALL
SELECT 'read-only', CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'setting' END, NULL, NULL, NULL, NULL, NULL
WHERE pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'
UNION ALL
SELECT 'hidden', n.nspname::text, own.nspname::text, NULL, NULL, NULL, NULL
FROM target AS t
JOIN pg_catalog.pg_namespace AS own ON own.oid = t.relnamespace
JOIN pg_catalog.pg_class AS c ON c.relname = t.relname AND c.oid <> t.oid AND c.relkind IN ('r', 'p')
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = ANY (current_schemas(false))
WHERE $1::text IS NULL
UNION ALL
SELECT 'relative', r.relname::text, NULL, NULL, NULL, NULL, NULL
FROM target AS t
JOIN pg_catalog.pg_inherits AS i ON t.oid IN (i.inhparent, i.inhrelid)
JOIN pg_catalog.pg_class AS r ON r.oid IN (i.inhparent, i.inhrelid) AND r.oid <> t.oid
WHERE t.relkind = 'r' AND NOT t.relispartition
UNION ALL
SELECT 'publication', p.pubname::text, NULL, NULL, NULL, NULL, NULL
FROM target AS t
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_catalog.pg_publication_tables AS listed ON listed.schemaname = n.nspname AND listed.tablename = t.relname
JOIN pg_catalog.pg_publication AS p ON p.pubname = listed.pubname AND (p.pubupdate OR p.pubdelete)
WHERE t.relreplident = 'n' OR t.relreplident = 'i' AND NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_index AS i WHERE i.indrelid = t.oid AND i.indisreplident
)
UNION ALL
SELECT 'option', split_part(option, '=', 1), split_part(option, '=', 2), NULL, NULL, NULL, NULL
FROM target, unnest(reloptions) AS option
UNION ALL
SELECT 'column', a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
    CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
    CASE WHEN a.attgenerated <> '' THEN 'generated' WHEN a.attidentity <> '' THEN 'an identity' END,
    CASE WHEN NOT l.collisdeterministic THEN l.collname::text END
FROM target AS t
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
UNION ALL
SELECT 'constraint', k.conname::text, k.contype::text, pg_get_constraintdef(k.oid), k.condeferrable::text,
    array_to_string(ARRAY(
        SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS part(number, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = part.number
        ORDER BY part.place
    ), ','), NULL
FROM target AS t JOIN pg_catalog.pg_constraint AS k ON k.conrelid = t.oid
UNION ALL
SELECT 'reference', k.conname::text, k.conrelid::regclass::text, NULL, NULL, NULL, NULL
FROM target AS t JOIN pg_catalog.pg_constraint AS k ON k.confrelid = t.oid AND k.conparentid = 0
UNION ALL
SELECT 'index', c.relname::text, (i.indisvalid AND i.indisready)::text, i.indisunique::text,
    array_to_string(ARRAY(
        SELECT pg_get_indexdef(i.indexrelid, place, true) FROM generate_series(1, i.indnkeyatts) AS place ORDER BY place
    ), ','),
    (i.indpred IS NOT NULL)::text, m.amname::text
FROM target AS t
JOIN pg_catalog.pg_index AS i ON i.indrelid = t.oid
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
WHERE NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
)
UNION ALL
SELECT 'trigger', g.tgname::text, NULL, NULL, NULL, NULL, NULL
FROM target AS t JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D'
UNION ALL
SELECT 'rule', r.rulename::text, NULL, NULL, NULL, NULL, NULL
FROM target AS t JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = t.oid AND t.relkind IN ('r', 'p') AND r.ev_enabled <> 'D'
UNION ALL
SELECT 'right', wanted.name, (
        has_table_privilege(t.oid, wanted.name)
        OR (wanted.name <> 'DELETE' AND (
            SELECT bool_and(has_column_privilege(t.oid, a.attnum, wanted.name)) FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
        ))
    )::text, NULL, NULL, NULL, NULL
FROM target AS t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted(name)
UNION ALL
SELECT 'partitioning', p.partstrat::text, pg_get_partkeydef(t.oid), NULL, NULL, NULL, NULL
FROM target AS t JOIN pg_catalog.pg_partitioned_table AS p ON p.partrelid = t.oid
UNION ALL
SELECT 'partition', c.relname::text, pg_get_expr(c.relpartbound, c.oid), c.relkind::text, c.relpersistence::text, NULL, NULL
FROM target AS t
JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.oid
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
WHERE t.relkind = 'p'
UNION ALL
SELECT 'partition option', c.relname::text, split_part(option, '=', 1), split_part(option, '=', 2), NULL, NULL, NULL
FROM target AS t
JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.oid
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid, unnest(c.reloptions) AS option
WHERE t.relkind = 'p'";

const SQLITE: &str = "\
SELECT 'table', name, type, CAST(wr AS TEXT), CAST(strict AS TEXT), schema, NULL
FROM pragma_table_list(?2) WHERE ?1 IS NULL OR schema = ?1 COLLATE NOCASE
UNION ALL
SELECT 'column', name, type, CAST(\"notnull\" AS TEXT), dflt_value, CAST(hidden AS TEXT), CAST(pk AS TEXT)
FROM pragma_table_xinfo(?2, ?1)
UNION ALL
SELECT 'index', listed.name, CAST(listed.\"unique\" AS TEXT), listed.origin, CAST(listed.partial AS TEXT),
    (SELECT group_concat(part, ',') FROM (
        SELECT coalesce(name, '<expression>') AS part FROM pragma_index_xinfo(listed.name, ?1) WHERE key = 1 ORDER BY seqno
    )),
    (SELECT group_concat(coll, ',') FROM (
        SELECT coll FROM pragma_index_xinfo(listed.name, ?1) WHERE key = 1 ORDER BY seqno
    ))
FROM pragma_index_list(?2, ?1) AS listed
UNION ALL
SELECT 'read-only', 'setting', NULL, NULL, NULL, NULL, NULL FROM pragma_query_only WHERE query_only
UNION ALL
SELECT 'trigger', name, sql, NULL, NULL, NULL, NULL FROM temp.sqlite_schema
WHERE tbl_name = ?2 COLLATE NOCASE AND type = 'trigger'
UNION ALL
SELECT 'foreign key', \"from\", \"table\", NULL, NULL, NULL, NULL FROM pragma_foreign_key_list(?2, ?1)
UNION ALL
SELECT CASE type WHEN 'trigger' THEN 'trigger' ELSE 'text' END, name, sql, NULL, NULL, NULL, NULL
FROM {schema}sqlite_schema
WHERE tbl_name = ?2 COLLATE NOCASE AND type IN ('trigger', 'table')";
