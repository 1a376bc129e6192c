use crate::table::TABLE;

/// An identifier, whatever it contains.
///
/// Always in quotes, so that no list of reserved words can be out of date, except for the names of our own, which were
/// published without.
pub(crate) fn quoted(name: &str) -> String {
    let ours = name
        .strip_prefix(TABLE)
        .is_some_and(|rest| rest.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')));
    if ours { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A string, whatever it contains, under either setting of Postgres' `standard_conforming_strings`.
pub(crate) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// What follows a flag. After a space, a word that begins with a hyphen would be a flag of its own.
pub(crate) fn shell(word: &str) -> String {
    let joint = if word.starts_with('-') { '=' } else { ' ' };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/');
    if word.bytes().all(plain) { format!("{joint}{word}") } else { format!("{joint}'{}'", word.replace('\'', r"'\''")) }
}
