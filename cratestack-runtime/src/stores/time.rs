//! Durations and moments in the grain in which a database counts time.

use std::time::{Duration, SystemTime};

use crate::store::StoreError;

/// The grain in which a database counts time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tick {
    #[cfg(feature = "postgres")]
    Microsecond,
    #[cfg(any(feature = "redis", feature = "sqlite"))]
    Millisecond,
}

/// How long a reservation lasts, and how long its row is kept, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) lease: i64,
    pub(crate) retention: i64,
}

/// Databases refuse timestamps that `Duration` can reach. Nobody waits longer than this for a retry.
const MAX_DURATION: Duration = Duration::from_hours(100 * 365 * 24);

impl Tick {
    const fn nanos(self) -> u64 {
        match self {
            #[cfg(feature = "postgres")]
            Self::Microsecond => 1_000,
            #[cfg(any(feature = "redis", feature = "sqlite"))]
            Self::Millisecond => 1_000_000,
        }
    }

    /// A duration in whole ticks: no shorter than asked for, within what a database can add to its clock.
    pub(crate) fn count(self, duration: Duration) -> i64 {
        let ticks = duration.min(MAX_DURATION).as_nanos().div_ceil(u128::from(self.nanos()));
        i64::try_from(ticks).unwrap_or(i64::MAX)
    }

    /// The times of a new reservation.
    ///
    /// The lease never outlasts the retention, and lasts a tick where that does. Both matter: whether a lease counts is
    /// read off the row by `lease_expires_at > created_at`, see the statements.
    pub(crate) fn reservation(self, lease: Duration, retention: Duration) -> Times {
        let retention = self.count(retention);
        Times { lease: self.count(lease).max(1).min(retention), retention }
    }

    /// The times of a renewal, which its statement reconciles with the row's.
    pub(crate) fn renewal(self, lease: Duration, retention: Duration) -> Times {
        Times { lease: self.count(lease), retention: self.count(retention) }
    }

    /// Whether so many ticks are more than has gone by.
    pub(crate) fn outlast(self, ticks: i64, elapsed: Duration) -> bool {
        u128::try_from(ticks).unwrap_or_default() * u128::from(self.nanos()) > elapsed.as_nanos()
    }

    /// The moment so many ticks after the Unix epoch.
    pub(crate) fn moment(self, ticks: i64) -> Result<SystemTime, StoreError> {
        let (count, each) = (ticks.unsigned_abs(), self.nanos());
        let a_second = 1_000_000_000 / each;
        let distance = Duration::from_secs(count / a_second) + Duration::from_nanos(count % a_second * each);
        let epoch = SystemTime::UNIX_EPOCH;
        let moment = if ticks < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) };
        moment.ok_or_else(|| StoreError::Codec(format!("a time is out of range ({ticks} from the Unix epoch)")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "postgres")]
    #[test]
    fn durations_are_rounded_up_and_clamped() {
        let tick = Tick::Microsecond;
        assert_eq!(tick.count(Duration::ZERO), 0);
        assert_eq!(tick.count(Duration::from_nanos(1)), 1);
        assert_eq!(tick.count(Duration::from_secs(1)), 1_000_000);
        assert_eq!(tick.count(Duration::MAX), 100 * 365 * 86_400 * 1_000_000);
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn a_lease_lies_within_its_retention() {
        let seconds = Duration::from_secs;
        let times = |lease, retention| {
            let Times { lease, retention } = Tick::Millisecond.reservation(lease, retention);
            (lease, retention)
        };
        assert_eq!(times(seconds(30), seconds(60)), (30_000, 60_000));
        assert_eq!(times(seconds(90), seconds(60)), (60_000, 60_000));
        assert_eq!(times(Duration::ZERO, seconds(60)), (1, 60_000));
        assert_eq!(times(seconds(30), Duration::ZERO), (0, 0));
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn a_lease_outlasts_what_is_shorter() {
        let tick = Tick::Millisecond;
        assert!(tick.outlast(30, Duration::from_micros(29_999)));
        assert!(!tick.outlast(30, Duration::from_millis(30)));
        assert!(!tick.outlast(0, Duration::ZERO) && !tick.outlast(-30, Duration::ZERO));
        assert!(tick.outlast(i64::MAX, Duration::from_secs(86_400)));
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn moments_reach_both_ways_and_never_panic() {
        let tick = Tick::Millisecond;
        assert_eq!(tick.moment(1_500).unwrap(), SystemTime::UNIX_EPOCH + Duration::from_millis(1_500));
        assert_eq!(tick.moment(-1_500).unwrap(), SystemTime::UNIX_EPOCH - Duration::from_millis(1_500));
        let _ = (tick.moment(i64::MAX), tick.moment(i64::MIN));
    }
}
