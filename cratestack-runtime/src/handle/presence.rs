/// How much of a [`KeyPart`](crate::KeyPart) is there.
///
/// ```
/// use cratestack_runtime::{KeyPart, Presence};
///
/// assert_eq!("alice".presence(), Presence::Present);
/// assert_eq!("".presence(), Presence::Absent);
/// assert_eq!(Some("").presence(), Presence::Absent);
/// assert_eq!((7, None::<u64>).presence(), Presence::Partial);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// All of it.
    Present,
    /// Some parts of it; others are absent.
    Partial,
    /// Nothing: `None`, an empty string or slice, or a tuple, slice or option of nothing else.
    Absent,
}

impl Presence {
    pub(super) fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Partial }
    }

    /// Of parts that stand together; where there are none, nothing is there.
    pub(super) fn of(parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().reduce(Self::and).unwrap_or(Self::Absent)
    }
}
