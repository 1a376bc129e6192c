use std::sync::Arc;

use super::idempotency::Idempotency;
use super::key_part::digest;
use crate::store::RecordId;

/// Bounded, so that namespace, mark and digest fit where a principal is stored.
const MAX_NAMESPACE_BYTES: usize = 64;

/// Longer principals would not fit an index of every database.
pub(crate) const MAX_PRINCIPAL_BYTES: usize = 255;

/// What no header and no stored name contains but where it is put.
pub(crate) const MARK: char = '\u{2192}';

/// What a request's record is found by, as a handle with this namespace stores it: nothing else puts a principal beside
/// a key.
pub(crate) fn record_id(namespace: Option<&str>, principal: &str, key: &str) -> RecordId {
    let Some(namespace) = namespace else { return RecordId::new(principal, key) };
    let whole = format!("{namespace}{MARK}{principal}");
    if whole.len() <= MAX_PRINCIPAL_BYTES {
        return RecordId::new(&whole, key);
    }
    let digest = digest("namespaced principal", &(namespace, principal));
    RecordId::new(&format!("{namespace}{MARK}{MARK}{digest}"), key)
}

/// Why a text is no namespace.
///
/// ```
/// use cratestack_runtime::{Idempotency, MemoryStore, NamespaceError};
///
/// let refused = Idempotency::new(MemoryStore::new()).namespace("orders and payments");
/// assert_eq!(refused.err(), Some(NamespaceError));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an idempotency namespace is 1 to 64 characters of A to Z, a to z, 0 to 9, `.`, `_`, `:` and `-`, such as `orders`"
)]
pub struct NamespaceError;

impl<S: ?Sized> Idempotency<S> {
    /// Keeps this handle's keys apart from those of other namespaces in the same table or database: the keys
    /// themselves, the keys that [`Reservation::derive`](crate::Reservation::derive) makes of them, and the locks that
    /// transactions take.
    ///
    /// Two services that share a table need it where one caller may send both the same key. So do two schemas of one
    /// Postgres database with a table of the same name each, because the database's locks know no schema: without it, a
    /// transaction in one may be answered 409 while the other has that key.
    ///
    /// A namespace is part of each row's principal (`orders→…`), so to set, change or remove it makes every key a new
    /// one: do that only when no retries are under way. Clones that are made before are not in it.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore, NamespaceError};
    /// # fn handle() -> Result<Idempotency, NamespaceError> {
    /// let idempotency = Idempotency::new(MemoryStore::new()).namespace("orders")?;
    /// # Ok(idempotency)
    /// # }
    /// # assert!(handle().is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// When it is not 1 to 64 of the characters `A-Z a-z 0-9 . _ : -`. It is not ignored, because the service would
    /// then run among the keys of others.
    pub fn namespace(self, name: &str) -> Result<Self, NamespaceError> {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
        if name.is_empty() || name.len() > MAX_NAMESPACE_BYTES || !name.bytes().all(is_legal) {
            return Err(NamespaceError);
        }
        Ok(self.set(|settings| settings.namespace = Some(Arc::from(name))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;

    #[test]
    fn namespaces_are_short_and_plain() {
        let is_legal = |name: &str| Idempotency::new(MemoryStore::new()).namespace(name).is_ok();
        for name in ["a", "orders", "team:orders.v2_eu-1", &"n".repeat(64)] {
            assert!(is_legal(name), "{name}");
        }
        for name in ["", " ", "a b", "a→b", "ü", "a\0", "a/b", &"n".repeat(65)] {
            assert!(!is_legal(name), "{name}");
        }
    }
}
