//! A record as the commands show it.

use std::time::{Duration, UNIX_EPOCH};

use cratestack_schema::{NAMESPACE_MARK, RecordState};
use serde_json::{Map, Value, json};

use super::headers;
use super::principal::short_hash;
use super::steps;
use crate::output::{Failure, age, bytes, visible};

/// The columns of [`TableName::records`](cratestack_schema::TableName::records).
pub type RecordRow = (
    String,
    String,
    String,
    String,
    String,
    Option<i64>,
    i64,
    Option<i64>,
    i64,
    i64,
    i64,
    i64,
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    i64,
);

pub struct Record {
    pub principal: String,
    pub key: String,
    request_hash: String,
    pub token: String,
    pub state: RecordState,
    status: Option<i64>,
    created_at: i64,
    lease_ends_at: Option<i64>,
    expires_at: i64,
    attempt: i64,
    headers_bytes: i64,
    body_bytes: i64,
    now: i64,
    headers: Option<Vec<u8>>,
    body: Option<Vec<u8>>,
    pub steps_bytes: i64,
    /// As the row has them, where they were asked for.
    pub steps: Option<Vec<u8>>,
}

/// What is shown besides what a log may hold.
#[derive(Clone, Copy, Default)]
pub struct Shown {
    /// Key and principal in clear.
    pub names: bool,
    /// The recorded response.
    pub response: bool,
}

impl TryFrom<RecordRow> for Record {
    type Error = Failure;

    fn try_from(row: RecordRow) -> Result<Self, Failure> {
        Ok(Self {
            principal: row.0,
            key: row.1,
            request_hash: row.2,
            token: row.3,
            state: row.4.parse().map_err(|error| Failure::of("the database", error))?,
            status: row.5,
            created_at: row.6,
            lease_ends_at: row.7,
            expires_at: row.8,
            attempt: row.9,
            headers_bytes: row.10,
            body_bytes: row.11,
            now: row.12,
            headers: row.13,
            body: row.14,
            steps_bytes: row.15,
            steps: None,
        })
    }
}

/// The namespace that a stored principal bears.
pub fn namespace_of(principal: &str) -> Option<&str> {
    principal.split_once(NAMESPACE_MARK).map(|(namespace, _)| namespace).filter(|namespace| !namespace.is_empty())
}

/// A moment in milliseconds after the Unix epoch, as in `2026-01-31T09:30:00.125Z`.
pub fn moment(millis: i64) -> String {
    let distance = Duration::from_millis(millis.unsigned_abs());
    let moment = if millis < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    // A program that shares the table could have written anything; what is before 1970 has no spelling.
    match moment {
        Some(moment) if (0..253_402_300_800_000).contains(&millis) => {
            humantime::format_rfc3339_millis(moment).to_string()
        }
        _ => format!("{millis} ms after 1970"),
    }
}

impl Record {
    pub fn key_hash(&self) -> String {
        short_hash(&self.key)
    }

    pub fn principal_hash(&self) -> String {
        short_hash(&self.principal)
    }

    pub fn namespace(&self) -> Option<&str> {
        namespace_of(&self.principal)
    }

    /// How long it has been in its state, in seconds.
    pub fn lasting(&self) -> i64 {
        let since = match self.state {
            RecordState::InFlight | RecordState::Finished => self.created_at,
            RecordState::PastLease => self.lease_ends_at.unwrap_or(self.created_at),
            RecordState::Expired => self.expires_at,
        };
        (self.now - since).max(0) / 1_000
    }

    /// A line of a list; the columns are those of [`Record::TITLES`].
    pub fn line(&self, shown: Shown) -> [String; 7] {
        let (key, principal) = self.names(shown);
        [
            self.state.to_string(),
            age(self.lasting()),
            moment(self.created_at),
            self.attempt.to_string(),
            self.namespace().map_or_else(|| "-".to_owned(), visible),
            key,
            principal,
        ]
    }

    pub const TITLES: [&str; 7] = ["STATE", "FOR", "RESERVED", "ATTEMPT", "NAMESPACE", "KEY", "PRINCIPAL"];

    fn names(&self, shown: Shown) -> (String, String) {
        if shown.names {
            (visible(&self.key), visible(&self.principal))
        } else {
            (self.key_hash(), self.principal_hash())
        }
    }

