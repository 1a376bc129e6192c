use std::time::Instant;

use uuid::Uuid;

use super::watch::lock_of;
use super::{LOOKS, PostgresStore, TICK, answer, is_serialization_failure, refused, renewal};
use crate::stores::renewal::Renewal;
use crate::{Claim, ClaimOutcome, Completion, StoreError};

/// One call, one statement.
impl PostgresStore {
    pub(super) async fn reserve_alone(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        let Claim { principal, key, request_hash, lease, retention } = claim;
        let token = Uuid::new_v4();
        let (lease, retention) = TICK.claim(lease, retention);
        let mut looks = 1;
        loop {
            let found = sqlx::query(self.sql.reserve.clone())
                .bind(principal)
                .bind(key)
                .bind(request_hash.as_slice())
                .bind(token)
                .bind(lease)
                .bind(retention)
                .fetch_optional(&self.pool)
                .await;
            match found {
                Ok(Some(row)) => return answer(&row, token, principal, key, request_hash, &self.sql.name),
                Ok(None) if looks == LOOKS => return Ok(ClaimOutcome::InFlight),
                // Where the default isolation is stricter than READ COMMITTED, a row that a concurrent insert hid is
                // an error instead of no row.
                Err(error) if looks == LOOKS || !is_serialization_failure(&error) => {
                    return Err(refused(&self.sql.name)(error));
                }
                Ok(None) | Err(_) => looks += 1,
            }
        }
    }

    pub(super) async fn record_alone(&self, completion: Completion<'_>) -> Result<bool, StoreError> {
        let Completion { principal, key, token, status, headers, body } = completion;
        let mut connection = self.priority.acquire().await.map_err(refused(&self.sql.name))?;
        let recorded = sqlx::query(self.sql.finish.clone())
            .bind(principal)
            .bind(key)
            .bind(token)
            .bind(i32::from(status))
            .bind(headers)
            .bind(&**body)
            .bind(lock_of(self.sql.name.table(), principal, key))
            .fetch_optional(&mut *connection)
            .await
            .map_err(refused(&self.sql.name))?;
        Ok(recorded.is_some())
    }

    pub(super) async fn renew_alone(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        (lease, retention): (i64, i64),
    ) -> Result<Renewal, StoreError> {
        let table = &self.sql.name;
        // What it waits for a connection is no part of the answer's way.
        let mut connection = self.priority.acquire().await.map_err(refused(table))?;
        let sent = Instant::now();
        let renewed = sqlx::query(self.sql.renew.clone())
            .bind(principal)
            .bind(key)
            .bind(token)
            .bind(lease)
            .bind(retention)
            .fetch_optional(&mut *connection)
            .await
            .map_err(refused(table))?;
        renewed.map_or(Ok(Renewal::Lost), |row| renewal(&row, 0, sent)).map_err(refused(table))
    }

    pub(super) async fn release_alone(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError> {
        let mut connection = self.priority.acquire().await.map_err(refused(&self.sql.name))?;
        sqlx::query(self.sql.release.clone())
            .bind(principal)
            .bind(key)
            .bind(token)
            .bind(lock_of(self.sql.name.table(), principal, key))
            .fetch_optional(&mut *connection)
            .await
            .map(drop)
            .map_err(refused(&self.sql.name))
    }
}
