use super::{Builder, NAMESPACE_MARK, RecordState, Statement, millis, since, state};
use crate::dialect::Dialect;
use crate::name::TableName;
use crate::table::columns::{
    ATTEMPT, CREATED_AT, EXPIRES_AT, KEY, PRINCIPAL_FINGERPRINT, REQUEST_HASH, RESERVATION_ID, RESPONSE_BODY,
    RESPONSE_HEADERS, RESPONSE_STATUS, STEPS,
};
use crate::upkeep::{has_steps, is_record, lease_end};

/// Which records are meant.
///
/// ```
/// use cratestack_schema::{NamespaceFilter, RecordFilter, RecordState};
///
/// let silent = RecordFilter {
///     namespace: NamespaceFilter::Is("orders".to_owned()),
///     states: vec![RecordState::PastLease],
///     lasting_ms: 60_000,
///     ..RecordFilter::default()
/// };
/// assert!(silent.key.is_none());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// Whose.
    pub principal: Option<PrincipalFilter>,
    /// Of which key.
    pub key: Option<KeyFilter>,
    /// In which namespace.
    pub namespace: NamespaceFilter,
    /// In one of these states; empty for any.
    pub states: Vec<RecordState>,
    /// In its state for at least so many milliseconds: in flight and finished since it was reserved, past its lease
    /// since that ended, expired since its retention ended.
    pub lasting_ms: i64,
    /// Whether the recorded headers and body are selected too.
    pub contents: bool,
}

impl RecordFilter {
    /// One record, by its principal as the table has it, and its key.
    ///
    /// ```
    /// use cratestack_schema::{KeyFilter, RecordFilter};
    ///
    /// assert_eq!(RecordFilter::one("orders→alice", "8e03").key, Some(KeyFilter::Is("8e03".to_owned())));
    /// ```
    pub fn one(principal: &str, key: &str) -> Self {
        Self {
            principal: Some(PrincipalFilter::Stored(principal.to_owned())),
            key: Some(KeyFilter::Is(key.to_owned())),
            ..Self::default()
        }
    }
}

/// Whose record it is.
///
/// ```
/// use cratestack_schema::PrincipalFilter;
///
/// assert_ne!(PrincipalFilter::Stored("alice".to_owned()), PrincipalFilter::InAnyNamespace("alice".to_owned()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalFilter {
    /// The principal as the table has it, with its namespace.
    Stored(String),
    /// The principal without its namespace, in each namespace and in none.
    InAnyNamespace(String),
    /// The first 16 hexadecimal digits of the SHA-256 of what the table has, as logs and events show it. Postgres only.
    Hash(String),
}

/// Which key it is.
///
/// ```
/// use cratestack_schema::KeyFilter;
///
/// assert_ne!(KeyFilter::Is("d77da8028f3c5a13".to_owned()), KeyFilter::Hash("d77da8028f3c5a13".to_owned()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFilter {
    /// The key itself.
    Is(String),
    /// The first 16 hexadecimal digits of its SHA-256, as logs and events show it. Postgres only.
    Hash(String),
}

/// Which namespace it is in.
///
/// ```
/// assert_eq!(cratestack_schema::NamespaceFilter::default(), cratestack_schema::NamespaceFilter::Any);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NamespaceFilter {
    /// Each, and none.
    #[default]
    Any,
    /// None: of a handle without a namespace.
    Outside,
    /// This one.
    Is(String),
}

