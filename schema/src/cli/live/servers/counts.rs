//! What the records of one server, or of several, come to.

use cratestack_schema::RecordState;
use serde_json::{Value, json};

use crate::output::{age, bytes};

/// What is looked at of one record. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub attempt: i64,
    pub created: i64,
    pub lease: i64,
    pub expires: i64,
    pub is_finished: bool,
    pub bytes: i64,
}

impl Seen {
    fn state(&self, now: i64) -> RecordState {
        if self.expires <= now {
            RecordState::Expired
        } else if self.is_finished {
            RecordState::Finished
        } else if self.lease > now {
            RecordState::InFlight
        } else {
            RecordState::PastLease
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub records: i64,
    in_flight: i64,
    past_lease: i64,
    finished: i64,
    expired: i64,
    /// Those whose run before went silent.
    retaken: i64,
    oldest: Option<i64>,
    next_expiry: Option<i64>,
    last_expiry: Option<i64>,
    /// Of what is recorded: headers and bodies.
    response_bytes: i64,
    /// How many records the server was asked the size of, and what they take.
    sampled: i64,
    sampled_bytes: i64,
    /// Keys that begin like a record's and are none.
    pub foreign: i64,
}

impl Counts {
    pub fn add(&mut self, seen: &Seen, now: i64) {
        self.records += 1;
        *match seen.state(now) {
            RecordState::InFlight => &mut self.in_flight,
            RecordState::PastLease => &mut self.past_lease,
            RecordState::Finished => &mut self.finished,
            RecordState::Expired => &mut self.expired,
        } += 1;
        self.retaken += i64::from(seen.attempt > 1);
        self.response_bytes = self.response_bytes.saturating_add(seen.bytes);
        let seconds = (now - seen.created) / 1_000;
        self.oldest = self.oldest.max(Some(seconds));
        let left = (seen.expires - now).max(0) / 1_000;
        self.next_expiry = Some(self.next_expiry.map_or(left, |next| next.min(left)));
        self.last_expiry = self.last_expiry.max(Some(left));
    }

    /// What one of the records takes, as the server says.
    pub fn sample(&mut self, bytes: i64) {
        self.sampled += 1;
        self.sampled_bytes = self.sampled_bytes.saturating_add(bytes);
    }

    /// What all records take, if they are like those that were looked at.
    fn memory(&self) -> Option<i64> {
        // A sum of bytes may be large, and the number of records too.
        let whole = i128::from(self.sampled_bytes) * i128::from(self.records) / i128::from(self.sampled.max(1));
        (self.sampled > 0).then(|| i64::try_from(whole).unwrap_or(i64::MAX))
    }

    pub fn lines(&self) -> String {
        let or_dash = |seconds: Option<i64>| seconds.map_or_else(|| "-".to_owned(), age);
        let memory = self.memory().map_or_else(|| "-".to_owned(), bytes);
        let mut lines = vec![
            ("records", self.records.to_string()),
            ("finished", self.finished.to_string()),
            ("in flight", self.in_flight.to_string()),
            ("past their lease", self.past_lease.to_string()),
            ("attempts over 1", self.retaken.to_string()),
            ("oldest", or_dash(self.oldest)),
            ("next expiry in", or_dash(self.next_expiry)),
            ("last expiry in", or_dash(self.last_expiry)),
            ("responses", bytes(self.response_bytes)),
            ("memory, about", memory),
        ];
        if self.foreign > 0 {
            lines.push(("other keys", self.foreign.to_string()));
        }
        lines.into_iter().map(|(what, count)| format!("{what:<18}{count:>16}\n")).collect::<Vec<_>>().concat()
    }

    pub fn json(&self, servers: &[(String, i64)], milliseconds: u128) -> Value {
        let servers: Vec<_> =
            servers.iter().map(|(address, rows)| json!({ "address": address, "rows": rows })).collect();
        json!({
            "rows": self.records, "in_flight": self.in_flight, "past_lease": self.past_lease, "expired": self.expired,
            "finished": self.finished, "attempts_over_one": self.retaken, "oldest_seconds": self.oldest,
            "next_expiry_seconds": self.next_expiry, "last_expiry_seconds": self.last_expiry,
            "response_bytes": self.response_bytes, "memory_bytes": self.memory(), "sampled": self.sampled,
            "other_keys": self.foreign, "milliseconds": u64::try_from(milliseconds).unwrap_or(u64::MAX),
            "servers": servers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: Seen =
        Seen { attempt: 1, created: 1_000, lease: 9_000, expires: 50_000, is_finished: false, bytes: 0 };

    #[test]
    fn records_are_counted_by_their_state() {
        let mut counts = Counts::default();
        for seen in [
            RUNNING,
            Seen { attempt: 2, lease: 5_000, ..RUNNING },
            Seen { is_finished: true, bytes: 700, created: 500, ..RUNNING },
            Seen { expires: 5_000, ..RUNNING },
        ] {
            counts.add(&seen, 5_000);
        }
        counts.sample(100);
        counts.sample(200);
        assert_eq!(
            counts.json(&[("a:1".to_owned(), 4)], 7),
            json!({
                "rows": 4, "in_flight": 1, "past_lease": 1, "expired": 1, "finished": 1, "attempts_over_one": 1,
                "oldest_seconds": 4, "next_expiry_seconds": 0, "last_expiry_seconds": 45, "response_bytes": 700,
                "memory_bytes": 600, "sampled": 2, "other_keys": 0, "milliseconds": 7,
                "servers": [{ "address": "a:1", "rows": 4 }],
            })
        );
        assert!(counts.lines().contains("memory, about                600 B\n"), "{}", counts.lines());
    }

    #[test]
    fn of_nothing_there_is_nothing_to_tell() {
        let lines = Counts::default().lines();
        assert!(
            lines.contains("oldest                           -\n")
                && lines.contains("memory, about                    -\n"),
            "{lines}"
        );
    }
}
