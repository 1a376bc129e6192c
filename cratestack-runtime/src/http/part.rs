use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::fingerprint::hex;

/// What can be part of a key, a principal or a fingerprint in the attribute: `key = EXPR`, `principal = EXPR`,
/// `fingerprint = EXPR`.
///
/// Parts are combined without ambiguity: `("a", "bc")` never equals `("ab", "c")`, `None` never equals `Some("")`, and a
/// number never equals its digits. Integers of different widths are the same number, so that a field may be widened.
///
/// Strings, integers, `bool`, `char`, [`Uuid`], and options, slices, tuples and references of parts are parts. Floats
/// are not: two spellings of one amount need not be one float. A type of your own becomes a part by saying which of its
/// own parts count:
///
/// ```
/// use cratestack_runtime::{KeyPart, PartHasher};
///
/// struct Money {
///     minor_units: i64,
///     currency: String,
/// }
///
/// impl KeyPart for Money {
///     fn feed(&self, hasher: &mut PartHasher) {
///         (self.minor_units, &self.currency).feed(hasher);
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of an idempotency key, principal or fingerprint",
    label = "this is no `KeyPart`",
    note = "strings, integers, `bool`, `char`, `Uuid`, and options, slices and tuples of them are parts; floats are not \
            (use minor units), and a type of your own becomes one by `impl KeyPart`"
)]
pub trait KeyPart {
    /// Adds this value to what is hashed.
    fn feed(&self, hasher: &mut PartHasher);
}

/// What [`KeyPart::feed`] feeds.
///
/// ```
/// use cratestack_runtime::{KeyPart, PartHasher};
///
/// struct OrderId(u64);
///
/// impl KeyPart for OrderId {
///     fn feed(&self, hasher: &mut PartHasher) {
///         self.0.feed(hasher);
///     }
/// }
/// ```
pub struct PartHasher(Sha256);

impl std::fmt::Debug for PartHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PartHasher")
    }
}

impl PartHasher {
    /// `context` keeps hashes of different use apart, even of the same parts.
    pub(crate) fn new(context: &str) -> Self {
        let mut hasher = Self(Sha256::new());
        context.feed(&mut hasher);
        hasher
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    fn tag(&mut self, tag: u8) {
        self.0.update([tag]);
    }

    fn length(&mut self, length: usize) {
        self.0.update((length as u64).to_le_bytes());
    }
}

/// A part whose type no longer matters.
pub struct Part<'a>(&'a dyn KeyPart);

impl std::fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Part")
    }
}

impl KeyPart for Part<'_> {
    fn feed(&self, hasher: &mut PartHasher) {
        self.0.feed(hasher);
    }
}

/// Takes one part of an expression; one that cannot be a part is found here, and nowhere else. Through two references,
/// because a part may be unsized: `key = name[..8]`.
pub fn part<'a, P: KeyPart + ?Sized>(part: &'a &'a P) -> Part<'a> {
    Part(part)
}

/// The parts as text that fits any store, whatever is in them.
pub(crate) fn digest(context: &str, part: &(impl KeyPart + ?Sized)) -> String {
    let mut hasher = PartHasher::new(context);
    part.feed(&mut hasher);
    hex(&hasher.finish())
}

impl KeyPart for str {
    fn feed(&self, hasher: &mut PartHasher) {
        hasher.tag(b's');
        hasher.length(self.len());
        hasher.0.update(self.as_bytes());
    }
}

impl KeyPart for String {
    fn feed(&self, hasher: &mut PartHasher) {
        self.as_str().feed(hasher);
    }
}

impl KeyPart for bool {
    fn feed(&self, hasher: &mut PartHasher) {
        hasher.tag(if *self { b'T' } else { b'F' });
    }
}

impl KeyPart for char {
    fn feed(&self, hasher: &mut PartHasher) {
        hasher.tag(b'c');
        hasher.0.update(u32::from(*self).to_le_bytes());
    }
}

impl KeyPart for Uuid {
    fn feed(&self, hasher: &mut PartHasher) {
        hasher.tag(b'u');
        hasher.0.update(self.as_bytes());
    }
}

