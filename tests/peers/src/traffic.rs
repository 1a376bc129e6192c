//! What every contender is asked: the same names, the same outcome.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use cratestack_runtime::encode_headers;

/// As long as the hash of a credential.
pub const PRINCIPAL: &str = "622e64b2c22f425807dd4e58a766a477bf47edd1548967fa4fd37ec9ff36d2b1";
pub const HASH: [u8; 32] = [0x5a; 32];
pub const STATUS: u16 = 201;
pub const LEASE: Duration = Duration::from_secs(30);
pub const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// A JSON answer of a payment API is about this long.
pub static BODY: Bytes = Bytes::from_static(&[b'x'; 384]);

pub static HEADERS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("location", HeaderValue::from_static("/payments/8e03978e-40d5-43dd-bc93-6894a57f9324"));
    encode_headers(&headers)
});

pub fn new_key() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The key of the `n`th row of [`recorded`].
pub fn recorded_key(n: usize) -> String {
    format!("8e03978e-40d5-43dd-bc93-{n:012}")
}

/// A statement that inserts `count` outcomes into either's table, as if they had been recorded.
pub fn recorded(count: usize) -> String {
    outcomes("'8e03978e-40d5-43dd-bc93-' || lpad(n::text, 12, '0')", "NOW() + INTERVAL '1 day'", &BODY, count)
}

/// A statement that inserts `count` outcomes under random keys, with a short body.
pub fn outcomes_of_anyone(expires_at: &str, count: usize) -> String {
    // Each at a time of its own: an index keeps many rows of one value in few bytes.
    outcomes("gen_random_uuid()::text", &format!("{expires_at} + n * INTERVAL '1 millisecond'"), b"{}", count)
}

fn outcomes(key: &str, expires_at: &str, body: &[u8], count: usize) -> String {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    };
    format!(
        "INSERT INTO cratestack_idempotency (principal_fingerprint, key, request_hash, reservation_id, response_status, \
         response_headers, response_body, created_at, expires_at)
         SELECT '{PRINCIPAL}', {key}, '\\x{hash}', gen_random_uuid(), {STATUS}, '\\x{headers}', '\\x{body}', \
         LEAST(NOW(), {expires_at} - INTERVAL '1 day'), {expires_at}
         FROM generate_series(0, {last}) AS n",
        hash = hex(&HASH),
        headers = hex(&HEADERS),
        body = hex(body),
        last = count - 1,
    )
}
