use std::time::SystemTime;

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueRef};
use sqlx::{Decode, Postgres, Type};

use crate::stores::time::Tick;

pub(super) const TICK: Tick = Tick::Microsecond;

/// A `timestamptz` as it comes: the server computes nothing of it.
#[derive(Debug, PartialEq)]
pub(super) struct Timestamptz(pub(super) SystemTime);

/// What Postgres counts from, the beginning of the year 2000, in microseconds after the Unix epoch.
const EPOCH: i64 = 946_684_800_000_000;

/// The beginning of the year 1 and the last day of 9999. An operator may have kept a row forever with 'infinity', which
/// Postgres writes as the largest number.
const FIRST: i64 = -62_135_596_800_000_000;
const LAST: i64 = 253_402_214_400_000_000;

fn since_unix(micros: i64) -> i64 {
    micros.saturating_add(EPOCH).clamp(FIRST, LAST)
}

impl Type<Postgres> for Timestamptz {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl<'r> Decode<'r, Postgres> for Timestamptz {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let micros = <i64 as Decode<Postgres>>::decode(value)?;
        Ok(Self(TICK.moment(since_unix(micros))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_count_from_the_unix_epoch_and_infinity_ends() {
        assert_eq!(since_unix(0), EPOCH);
        assert_eq!(since_unix(-EPOCH + 1), 1);
        assert_eq!([i64::MIN, i64::MAX].map(since_unix), [FIRST, LAST]);
        assert!([FIRST, LAST].iter().all(|end| TICK.moment(*end).is_ok()));
    }
}
