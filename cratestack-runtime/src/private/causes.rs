//! What an error was caused by, where the work ran in a transaction.

use std::error::Error;

#[cfg(feature = "macros")]
use crate::function::Recorder;
use crate::handle::FailureCause;
use crate::store::StoreDatabase;
use sqlx::error::DatabaseError;

/// What of the database's an error was caused by, anywhere down its chain.
pub(super) fn cause_of(error: &(dyn Error + 'static)) -> Option<FailureCause> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| match error.downcast_ref() {
        Some(sqlx::Error::Database(refused)) => {
            Some(if is_transient(&**refused) { FailureCause::Transient } else { FailureCause::Other })
        }
        _ => None,
    })
}

fn is_transient(error: &dyn DatabaseError) -> bool {
    let databases: &[fn(&dyn DatabaseError) -> bool] = &[
        #[cfg(feature = "postgres")]
        sqlx::Postgres::is_transient,
        #[cfg(feature = "sqlite")]
        sqlx::Sqlite::is_transient,
    ];
    databases.iter().any(|is_transient| is_transient(error))
}

#[cfg(feature = "macros")]
impl<T, E: Error + 'static> Recorder<T, E> {
    /// An error tells what caused it.
    #[must_use]
    pub fn telling_causes(self) -> Self {
        self.caused_by(|error| cause_of(error))
    }
}

/// Other results do not tell what caused them.
#[cfg(feature = "macros")]
pub trait AnyRecorder: Sized {
    /// There is no cause to be found.
    #[must_use]
    fn telling_causes(self) -> Self {
        self
    }
}

#[cfg(feature = "macros")]
impl<R> AnyRecorder for R {}