impl TableName {
    /// The statement that shows records, the ones that were reserved first, first, and at most `limit` of them.
    ///
    /// Each row has sixteen columns: principal and key as the table has them, the request hash in hexadecimal digits,
    /// the token as text, the state, the status, when it was reserved, when its lease ends (NULL once it has an
    /// outcome), when it expires, the attempt, the sizes of headers and body in bytes, the database's clock, and
    /// headers and body themselves where they were asked for, else NULL, and how many bytes the steps of its run take.
    /// Times are milliseconds after the Unix epoch.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, RecordFilter, TableName};
    ///
    /// let statement = TableName::default().records(Dialect::Postgres, &RecordFilter::one("alice", "8e03"), 1);
    /// assert!(statement.text.contains("held.principal_fingerprint = $1::text AND held.key = $2::text"));
    /// ```
    pub fn records(&self, dialect: Dialect, filter: &RecordFilter, limit: u32) -> Statement {
        let mut builder = Builder::new(dialect);
        let conditions = filter.conditions(&mut builder);
        let limit = builder.integer(i64::from(limit));
        let [hash, token] = match dialect {
            Dialect::Postgres => {
                [format!("encode(held.{REQUEST_HASH}, 'hex')"), format!("held.{RESERVATION_ID}::text")]
            }
            Dialect::Sqlite => [REQUEST_HASH, RESERVATION_ID].map(|column| format!("lower(hex(held.{column}))")),
        };
        let (length, contents) = match dialect {
            Dialect::Postgres => ("octet_length", ["NULL::bytea", "NULL::bytea"]),
            Dialect::Sqlite => ("length", ["NULL", "NULL"]),
        };
        let contents = if filter.contents { [RESPONSE_HEADERS, RESPONSE_BODY] } else { contents };
        let moment = |moment: &str| millis(dialect, moment);
        let text = format!(
            "SELECT held.{PRINCIPAL_FINGERPRINT}, held.{KEY}, {hash}, {token}, {state},
                CAST(held.{RESPONSE_STATUS} AS bigint), {created_at},
                CASE WHEN held.{RESPONSE_STATUS} IS NULL THEN {lease_end} END, {expires_at},
                CAST(COALESCE(held.{ATTEMPT}, 1) AS bigint),
                CAST(COALESCE({length}(held.{RESPONSE_HEADERS}), 0) AS bigint),
                CAST(COALESCE({length}(held.{RESPONSE_BODY}), 0) AS bigint), {now}, {contents},
                CAST(CASE WHEN {has_steps} THEN {length}(held.{STEPS}) ELSE 0 END AS bigint)
            FROM {table} AS held WHERE {conditions}
            ORDER BY held.{CREATED_AT}, held.{PRINCIPAL_FINGERPRINT}, held.{KEY} LIMIT {limit}",
            state = state(dialect),
            created_at = moment(&format!("held.{CREATED_AT}")),
            lease_end = moment(&format!("({})", lease_end("held"))),
            expires_at = moment(&format!("held.{EXPIRES_AT}")),
            now = moment(dialect.now()),
            contents = contents.join(", "),
            has_steps = has_steps("held"),
            table = self.sql(),
        );
        builder.statement(text)
    }

    /// The statement that reads the steps that a run has recorded, one after the other, as long as it has the key: each
    /// is the length of its name and its name, then the length of its value and its value. A length is four bytes, the
    /// lowest first.
    ///
    /// The token is as [`records`](Self::records) shows it.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, TableName};
    ///
    /// let statement = TableName::default().steps(Dialect::Sqlite, "alice", "8e03", "00");
    /// assert!(statement.text.starts_with("SELECT held.steps FROM cratestack_idempotency AS held"));
    /// ```
    pub fn steps(&self, dialect: Dialect, principal: &str, key: &str, token: &str) -> Statement {
        let mut builder = Builder::new(dialect);
        let [principal, key, token] = [principal, key, token].map(|text| builder.text(text));
        let is_of_token = is_of_token(dialect, &token);
        let text = format!(
            "SELECT held.{STEPS} FROM {table} AS held
            WHERE held.{PRINCIPAL_FINGERPRINT} = {principal} AND held.{KEY} = {key} AND {is_of_token} AND {has_steps}",
            table = self.sql(),
            has_steps = has_steps("held"),
        );
        builder.statement(text)
    }

    /// The statement that counts records by their principal: a row for each, with the principal as the table has it,
    /// and how many records of it are in flight, past their lease, finished and expired.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, RecordFilter, TableName};
    ///
    /// let statement = TableName::default().principals(Dialect::Sqlite, &RecordFilter::default());
    /// assert!(statement.text.contains("GROUP BY held.principal_fingerprint"));
    /// ```
    pub fn principals(&self, dialect: Dialect, filter: &RecordFilter) -> Statement {
        let mut builder = Builder::new(dialect);
        let (conditions, state) = (filter.conditions(&mut builder), state(dialect));
        let counts = RecordState::ALL.map(|which| format!("count(*) FILTER (WHERE {state} = '{which}')"));
        let text = format!(
            "SELECT held.{PRINCIPAL_FINGERPRINT}, {counts} FROM {table} AS held WHERE {conditions}
            GROUP BY held.{PRINCIPAL_FINGERPRINT} ORDER BY held.{PRINCIPAL_FINGERPRINT}",
            counts = counts.join(", "),
            table = self.sql(),
        );
        builder.statement(text)
    }

