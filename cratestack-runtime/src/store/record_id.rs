use std::borrow::Borrow;
use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

/// Whose key it is: what a record, a reservation and a lock are found by. Cheap to clone.
///
/// Its hash is computed once, because a request looks it up in many places. A map by `RecordId` can be searched by a
/// [`HashedId`] as well, see [`Identified`].
#[derive(Clone)]
pub struct RecordId {
    /// The principal, and the key after it.
    text: Arc<str>,
    /// How many bytes of the text are the principal.
    principal_bytes: usize,
    hash: u64,
}

/// A [`RecordId`] that is borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordIdRef<'a> {
    pub(crate) principal: &'a str,
    pub(crate) key: &'a str,
}

/// A [`RecordIdRef`] and its hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HashedId<'a> {
    id: RecordIdRef<'a>,
    hash: u64,
}

/// Clients choose keys, so they must not be able to choose hashes.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

thread_local! {
    /// Where principal and key are put together before they are shared.
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
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

    pub(crate) fn hashed(&self) -> HashedId<'_> {
        HashedId { id: self.as_ref(), hash: self.hash }
    }
}

impl<'a> RecordIdRef<'a> {
    pub(crate) fn hashed(self) -> HashedId<'a> {
        let Self { principal, key } = self;
        HashedId { id: self, hash: HASHER.hash_one((principal, key)) }
    }

    pub(crate) fn to_owned(self) -> RecordId {
        self.hashed().to_owned()
    }
}

impl<'a> HashedId<'a> {
    pub(crate) fn as_ref(self) -> RecordIdRef<'a> {
        self.id
    }

    pub(crate) fn to_owned(self) -> RecordId {
        let Self { id: RecordIdRef { principal, key }, hash } = self;
        let text = TEXT.with_borrow_mut(|text| {
            text.clear();
            text.push_str(principal);
            text.push_str(key);
            Arc::from(text.as_str())
        });
        RecordId { text, principal_bytes: principal.len(), hash }
    }

    /// One of so many parts of a map. It goes by other bits of the hash than a map within a part does.
    pub(crate) fn shard(self, shards: usize) -> usize {
        usize::try_from((self.hash >> 32) % shards as u64).unwrap_or_default()
    }
}

impl PartialEq for RecordId {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.as_ref() == other.as_ref()
    }
}

impl Eq for RecordId {}

impl Hash for RecordId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for HashedId<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Of maps by [`RecordId`], which has its hash with it.
pub(crate) type ByOwnHash = BuildHasherDefault<OwnHash>;

#[derive(Default)]
pub(crate) struct OwnHash(u64);

impl Hasher for OwnHash {
    fn write(&mut self, bytes: &[u8]) {
        // What has no hash of its own does not come here; it would still be found again.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// What a map by [`RecordId`] can be searched by, so that a lookup allocates nothing.
pub(crate) trait Identified {
    fn id(&self) -> HashedId<'_>;
}

impl Identified for RecordId {
    fn id(&self) -> HashedId<'_> {
        self.hashed()
    }
}

impl Identified for HashedId<'_> {
    fn id(&self) -> HashedId<'_> {
        *self
    }
}

impl PartialEq for dyn Identified + '_ {
    fn eq(&self, other: &Self) -> bool {
        let (own, other) = (self.id(), other.id());
        own.hash == other.hash && own.id == other.id
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
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn principal_and_key_do_not_run_together() {
        let id = RecordId::new("alice", "8e03");
        assert_eq!((id.principal(), id.key()), ("alice", "8e03"));
        assert_ne!(id, RecordId::new("alice8", "e03"));
        assert_ne!(id.hash, RecordId::new("alice8", "e03").hash);
        assert_eq!(id, id.as_ref().to_owned());
        assert_eq!(RecordId::new("", "").as_ref(), RecordIdRef { principal: "", key: "" });
    }

    #[test]
    fn a_borrowed_id_finds_the_owned_one() {
        let id = RecordIdRef { principal: "alice", key: "k" };
        let map: HashMap<RecordId, u8, ByOwnHash> = HashMap::from_iter([(id.to_owned(), 7)]);
        assert_eq!(map.get(&id.hashed() as &dyn Identified), Some(&7));
        assert_eq!(map.get(&RecordId::new("alice", "k")), Some(&7));
        assert_eq!(map.get(&RecordIdRef { principal: "alic", key: "ek" }.hashed() as &dyn Identified), None);
    }

    /// Two that have one hash are told apart by what they say.
    #[test]
    fn a_hash_is_no_identity() {
        let (alice, mut bob) = (RecordId::new("alice", "k"), RecordId::new("bob", "k"));
        bob.hash = alice.hash;
        assert_ne!(alice, bob);
        let mut map: HashMap<RecordId, u8, ByOwnHash> = HashMap::default();
        map.insert(alice.clone(), 1);
        map.insert(bob.clone(), 2);
        assert_eq!((map.get(&alice), map.get(&bob)), (Some(&1), Some(&2)));
        assert_eq!(map.get(&bob.hashed() as &dyn Identified), Some(&2));
    }

    #[test]
    fn shards_are_all_used() {
        let used: std::collections::HashSet<usize> =
            (0..1000).map(|n| RecordId::new("alice", &n.to_string()).hashed().shard(16)).collect();
        assert_eq!(used.len(), 16);
    }
}
