//! Which statuses a record can have.

use crate::store::StoreError;

/// Refuses what could never be replayed, before it is frozen.
pub(crate) fn recordable(status: u16) -> Result<(), StoreError> {
    if is_status(status) {
        Ok(())
    } else {
        Err(StoreError::Internal(format!("{status} is no HTTP status (100 to 999), so it cannot be recorded")))
    }
}

pub(crate) fn is_status(status: u16) -> bool {
    (100..=999).contains(&status)
}
