use std::time::{Duration, SystemTime};

use bytes::Bytes;
use uuid::Uuid;

use super::record_id::RecordIdRef;

/// What a caller asks for in [`IdempotencyStore::reserve`](crate::IdempotencyStore::reserve).
///
/// `lease` and `retention` count from when the reservation is written, on the store's clock. A lease longer than the
/// retention ends with it.
///
/// ```
/// use std::time::Duration;
/// use cratestack_runtime::Claim;
///
/// let claim = Claim {
///     principal: "alice",
///     key: "8e03978e",
///     request_hash: [0; 32],
///     lease: Duration::from_secs(30),
///     retention: Duration::from_secs(86_400),
/// };
/// assert!(claim.lease < claim.retention);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The caller that the key belongs to.
    pub principal: &'a str,
    /// The idempotency key.
    pub key: &'a str,
    /// What the request looks like.
    pub request_hash: [u8; 32],
    /// How long the reservation holds without being renewed.
    pub lease: Duration,
    /// How long the row is kept, from the reservation on, and with it the outcome. In a transaction the reservation is
    /// when it begins.
    pub retention: Duration,
}

impl<'a> Claim<'a> {
    /// Of a reservation that ends as a whole at `expires_at`. How far off that is, is all of it that may travel: the
    /// caller's clock may be wrong.
    pub(crate) fn until(principal: &'a str, key: &'a str, request_hash: [u8; 32], expires_at: SystemTime) -> Self {
        let retention = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        Self { principal, key, request_hash, lease: retention, retention }
    }

    pub(crate) fn id(&self) -> RecordIdRef<'a> {
        RecordIdRef { principal: self.principal, key: self.key }
    }
}

/// The outcome that [`IdempotencyStore::finish`](crate::IdempotencyStore::finish) freezes.
///
/// ```
/// use bytes::Bytes;
/// use cratestack_runtime::Completion;
///
/// let body = Bytes::from_static(b"paid");
/// let completion = Completion {
///     principal: "alice",
///     key: "8e03978e",
///     token: uuid::Uuid::nil(),
///     status: 201,
///     headers: &[],
///     body: &body,
/// };
/// assert_eq!(completion.status, 201);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Completion<'a> {
    /// The caller that the key belongs to.
    pub principal: &'a str,
    /// The idempotency key.
    pub key: &'a str,
    /// The token of the reservation.
    pub token: Uuid,
    /// The status of the response.
    pub status: u16,
    /// The headers of the response; see [`encode_headers`](crate::encode_headers).
    pub headers: &'a [u8],
    /// The body of the response.
    pub body: &'a Bytes,
}

impl<'a> Completion<'a> {
    pub(crate) fn id(&self) -> RecordIdRef<'a> {
        RecordIdRef { principal: self.principal, key: self.key }
    }
}