/// Sign and magnitude, so that one number is one part in every width, signed or not.
fn feed_integer(hasher: &mut PartHasher, negative: bool, magnitude: u128) {
    hasher.tag(if negative { b'-' } else { b'+' });
    hasher.0.update(magnitude.to_le_bytes());
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl KeyPart for $integer {
            fn feed(&self, hasher: &mut PartHasher) {
                // Every one of these fits.
                #[allow(clippy::cast_lossless)]
                let value = *self as i128;
                feed_integer(hasher, value < 0, value.unsigned_abs());
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, usize, i8, i16, i32, i64, i128, isize);

impl KeyPart for u128 {
    fn feed(&self, hasher: &mut PartHasher) {
        feed_integer(hasher, false, *self);
    }
}

impl<P: KeyPart> KeyPart for Option<P> {
    fn feed(&self, hasher: &mut PartHasher) {
        match self {
            None => hasher.tag(b'0'),
            Some(part) => {
                hasher.tag(b'1');
                part.feed(hasher);
            }
        }
    }
}

impl<P: KeyPart> KeyPart for [P] {
    fn feed(&self, hasher: &mut PartHasher) {
        hasher.tag(b'[');
        hasher.length(self.len());
        for part in self {
            part.feed(hasher);
        }
    }
}

impl<P: KeyPart, const N: usize> KeyPart for [P; N] {
    fn feed(&self, hasher: &mut PartHasher) {
        self.as_slice().feed(hasher);
    }
}

impl<P: KeyPart> KeyPart for Vec<P> {
    fn feed(&self, hasher: &mut PartHasher) {
        self.as_slice().feed(hasher);
    }
}

macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        impl<P: KeyPart + ?Sized> KeyPart for $pointer {
            fn feed(&self, hasher: &mut PartHasher) {
                (**self).feed(hasher);
            }
        }
    )*};
}

pointers!(&P, &mut P, Box<P>, Rc<P>, Arc<P>);

impl<P: KeyPart + ToOwned + ?Sized> KeyPart for Cow<'_, P> {
    fn feed(&self, hasher: &mut PartHasher) {
        (**self).feed(hasher);
    }
}

macro_rules! tuples {
    ($($count:literal: $($part:ident),+;)*) => {$(
        impl<$($part: KeyPart),+> KeyPart for ($($part,)+) {
            fn feed(&self, hasher: &mut PartHasher) {
                #[allow(non_snake_case)]
                let ($($part,)+) = self;
                hasher.tag(b'(');
                hasher.length($count);
                $($part.feed(hasher);)+
            }
        }
    )*};
}

tuples! {
    1: A;
    2: A, B;
    3: A, B, C;
    4: A, B, C, D;
    5: A, B, C, D, E;
    6: A, B, C, D, E, F;
    7: A, B, C, D, E, F, G;
    8: A, B, C, D, E, F, G, H;
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn different_parts_never_meet() {
        let digests = [
            digest("key", "a"),
            digest("key", &("a",)),
            digest("key", &("a", "bc")),
            digest("key", &("ab", "c")),
            digest("key", &("abc", "")),
            digest("key", "abc"),
            digest("key", ""),
            digest("key", &None::<&str>),
            digest("key", &Some("")),
            digest("key", &Some(Some(""))),
            digest("key", &["a", "bc"][..]),
            digest("key", &[["a"], ["bc"]]),
            digest("key", &1),
            digest("key", &-1),
            digest("key", "1"),
            digest("key", &'1'),
            digest("key", &true),
            digest("key", &false),
            digest("key", &0),
            digest("key", &u128::MAX),
            digest("key", &i128::MIN),
            digest("key", &Uuid::nil()),
            digest("key", &((1, 2), 3)),
            digest("key", &(1, (2, 3))),
            digest("key", &(1, 2, 3)),
            digest("principal", "a"),
        ];
        assert_eq!(digests.iter().collect::<HashSet<_>>().len(), digests.len());
    }

    #[test]
    fn one_value_is_one_part_however_it_is_held() {
        let a = digest("key", "a");
        assert_eq!(digest("key", &"a"), a);
        assert_eq!(digest("key", &"a".to_owned()), a);
        assert_eq!(digest("key", &Box::new("a")), a);
        assert_eq!(digest("key", &Arc::<str>::from("a")), a);
        assert_eq!(digest("key", &Cow::Borrowed("a")), a);
        let seven = digest("key", &7_u8);
        assert_eq!(
            [digest("key", &7_i64), digest("key", &7_u128), digest("key", &7_isize)],
            [&seven; 3].map(Clone::clone)
        );
        assert_eq!(digest("key", &vec![1, 2]), digest("key", &[1, 2]));
    }

    /// Rows in databases hold these: they do not change. Computed with Python's `hashlib`.
    #[test]
    fn digests_are_pinned() {
        assert_eq!(digest("key", &("a", 1, true)), "d061f46b8dbdfda502fdaaf5f55363924e1a615e9880ec0fb2589217ac1c6cea");
    }
}
