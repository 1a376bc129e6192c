//! The one line on stderr that a change leaves.

use std::env;

use cratestack_schema::RecordState;

use super::connection::Connection;
use super::record::moment;

/// How many records there are in each state, in the order of [`RecordState::ALL`].
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u64; 4]);

impl Counts {
    pub fn add(&mut self, state: RecordState, count: u64) {
        if let Some(place) = RecordState::ALL.iter().position(|other| *other == state) {
            self.0[place] += count;
        }
    }

    pub fn of(self, state: RecordState) -> u64 {
        RecordState::ALL.iter().zip(self.0).find(|(other, _)| **other == state).map_or(0, |(_, count)| count)
    }

    pub fn all(self) -> u64 {
        self.0.iter().sum()
    }

    pub fn each(self) -> impl Iterator<Item = (&'static str, u64)> {
        RecordState::ALL.map(RecordState::name).into_iter().zip(self.0)
    }
}

/// Writes `audit: action=… …`: a word, an equals sign and a value each, which is quoted as JSON has it where it is no
/// plain word. What identifies a caller or a key is hashed.
pub async fn audit(
    connection: &mut Connection,
    action: &str,
    counts: Counts,
    what: &[(&str, String)],
    by: Option<String>,
) -> Option<String> {
    // What was changed is told in any case, also where the database has gone away since.
    let (now, role) = connection.moment().await.map_or((None, None), |(now, role)| (Some(moment(now)), role));
    let mut members = vec![("action", action.to_owned()), ("rows", counts.all().to_string())];
    members.extend(counts.each().map(|(state, count)| (state, count.to_string())));
    members.extend(what.iter().cloned());
    members.push(("table", connection.name.sql()));
    members.push(("database", connection.place.clone()));
    members.extend(role.map(|role| ("role", role)));
    members.extend(by.or_else(person).map(|by| ("by", by)));
    members.push(("at", now.clone().unwrap_or_else(|| "unknown".to_owned())));
    let members: Vec<_> = members.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
    eprintln!("audit: {}", members.join(" "));
    now
}

/// Who is at the keyboard, as far as the system says; behind `sudo`, who called it.
fn person() -> Option<String> {
    let named = |name| env::var(name).ok().filter(|value| !value.is_empty());
    ["SUDO_USER", "USER", "LOGNAME", "USERNAME"].into_iter().find_map(named)
}

fn plain(value: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-.:/@→".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        value.to_owned()
    } else {
        serde_json::Value::from(value).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn no_value_leaves_its_place() {
        assert_eq!(plain("orders→x"), "orders→x");
        assert_eq!(plain(""), r#""""#);
        assert_eq!(plain("a b=c\n\x1b[2J\""), r#""a b=c\n\u001b[2J\"""#);
    }
}
