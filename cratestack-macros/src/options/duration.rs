use syn::LitStr;

use crate::mistake::mistake;

/// Ten years. Longer than this is a mistake, not a setting.
const MAX_MS: u64 = 10 * 366 * 24 * 60 * 60 * 1_000;

const UNITS_IN_MS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// Reads `"24h"`, `"1h 30m"`, `"250ms"`, as milliseconds.
pub(super) fn parse(literal: &LitStr) -> syn::Result<u64> {
    milliseconds(&literal.value()).map_err(|(what, help)| mistake(literal, what, help))
}

/// The error is what is wrong, and what to write instead.
fn milliseconds(text: &str) -> Result<u64, (String, &'static str)> {
    const FORM: &str = "write a whole number and a unit (ms, s, m, h, d or w), such as \"24h\" or \"1h 30m\"";
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(("this is an empty duration".to_owned(), FORM));
    }
    if rest.starts_with('-') {
        return Err(("a duration cannot be negative".to_owned(), FORM));
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        if number.is_empty() {
            return Err((format!("`{text}` is not a duration"), FORM));
        }
        if after.starts_with('.') && unit.is_empty() {
            return Err((format!("`{text}` is not a whole number"), FORM));
        }
        if unit.is_empty() {
            return Err((format!("`{text}` has a number without a unit"), FORM));
        }
        let Some((_, scale)) = UNITS_IN_MS.iter().find(|(name, _)| *name == unit) else {
            return Err((format!("`{unit}` is not a unit of time"), FORM));
        };
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*scale));
        total = part.and_then(|part| total.checked_add(part)).filter(|total| *total <= MAX_MS).ok_or_else(|| {
            (format!("`{text}` is longer than ten years"), "write a shorter duration, such as \"24h\"")
        })?;
        rest = after.trim_start();
    }
    if total == 0 {
        return Err(("a duration of zero keeps nothing".to_owned(), "write at least \"1ms\""));
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(milliseconds("250ms"), Ok(250));
        assert_eq!(milliseconds("24h"), Ok(86_400_000));
        assert_eq!(milliseconds(" 1h 30m "), Ok(5_400_000));
        assert_eq!(milliseconds("1h30m"), Ok(5_400_000));
        assert_eq!(milliseconds("2w"), Ok(1_209_600_000));
    }

    #[test]
    fn names_the_mistake() {
        for (text, mistake) in [
            ("", "empty"),
            ("24", "without a unit"),
            ("h", "not a duration"),
            ("24 h", "without a unit"),
            ("24hours", "not a unit"),
            ("-5s", "negative"),
            ("0s", "zero"),
            ("1.5h", "whole number"),
            ("100000d", "ten years"),
            ("99999999999999999999s", "ten years"),
            ("5µs", "not a unit"),
        ] {
            let (what, _) = milliseconds(text).unwrap_err();
            assert!(what.contains(mistake), "{text}: {what}");
        }
    }
}
