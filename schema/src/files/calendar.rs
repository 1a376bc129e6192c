/// A second in UTC, as migrations are numbered by it.
pub(super) struct UtcSecond {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
}

impl UtcSecond {
    pub(super) fn of(unix_seconds: u64) -> Self {
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
        Self { year: year_of_era + era * 400 + u64::from(month <= 2), month, day, second_of_day }
    }

    fn clock(&self) -> (u64, u64, u64) {
        (self.second_of_day / 3_600, self.second_of_day / 60 % 60, self.second_of_day % 60)
    }

    /// `20260131093000`
    pub(super) fn digits(&self) -> String {
        let (hour, minute, second) = self.clock();
        format!("{:04}{:02}{:02}{hour:02}{minute:02}{second:02}", self.year, self.month, self.day)
    }

    /// `2026-01-31-093000`
    pub(super) fn dashed(&self) -> String {
        let (hour, minute, second) = self.clock();
        format!("{:04}-{:02}-{:02}-{hour:02}{minute:02}{second:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::UtcSecond;

    #[test]
    fn dates_are_right() {
        for (seconds, digits) in [
            (0, "19700101000000"),
            (951_782_400, "20000229000000"),
            (1_709_251_199, "20240229235959"),
            (1_767_225_599, "20251231235959"),
            (u64::MAX, "99991231235959"),
        ] {
            assert_eq!(UtcSecond::of(seconds).digits(), digits);
        }
        assert_eq!(UtcSecond::of(1_709_251_199).dashed(), "2024-02-29-235959");
    }
}
