use sha2::{Digest, Sha256};

use super::event::{Event, EventKind};
use crate::engine::Hold;
use crate::store::RecordIdRef;
use crate::util::hex_digits;

/// A key and its principal as a log may show them: enough to find the same one again, not enough to use it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    key: ShortHash,
    principal: ShortHash,
}

impl Subject {
    pub(crate) fn of(id: RecordIdRef<'_>) -> Self {
        Self { key: ShortHash::of(id.key), principal: ShortHash::of(id.principal) }
    }

    /// What a handler's own log lines are found by.
    pub(crate) fn span(&self, hold: &Hold) -> tracing::Span {
        tracing::info_span!(
            "idempotent",
            key = self.key.as_str(),
            principal = self.principal.as_str(),
            attempt = hold.attempt
        )
    }

    pub(crate) fn event(&self, kind: EventKind) -> Event<'_> {
        Event { kind, key: self.key.as_str(), principal: self.principal.as_str(), attempt: 0, age: None }
    }
}

/// The first sixteen hexadecimal digits of a text's SHA-256, held without an allocation.
#[derive(Debug, Clone, Copy)]
struct ShortHash([u8; 16]);

impl ShortHash {
    fn of(text: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(text).into();
        let mut short = [0; 16];
        for (digits, byte) in short.chunks_exact_mut(2).zip(digest) {
            digits.copy_from_slice(&hex_digits(byte));
        }
        Self(short)
    }

    fn as_str(&self) -> &str {
        // Hexadecimal digits are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hashlib`.
    #[test]
    fn short_hashes_are_pinned() {
        assert_eq!(ShortHash::of("8e03978e-40d5-43dd-bc93-6894a57f9324").as_str(), "d77da8028f3c5a13");
    }
}
