//! What every contender is asked: the same names, the same outcome.

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
