/// A second in UTC as migrations are numbered by it: `20260131093000`.
pub(super) fn utc_digits(unix_seconds: u64) -> String {
    // Years with five digits would be no version to any tool.
    let unix_seconds = unix_seconds.min(253_402_300_799);
    let (days, second_of_day) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Howard Hinnant's `civil_from_days`: years that begin in March end with the day that leap years add.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

/// The same, where the date is to be read: `2026-01-31-093000`.
pub(super) fn dashed(digits: &str) -> String {
    format!("{}-{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..8], &digits[8..])
}

#[cfg(test)]
mod tests {
    use super::{dashed, utc_digits};

    #[test]
    fn dates_are_right() {
        for (seconds, digits) in [
            (0, "19700101000000"),
            (951_782_400, "20000229000000"),
            (1_709_251_199, "20240229235959"),
            (1_767_225_599, "20251231235959"),
            (u64::MAX, "99991231235959"),
        ] {
            assert_eq!(utc_digits(seconds), digits);
        }
        assert_eq!(dashed(&utc_digits(1_709_251_199)), "2024-02-29-235959");
    }
}
