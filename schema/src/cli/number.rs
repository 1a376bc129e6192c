//! The numbers that order a migration tool's files.

use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn parse(text: &str) -> Result<String, String> {
    // What the tools keep in 64 bits.
    if (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("1 to 18 digits, such as 20250131093000 or 7".to_owned())
    }
}

/// The time in UTC, as the tools write it: `20250131093000`.
pub(super) fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    at(seconds)
}

fn at(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", second / 3_600, second / 60 % 60, second % 60)
}

/// From the days since 1970. Years begin in March here, so that the day that some years have more is their last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(at(0), "19700101000000");
        assert_eq!(at(951_782_399), "20000228235959");
        assert_eq!(at(951_782_400), "20000229000000");
        assert_eq!(at(1_735_689_599), "20241231235959");
        assert_eq!(at(4_107_542_400), "21000301000000");
    }

    #[test]
    fn numbers_are_digits() {
        assert!(parse("7").is_ok() && parse("20250131093000").is_ok());
        for bad in ["", "1.2", "-1", "V7", "../7", &"1".repeat(19)] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
