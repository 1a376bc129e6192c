use uuid::Uuid;

use super::super::bench::{A, Answer, Bench, Checked, LONG, describe, ensure};
use crate::store::ReservationOutcome;

/// Strings that some layer between the trait and the disk could take for another one.
const HOSTILE: &[&[&str]] = &[
    // white space
    &["plain", "plain ", "plain  ", " plain", "plain\t", "plain\n", "plain\r", "plain\r\n", "pl ain", " ", "\n"],
    // letter case, in pairs that fold to one
    &["Plain", "PLAIN", "straße", "STRASSE", "strasse", "i", "I", "ı", "İ", "i\u{307}", "K", "k", "\u{212a}", "σ", "ς"],
    &["Σ"],
    // one look, several spellings: composed, decomposed, compatible
    &["é", "e\u{301}", "e", "Å", "A\u{30a}", "\u{212b}", "ﬁ", "fi", "①", "1", "ａ", "a", "한"],
    &["\u{1112}\u{1161}\u{11ab}", "a\u{323}\u{307}", "a\u{307}\u{323}"],
    // characters that are not seen
    &["a\u{200b}", "a\u{200d}", "\u{feff}a", "a\u{ad}", "a\u{a0}", "a\u{202e}", "\u{1}", "\u{7f}", "\u{1b}[0m"],
    &["\u{fffd}"],
    // beyond 16 bits
    &["👩\u{200d}👩", "👩", "\u{10ffff}"],
    // quotes and escapes
    &["'", "''", "\"", "\"\"", "`", "\\", "\\\\", "\\'", "\\0", "\\n", "\\x00", "\\u0000", "%00", "&amp;", "&"],
    // patterns and placeholders
    &["%", "_", "%%", "pl%", "pl_in", "pl*", "pl?in", "[p]lain", "pl[a-z]in", "*", "?", "^plain$", "$1", "$2", "?1"],
    &[":key", "@p1", "{plain}", "{}", "%s", "${plain}"],
    // statements and protocols
    &["'; DROP TABLE cratestack_idempotency; --", "' OR '1'='1", "plain'--", "/* plain */", "*1\r\n$8\r\nFLUSHALL\r\n"],
    &["a:b", "a::b", "a:", ":a", "a/b", "a/../b", "a,b", "a;b", "a=b", "a|b"],
    // words and numbers that a type could swallow
    &["NULL", "null", "nil", "true", "TRUE", "0", "00", "0.0", "-0", "1e0", "01", "+1", "NaN", "Infinity"],
];

/// The hostile strings and some of the greatest length a key has.
fn hostile() -> Vec<String> {
    let mut names: Vec<String> = HOSTILE.iter().copied().flatten().map(|&name| name.to_owned()).collect();
    names.extend(["k".repeat(255), "k".repeat(254), format!("{}K", "k".repeat(254)), format!("{} ", "k".repeat(254))]);
    names.extend([format!("K{}", "k".repeat(254)), "\u{20ac}".repeat(255), "%".repeat(255), "\\".repeat(255)]);
    names
}

pub(super) async fn hostile_keys_stay_distinct(bench: Bench) -> Checked {
    let names = hostile().into_iter().map(|key| (bench.clone(), key));
    stay_distinct(names.collect(), |_, key| key.to_owned()).await
}

pub(super) async fn hostile_principals_stay_distinct(bench: Bench) -> Checked {
    // The strings stand alone as principals, so it is the key that keeps this run apart from others.
    let key = Uuid::new_v4().to_string();
    let names = hostile().into_iter().map(|principal| (bench.as_principal(&principal), key.clone()));
    stay_distinct(names.collect(), |bench, _| bench.principal.to_string()).await
}

async fn stay_distinct(names: Vec<(Bench, String)>, name: fn(&Bench, &str) -> String) -> Checked {
    let mut held = Vec::new();
    for (bench, key) in names {
        let name = name(&bench, &key);
        let token = bench.take(&key, A, LONG, &format!("{name:?}, which nobody reserved yet")).await?;
        held.push((bench, key, name, token));
    }
    for (bench, key, name, token) in &held {
        bench.record(key, *token, &Answer::new(200, name)).await?;
    }
    for (bench, key, name, _) in &held {
        let record = bench.replays(key, A, &Answer::new(200, name), &format!("the outcome of {name:?}")).await?;
        ensure!(record.key == *key, "the record of key {key:?} names the key {:?}", record.key);
        ensure!(
            *record.principal_fingerprint == *bench.principal,
            "the record of principal {:?} names the principal {:?}",
            bench.principal,
            record.principal_fingerprint
        );
    }
    Ok(())
}

/// No HTTP header carries NUL, and some databases cannot: an error is an answer, another key's row is not.
pub(super) async fn nul_is_refused_or_kept(bench: Bench) -> Checked {
    let key = Uuid::new_v4().to_string();
    let names = ["plain", "", "\0", "\0\0", "plain\0", "plain\0tail", "\0plain", "pla\0in"];
    let as_keys = names.map(|key| (bench.clone(), key.to_owned(), key));
    let as_principals = names.map(|principal| (bench.as_principal(principal), key.clone(), principal));
    for group in [as_keys, as_principals] {
        let mut held: Vec<(Bench, String, &str, Uuid)> = Vec::new();
        for (bench, key, name) in group {
            match bench.try_claim(&key, A, LONG).await {
                Ok(ReservationOutcome::Reserved { token }) => held.push((bench, key, name, token)),
                Ok(other) => ensure!(false, "{name:?} was taken for another string: got {}", describe(&other)),
                Err(error) => ensure!(may_be_refused(name), "{name:?} was refused: {error}"),
            }
        }
        for (bench, key, name, token) in &held {
            bench.record(key, *token, &Answer::new(200, name)).await?;
        }
        for (bench, key, name, _) in &held {
            bench.replays(key, A, &Answer::new(200, name), &format!("the outcome of {name:?}")).await?;
        }
    }
    Ok(())
}

/// Only what a database may be unable to hold.
fn may_be_refused(name: &str) -> bool {
    name.is_empty() || name.contains('\0')
}

#[cfg(test)]
#[test]
fn no_hostile_string_is_listed_twice() {
    let names = hostile();
    let distinct: std::collections::HashSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
}
