//! Which records a command is about: what its options say, and the rows that this means.

use std::io::Read as _;

use clap::Args;
use cratestack_schema::{Dialect, KeyFilter, NamespaceFilter, PrincipalFilter, RecordFilter, RecordState};

use super::connection::{Connection, PrincipalRow};
use super::principal::{self, Kind, short_hash};
use super::record::Record;
use crate::output::Failure;

/// Rows that are looked through at a time, where the database cannot compute a hash.
const SCAN_PAGE: i64 = 5_000;

#[derive(Args)]
#[allow(clippy::struct_field_names, reason = "the fields are named as their flags")]
pub struct Principal {
    /// Whose: a caller, given as --principal-as says; `-` reads it from standard input
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    principal: Option<String>,

    /// What --principal is
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Kind::Stored, requires = "principal")]
    principal_as: Kind,

    /// Whose: the 16 hexadecimal digits that logs and events show of a principal
    #[arg(long, value_name = "DIGITS", value_parser = digits, conflicts_with = "principal")]
    principal_hash: Option<String>,

    /// In this namespace alone [default: in each, and in none]
    #[arg(long, value_name = "NAME", value_parser = principal::namespace)]
    namespace: Option<String>,

    /// In no namespace alone
    #[arg(long, conflicts_with = "namespace")]
    no_namespace: bool,

    /// On SQLite, which computes no hashes: how many rows to look through for one
    #[arg(long, value_name = "ROWS", default_value_t = 1_000_000)]
    scan_limit: u64,
}

#[derive(Args)]
pub struct Key {
    /// The idempotency key, as the client sends it, without its quotes
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    key: Option<String>,

    /// The 16 hexadecimal digits that logs and events show of a key
    #[arg(long, value_name = "DIGITS", value_parser = digits, conflicts_with = "key")]
    key_hash: Option<String>,
}

fn digits(text: &str) -> Result<String, String> {
    if text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("it is the 16 hexadecimal digits that a log line has, such as d77da8028f3c5a13".to_owned())
    }
}

impl Key {
    /// Whatever the key.
    pub fn none() -> Self {
        Self { key: None, key_hash: None }
    }

    pub fn is_given(&self) -> bool {
        self.key.is_some() || self.key_hash.is_some()
    }
}

impl Principal {
    pub fn is_given(&self) -> bool {
        self.principal.is_some() || self.principal_hash.is_some()
    }

    pub fn is_by_hash(&self) -> bool {
        self.principal_hash.is_some()
    }

    fn filter(&self) -> Result<Option<PrincipalFilter>, Failure> {
        if let Some(digits) = &self.principal_hash {
            return Ok(Some(PrincipalFilter::Hash(digits.clone())));
        }
        let Some(name) = &self.principal else { return Ok(None) };
        let refused = |error: String| Failure::of("--principal", error);
        let stored = if name == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| refused(error.to_string()))?;
            // A line's end is the shell's, not the name's.
            self.principal_as.stored(text.strip_suffix('\n').unwrap_or(&text))
        } else {
            self.principal_as.stored(name)
        };
        let stored = stored.map_err(refused)?;
        Ok(Some(match &self.namespace {
            Some(namespace) => PrincipalFilter::Stored(principal::within(namespace, &stored)),
            None if self.no_namespace => PrincipalFilter::Stored(stored),
            None if principal::fits_everywhere(&stored) => PrincipalFilter::InAnyNamespace(stored),
            None => {
                let long = "a principal this long is spelled anew in each namespace: say --namespace or --no-namespace";
                return Err(refused(long.to_owned()));
            }
        }))
    }

    /// Everything that the options say, of these states.
    pub fn all(&self, key: &Key, states: &[RecordState]) -> Result<RecordFilter, Failure> {
        let key = match (&key.key, &key.key_hash) {
            (Some(key), _) => Some(KeyFilter::Is(key.clone())),
            (None, digits) => digits.clone().map(KeyFilter::Hash),
        };
        let namespace = match &self.namespace {
            Some(name) => NamespaceFilter::Is(name.clone()),
            None if self.no_namespace => NamespaceFilter::Outside,
            None => NamespaceFilter::Any,
        };
        Ok(RecordFilter {
            principal: self.filter()?,
            key,
            namespace,
            states: states.to_vec(),
            ..RecordFilter::default()
        })
    }

    /// The records, at most so many.
    pub async fn find(
        &self,
        connection: &mut Connection,
        filter: &RecordFilter,
        limit: u32,
    ) -> Result<Vec<Record>, Failure> {
        let dialect = connection.dialect();
        let mut records = Vec::new();
        for filter in self.without_hashes(connection, filter, usize::try_from(limit).unwrap_or(usize::MAX)).await? {
            let statement = connection.name.records(dialect, &filter, limit);
            records.extend(connection.records(&statement).await?);
        }
        records.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(records)
    }

    /// Whose records there are of those, and how many.
    pub async fn count(
        &self,
        connection: &mut Connection,
        filter: &RecordFilter,
    ) -> Result<Vec<PrincipalRow>, Failure> {
        let dialect = connection.dialect();
        let mut rows = Vec::new();
        for filter in self.without_hashes(connection, filter, usize::MAX).await? {
            let statement = connection.name.principals(dialect, &filter);
            rows.extend(connection.principals(&statement).await?);
        }
        Ok(rows)
    }

    /// The same without a hash, which SQLite cannot compute: the rows that it is of are looked for here.
    async fn without_hashes(
        &self,
        connection: &mut Connection,
        filter: &RecordFilter,
        limit: usize,
    ) -> Result<Vec<RecordFilter>, Failure> {
        let principal_hash = match &filter.principal {
            Some(PrincipalFilter::Hash(digits)) => Some(digits.as_str()),
            _ => None,
        };
        let key_hash = match &filter.key {
            Some(KeyFilter::Hash(digits)) => Some(digits.as_str()),
            _ => None,
        };
        if connection.dialect() == Dialect::Postgres || (principal_hash.is_none() && key_hash.is_none()) {
            return Ok(vec![filter.clone()]);
        }
        let is_meant = |hash: Option<&str>, text: &str| hash.is_none_or(|hash| short_hash(text) == hash);
        let mut found: Vec<RecordFilter> = Vec::new();
        let (mut after, mut seen) = (i64::MIN, 0_u64);
        loop {
            let page = connection.names(after, SCAN_PAGE).await?;
            let Some((last, ..)) = page.last() else { return Ok(found) };
            (after, seen) = (*last, seen + page.len() as u64);
            for (_, principal, key) in page {
                if !is_meant(principal_hash, &principal) || !is_meant(key_hash, &key) {
                    continue;
                }
                let mut narrowed = filter.clone();
                if principal_hash.is_some() {
                    narrowed.principal = Some(PrincipalFilter::Stored(principal));
                }
                if key_hash.is_some() {
                    narrowed.key = Some(KeyFilter::Is(key));
                }
                // A principal has many rows, and two principals may have one key.
                if !found.contains(&narrowed) {
                    found.push(narrowed);
                }
                if found.len() >= limit {
                    return Ok(found);
                }
            }
            if seen >= self.scan_limit {
                let text = format!("{seen} rows were looked through and there are more; a higher limit looks further");
                return Err(Failure::of("--scan-limit", text));
            }
        }
    }
}
