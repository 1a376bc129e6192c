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
fn milliseconds(text: &str) -> Result<u64, (String, String)> {
    const FORM: &str = "write a whole number and a unit (ms, s, m, h, d or w), such as \"24h\" or \"1h 30m\"";
    let malformed = |what: String| Err((what, FORM.to_owned()));
    let mut rest = text.trim();
    if rest.is_empty() {
        return malformed("this is an empty duration".to_owned());
    }
    if rest.starts_with('-') {
        return malformed("a duration cannot be negative".to_owned());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after_number) = rest.split_at(digits);
        let spaced = after_number.trim_start();
        let letters = spaced.find(|c: char| !c.is_alphabetic()).unwrap_or(spaced.len());
        let (unit, after) = spaced.split_at(letters);
        if number.is_empty() {
            return malformed(format!("`{text}` is not a duration"));
        }
        if unit.is_empty() {
            return malformed(match after_number.chars().next() {
                Some('.') => format!("`{text}` is not a whole number"),
                Some(other) if !other.is_whitespace() => format!("`{text}` is not a duration"),
                _ => format!("`{text}` has a number without a unit"),
            });
        }
        let Some((_, scale)) = UNITS_IN_MS.iter().find(|(name, _)| *name == unit) else {
            let what = format!("`{unit}` is not a unit of time");
            let Some(meant) = unit_meant_by(unit) else { return malformed(what) };
            let written = rest[..rest.len() - after.len()].to_owned();
            return Err((what, format!("write `{number}{meant}` for `{written}`")));
        };
        if spaced.len() < after_number.len() {
            let what = format!("`{text}` has a space between a number and its unit");
            return Err((what, format!("write `{number}{unit}`")));
        }
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*scale));
        total = part.and_then(|part| total.checked_add(part)).filter(|total| *total <= MAX_MS).ok_or_else(|| {
            (format!("`{text}` is longer than ten years"), "write a shorter duration, such as \"24h\"".to_owned())
        })?;
        rest = after.trim_start();
    }
    if total == 0 {
        return Err(("a duration of zero keeps nothing".to_owned(), "write at least \"1ms\"".to_owned()));
    }
    Ok(total)
}

/// The unit for which people write `word`. A capital `M` may be minutes, or months.
fn unit_meant_by(word: &str) -> Option<&'static str> {
    Some(match &*word.to_lowercase() {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "w" | "week" | "weeks" => "w",
        _ => return None,
    })
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
        for (text, mistake, fix) in [
            ("", "empty", "\"24h\""),
            ("24", "without a unit", "\"24h\""),
            ("1h 30", "without a unit", "\"24h\""),
            ("1 30m", "without a unit", "\"24h\""),
            ("h", "not a duration", "\"24h\""),
            ("24_h", "not a duration", "\"24h\""),
            ("24 h", "a space between a number and its unit", "write `24h`"),
            ("1h 30 m", "a space between a number and its unit", "write `30m`"),
            ("1 day", "`day` is not a unit", "write `1d` for `1 day`"),
            ("2 weeks 3d", "`weeks` is not a unit", "write `2w` for `2 weeks`"),
            ("24hours", "`hours` is not a unit", "write `24h` for `24hours`"),
            ("24H", "`H` is not a unit", "write `24h` for `24H`"),
            ("1M", "`M` is not a unit", "\"24h\""),
            ("1 month", "`month` is not a unit", "\"24h\""),
            ("-5s", "negative", "\"24h\""),
            ("0s", "zero", "\"1ms\""),
            ("1.5h", "whole number", "\"24h\""),
            ("100000d", "ten years", "\"24h\""),
            ("99999999999999999999s", "ten years", "\"24h\""),
            ("5µs", "not a unit", "\"24h\""),
        ] {
            let (what, help) = milliseconds(text).unwrap_err();
            assert!(what.contains(mistake), "{text}: {what}");
            assert!(help.contains(fix), "{text}: {help}");
        }
    }
}
