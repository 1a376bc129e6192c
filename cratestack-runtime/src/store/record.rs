use std::time::SystemTime;

/// A finished request, as it is kept for replay.
///
/// ```
/// use std::time::SystemTime;
/// use cratestack_runtime::IdempotencyRecord;
///
/// let record = IdempotencyRecord {
///     key: "8e03978e".to_owned(),
///     principal_fingerprint: "alice".to_owned(),
///     request_hash: [0; 32],
///     response_status: 201,
///     response_headers: Vec::new(),
///     response_body: b"{}".to_vec(),
///     created_at: SystemTime::UNIX_EPOCH,
///     expires_at: SystemTime::UNIX_EPOCH,
/// };
/// assert_eq!(record.response_status, 201);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// The idempotency key, without the quotes of its header spelling.
    pub key: String,
    /// The caller that the key belongs to.
    pub principal_fingerprint: String,
    /// What the request looked like; see [`hash_request`](crate::hash_request).
    pub request_hash: [u8; 32],
    /// The status of the recorded response.
    pub response_status: u16,
    /// The headers of the recorded response; see [`encode_headers`](crate::encode_headers).
    pub response_headers: Vec<u8>,
    /// The body of the recorded response.
    pub response_body: Vec<u8>,
    /// When the key was reserved, by the store's clock.
    pub created_at: SystemTime,
    /// When the record stops being replayed, by the store's clock.
    pub expires_at: SystemTime,
}
