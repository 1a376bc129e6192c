//! Query parameters that make trouble on purpose, for tests and for the curious: `POST /payments?delay_ms=3000`.

use std::time::Duration;

use serde::Deserialize;

use crate::error::ApiError;

#[derive(Deserialize)]
pub(crate) struct Trouble {
    /// The handler takes this long.
    delay_ms: Option<u64>,
    /// It answers this status and does nothing.
    fail: Option<u16>,
    /// `1`: it panics before any effect.
    panic: Option<u8>,
    /// `1`: the process dies after the effect is written and before the answer is recorded.
    crash: Option<u8>,
}

impl Trouble {
    pub(crate) async fn before_the_effect(&self) -> Result<(), ApiError> {
        if let Some(delay) = self.delay_ms {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        assert!(self.panic != Some(1), "asked to panic");
        self.fail.map_or(Ok(()), |status| Err(ApiError::Asked(status)))
    }

    pub(crate) fn after_the_effect(&self) {
        if self.crash == Some(1) {
            std::process::abort();
        }
    }
}