    /// Several lines.
    pub fn text(&self, shown: Shown) -> String {
        let (key, principal) = self.names(shown);
        let hashed = if shown.names { "" } else { " (hash)" };
        let lease =
            self.lease_ends_at.map(|end| if end <= self.now { ("lease ended", end) } else { ("lease ends", end) });
        let mut lines = vec![
            ("state", format!("{}, for {}", self.state, age(self.lasting()))),
            ("key", format!("{key}{hashed}")),
            ("principal", format!("{principal}{hashed}")),
            ("namespace", self.namespace().map_or_else(|| "-".to_owned(), visible)),
            ("request hash", self.request_hash.clone()),
            ("attempt", self.attempt.to_string()),
            ("reserved", moment(self.created_at)),
        ];
        lines.extend(lease.map(|(what, end)| (what, moment(end))));
        lines.push((if self.state == RecordState::Expired { "expired" } else { "expires" }, moment(self.expires_at)));
        if let Some(status) = self.status {
            lines.push(("status", status.to_string()));
            lines.push(("headers", bytes(self.headers_bytes)));
            lines.push(("body", bytes(self.body_bytes)));
        }
        if self.steps_bytes > 0 {
            lines.push(("steps", self.steps_line()));
        }
        lines.push(("clock", format!("{} (the database's)", moment(self.now))));
        let mut lines: Vec<_> = lines.iter().map(|(what, value)| format!("{what:<14}{value}")).collect();
        if shown.response && self.status.is_some() {
            lines.push(String::new());
            lines.extend(self.response());
        }
        lines.join("\n") + "\n"
    }

    /// The names of its run's steps, or how large they are where they were not asked for.
    fn steps_line(&self) -> String {
        let Some(steps) = &self.steps else { return bytes(self.steps_bytes) };
        let Some(names) = steps::names(steps) else { return "(damaged)".to_owned() };
        let shown: Vec<_> = names.iter().map(|name| visible(name)).collect();
        format!("{}: {}", names.len(), shown.join(", "))
    }

    fn response(&self) -> Vec<String> {
        let mut lines: Vec<_> = match headers::decode(self.headers.as_deref().unwrap_or_default()) {
            Some(headers) => {
                headers.iter().map(|(name, value)| format!("{}: {}", visible(name), visible(value))).collect()
            }
            None => vec!["(the headers are damaged)".to_owned()],
        };
        lines.push(String::new());
        // Line by line, as a page of HTML or JSON may well have several.
        let body = String::from_utf8_lossy(self.body.as_deref().unwrap_or_default());
        lines.extend(body.lines().map(visible));
        lines
    }

    pub fn json(&self, shown: Shown) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
        put("state", json!(self.state.name()));
        put("lasting_seconds", json!(self.lasting()));
        put("key_hash", json!(self.key_hash()));
        put("principal_hash", json!(self.principal_hash()));
        put("namespace", json!(self.namespace()));
        put("request_hash", json!(self.request_hash));
        put("attempt", json!(self.attempt));
        put("reserved_at", json!(moment(self.created_at)));
        put("lease_ends_at", json!(self.lease_ends_at.map(moment)));
        put("expires_at", json!(moment(self.expires_at)));
        put("status", json!(self.status));
        put("headers_bytes", json!(self.headers_bytes));
        put("body_bytes", json!(self.body_bytes));
        put("steps_bytes", json!(self.steps_bytes));
        put("now", json!(moment(self.now)));
        if let Some(steps) = &self.steps {
            put("steps", json!(steps::names(steps)));
        }
        if shown.names {
            put("key", json!(self.key));
            put("principal", json!(self.principal));
        }
        if shown.response {
            let headers = self.headers.as_deref().map(headers::decode);
            put("headers", json!(headers.flatten()));
            let body = self.body.as_deref();
            put("body", json!(body.and_then(|body| std::str::from_utf8(body).ok())));
            let bytes = body.filter(|body| std::str::from_utf8(body).is_err());
            put("body_hex", json!(bytes.map(super::principal::hex)));
        }
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_one_spelling_and_none_panics() {
        assert_eq!(moment(1_769_851_800_125), "2026-01-31T09:30:00.125Z");
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(253_402_214_400_000), "9999-12-31T00:00:00.000Z");
        for millis in [i64::MIN, -1, i64::MAX] {
            assert!(moment(millis).ends_with("ms after 1970"));
        }
    }

    #[test]
    fn a_namespace_stands_before_the_first_mark() {
        assert_eq!(namespace_of("orders→→x"), Some("orders"));
        assert_eq!((namespace_of("alice"), namespace_of("→x")), (None, None));
    }
}
