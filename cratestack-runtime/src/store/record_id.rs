use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Whose key it is: what a record, a reservation and a lock are found by. Cheap to clone.
///
/// It hashes and compares as [`RecordIdRef`] does, so that a map by `RecordId` can be searched by either, see
/// [`Identified`].
#[derive(Clone)]
pub(crate) struct RecordId {
    /// The principal, and the key after it.
    text: Arc<str>,
    /// How many bytes of the text are the principal.
    principal_bytes: usize,
}

/// A [`RecordId`] that is borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RecordIdRef<'a> {
    pub(crate) principal: &'a str,
    pub(crate) key: &'a str,
}

impl RecordId {
    pub(crate) fn new(principal: &str, key: &str) -> Self {
        RecordIdRef { principal, key }.to_owned()
    }

    pub(crate) fn principal(&self) -> &str {
        &self.text[..self.principal_bytes]
    }

    pub(crate) fn key(&self) -> &str {
        &self.text[self.principal_bytes..]
    }

    pub(crate) fn as_ref(&self) -> RecordIdRef<'_> {
        RecordIdRef { principal: self.principal(), key: self.key() }
    }
}

impl RecordIdRef<'_> {
    pub(crate) fn to_owned(self) -> RecordId {
        let Self { principal, key } = self;
        let mut text = String::with_capacity(principal.len() + key.len());
        text.push_str(principal);
        text.push_str(key);
        RecordId { text: text.into(), principal_bytes: principal.len() }
    }
}

impl PartialEq for RecordId {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for RecordId {}

impl Hash for RecordId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// What a map by [`RecordId`] can be searched by, so that a lookup allocates nothing.
pub(crate) trait Identified {
    fn id(&self) -> RecordIdRef<'_>;
}

impl Identified for RecordId {
    fn id(&self) -> RecordIdRef<'_> {
        self.as_ref()
    }
}

impl Identified for RecordIdRef<'_> {
    fn id(&self) -> RecordIdRef<'_> {
        *self
    }
}

impl PartialEq for dyn Identified + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for dyn Identified + '_ {}

impl Hash for dyn Identified + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl<'a> Borrow<dyn Identified + 'a> for RecordId {
    fn borrow(&self) -> &(dyn Identified + 'a) {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, RandomState};

    use super::*;

    #[test]
    fn principal_and_key_do_not_run_together() {
        let id = RecordId::new("alice", "8e03");
        assert_eq!((id.principal(), id.key()), ("alice", "8e03"));
        assert_ne!(id, RecordId::new("alice8", "e03"));
        assert_eq!(id, id.as_ref().to_owned());
        assert_eq!(RecordId::new("", "").as_ref(), RecordIdRef { principal: "", key: "" });
    }

    #[test]
    fn a_borrowed_id_finds_the_owned_one() {
        let (hasher, id) = (RandomState::new(), RecordIdRef { principal: "alice", key: "k" });
        assert_eq!(hasher.hash_one(id.to_owned()), hasher.hash_one(&id as &dyn Identified));
        assert_eq!(hasher.hash_one(id.to_owned()), hasher.hash_one(id));
    }
}
