//! Deleting what has expired.

use sqlx::SqlStr;

use super::database::Database;
use crate::store::StoreError;
use crate::stores::sql::Cause;

/// How often a sweep is tried that others are in the way of.
const MAX_ATTEMPTS: u32 = 5;

pub(super) async fn sweep(database: &Database, statement: &SqlStr, limit: u32) -> Result<u64, StoreError> {
    for _ in 0..MAX_ATTEMPTS {
        let swept = sqlx::query(statement.clone()).bind(i64::from(limit)).execute(&database.pool).await;
        match swept {
            // Where the default isolation is stricter than READ COMMITTED, a row that another sweeper has deleted
            // meanwhile is an error instead of no row.
            Err(error) if Cause::of_sqlx(&error) == Some(Cause::Contention) => {}
            swept => return swept.map(|swept| swept.rows_affected()).map_err(database.error()),
        }
    }
    // Others are at it.
    Ok(0)
}
