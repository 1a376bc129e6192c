use std::future::Future;
use std::time::Duration;

use crate::store::StoreError;
use crate::util::catch_panic;

/// A call of the store whose panic is an error.
pub(super) async fn store_call<T>(future: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    catch_panic(future).await.unwrap_or_else(|| Err(StoreError::Internal("the store panicked".to_owned())))
}

/// The error of a call that was not answered in time.
pub(super) fn too_late(limit: Duration) -> StoreError {
    StoreError::Unavailable(format!("no answer within {limit:?}"))
}