    /// The statement that reads whose keys there are, page after page: of the rows after the one whose number is its
    /// first parameter, at most as many as the second one says. For a database that knows no SHA-256. SQLite only.
    ///
    /// Each row has its number, the principal and the key.
    ///
    /// ```
    /// assert!(cratestack_schema::TableName::default().names_page().contains("rowid > ?1"));
    /// ```
    pub fn names_page(&self) -> String {
        format!(
            "SELECT rowid, {PRINCIPAL_FINGERPRINT}, {KEY} FROM {} WHERE rowid > ?1 ORDER BY rowid LIMIT ?2",
            self.sql()
        )
    }
}

/// Whether the row `held` bears the token, an expression of its text.
pub(super) fn is_of_token(dialect: Dialect, token: &str) -> String {
    match dialect {
        Dialect::Postgres => format!("held.{RESERVATION_ID} = {token}::uuid"),
        Dialect::Sqlite => format!("lower(hex(held.{RESERVATION_ID})) = {token}"),
    }
}

impl RecordFilter {
    fn conditions(&self, builder: &mut Builder) -> String {
        let dialect = builder.dialect;
        let mut conditions = vec![is_record()];
        let hashed = |column: &str, digits: String| {
            format!("left(encode(sha256(convert_to(held.{column}, 'UTF8')), 'hex'), 16) = {digits}")
        };
        match &self.principal {
            None => {}
            Some(PrincipalFilter::Stored(stored)) => {
                conditions.push(format!("held.{PRINCIPAL_FINGERPRINT} = {}", builder.text(stored)));
            }
            Some(PrincipalFilter::InAnyNamespace(name)) => {
                let [alone, after] = [name, name].map(|name| builder.text(name));
                let place = place_of_mark(dialect);
                let is_after = match dialect {
                    Dialect::Postgres => format!(
                        "substring({bytes} FROM {place} + {length}) = convert_to({after}, 'UTF8')",
                        bytes = principal_bytes(),
                        length = NAMESPACE_MARK.len_utf8(),
                    ),
                    Dialect::Sqlite => format!("substr(held.{PRINCIPAL_FINGERPRINT}, {place} + 1) = {after}"),
                };
                conditions.push(format!("(held.{PRINCIPAL_FINGERPRINT} = {alone} OR ({place} > 1 AND {is_after}))"));
            }
            Some(PrincipalFilter::Hash(digits)) => {
                conditions.push(hashed(PRINCIPAL_FINGERPRINT, builder.text(digits)));
            }
        }
        match &self.key {
            None => {}
            Some(KeyFilter::Is(key)) => conditions.push(format!("held.{KEY} = {}", builder.text(key))),
            Some(KeyFilter::Hash(digits)) => conditions.push(hashed(KEY, builder.text(digits))),
        }
        match &self.namespace {
            NamespaceFilter::Any => {}
            // It says all by itself.
            _ if matches!(self.principal, Some(PrincipalFilter::Stored(_))) => {}
            // A mark at the very beginning is part of a principal's own spelling.
            NamespaceFilter::Outside => conditions.push(format!("{} <= 1", place_of_mark(dialect))),
            NamespaceFilter::Is(name) => {
                let start = format!("{name}{NAMESPACE_MARK}");
                let length = start.chars().count();
                let start = builder.text(&start);
                conditions.push(format!("substr(held.{PRINCIPAL_FINGERPRINT}, 1, {length}) = {start}"));
            }
        }
        if !self.states.is_empty() {
            let names: Vec<_> = self.states.iter().map(|state| format!("'{state}'")).collect();
            conditions.push(format!("{} IN ({})", state(dialect), names.join(", ")));
        }
        if self.lasting_ms > 0 {
            let (now, since) = (dialect.now(), since(dialect));
            let lasting = builder.integer(self.lasting_ms);
            conditions.push(match dialect {
                Dialect::Postgres => format!("{since} <= {now} - {lasting} * INTERVAL '1 millisecond'"),
                Dialect::Sqlite => format!("{since} <= {now} - {lasting}"),
            });
        }
        conditions.join(" AND ")
    }
}

/// The principal of the row `held` as UTF-8. On Postgres the mark is looked for in this, as a database of another
/// encoding may have no such character.
fn principal_bytes() -> String {
    format!("convert_to(held.{PRINCIPAL_FINGERPRINT}, 'UTF8')")
}

fn place_of_mark(dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres => format!("position(decode('e28692', 'hex') IN {})", principal_bytes()),
        Dialect::Sqlite => format!("instr(held.{PRINCIPAL_FINGERPRINT}, '{NAMESPACE_MARK}')"),
    }
}
