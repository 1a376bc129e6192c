use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::util::hex;

/// What can be part of a key, a principal or a fingerprint in the attribute: `key = EXPR`, `principal = EXPR`,
/// `fingerprint = EXPR`.
///
/// Parts are combined without ambiguity: `("a", "bc")` never equals `("ab", "c")`, `None` never equals `Some("")`, and
/// a number never equals its digits. Integers of different widths are the same number, so that a field may be widened.
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
///
/// `None` and what is empty are [absent](Self::presence), and an absent part names nobody: a principal that has one is
/// refused, a key that is nothing else is a missing key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of an idempotency key, principal or fingerprint",
    label = "this is no `KeyPart`",
    note = "strings, integers, `bool`, `char`, `Uuid`, and options, slices and tuples of them are parts; floats are not \
            (use minor units), and a type of your own becomes one by `impl KeyPart`"
)]
pub trait KeyPart {
    /// Adds this value to what is hashed.
    fn feed(&self, hasher: &mut PartHasher);

    /// Whether there is a value, and not just a place for one.
    ///
    /// It need not be written for a type of your own: by default such a type is as present as the parts that it feeds.
    /// Write it where a value of yours stands for none:
    ///
    /// ```
    /// use cratestack_runtime::{KeyPart, PartHasher, Presence};
    ///
    /// /// 0 before the user has signed in.
    /// struct UserId(u64);
    ///
    /// impl KeyPart for UserId {
    ///     fn feed(&self, hasher: &mut PartHasher) {
    ///         self.0.feed(hasher);
    ///     }
    ///
    ///     fn presence(&self) -> Presence {
    ///         if self.0 == 0 { Presence::Absent } else { Presence::Present }
    ///     }
    /// }
    ///
    /// assert_eq!(UserId(7).presence(), Presence::Present);
    /// assert_eq!((UserId(0), "EUR").presence(), Presence::Partial);
    /// ```
    fn presence(&self) -> Presence {
        let mut hasher = PartHasher::new("presence");
        self.feed(&mut hasher);
        hasher.fed.unwrap_or(Presence::Absent)
    }
}

/// How much of a [`KeyPart`] is there.
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
    fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Partial }
    }

    /// Of parts that stand together; where there are none, nothing is there.
    fn of(parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().reduce(Self::and).unwrap_or(Self::Absent)
    }
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
pub struct PartHasher {
    digest: Sha256,
    /// Of all single values so far.
    fed: Option<Presence>,
}

impl std::fmt::Debug for PartHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PartHasher")
    }
}

impl PartHasher {
    /// `context` keeps hashes of different use apart, even of the same parts.
    pub(crate) fn new(context: &str) -> Self {
        let mut hasher = Self { digest: Sha256::new(), fed: None };
        context.feed(&mut hasher);
        hasher.fed = None;
        hasher
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.digest.finalize().into()
    }

    fn tag(&mut self, tag: u8) {
        self.digest.update([tag]);
    }

    fn length(&mut self, length: usize) {
        self.digest.update((length as u64).to_le_bytes());
    }

    /// A single value.
    fn value(&mut self, tag: u8, bytes: &[u8]) {
        self.tag(tag);
        self.digest.update(bytes);
        self.note(Presence::Present);
    }

    fn note(&mut self, presence: Presence) {
        self.fed = Some(self.fed.map_or(presence, |fed| fed.and(presence)));
    }
}

/// A part whose type no longer matters.
pub type Part<'a> = &'a dyn KeyPart;

/// Takes one part of an expression; one that cannot be a part is found here, and nowhere else. Through two references,
/// because a part may be unsized: `key = name[..8]`.
pub fn part<'a, P: KeyPart + ?Sized>(part: &'a &'a P) -> Part<'a> {
    part
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
        hasher.digest.update(self.as_bytes());
        hasher.note(self.presence());
    }

    fn presence(&self) -> Presence {
        if self.is_empty() { Presence::Absent } else { Presence::Present }
    }
}

impl KeyPart for bool {
    fn feed(&self, hasher: &mut PartHasher) {
        hasher.value(if *self { b'T' } else { b'F' }, &[]);
    }
}

impl KeyPart for char {
    fn feed(&self, hasher: &mut PartHasher) {
        hasher.value(b'c', &u32::from(*self).to_le_bytes());
    }
}

impl KeyPart for Uuid {
    fn feed(&self, hasher: &mut PartHasher) {
        hasher.value(b'u', self.as_bytes());
    }
}

/// Sign and magnitude, so that one number is one part in every width, signed or not.
fn feed_integer(hasher: &mut PartHasher, negative: bool, magnitude: u128) {
    hasher.value(if negative { b'-' } else { b'+' }, &magnitude.to_le_bytes());
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
            None => {
                hasher.tag(b'0');
                hasher.note(Presence::Absent);
            }
            Some(part) => {
                hasher.tag(b'1');
                part.feed(hasher);
            }
        }
    }

    fn presence(&self) -> Presence {
        self.as_ref().map_or(Presence::Absent, P::presence)
    }
}

impl<P: KeyPart> KeyPart for [P] {
    fn feed(&self, hasher: &mut PartHasher) {
        hasher.tag(b'[');
        hasher.length(self.len());
        if self.is_empty() {
            hasher.note(Presence::Absent);
        }
        for part in self {
            part.feed(hasher);
        }
    }

    fn presence(&self) -> Presence {
        Presence::of(self.iter().map(P::presence))
    }
}

impl<P: KeyPart, const N: usize> KeyPart for [P; N] {
    fn feed(&self, hasher: &mut PartHasher) {
        self.as_slice().feed(hasher);
    }

    fn presence(&self) -> Presence {
        self.as_slice().presence()
    }
}

/// What derefs to a part is that part.
macro_rules! pointers {
    ($([$($generic:tt)*] $pointer:ty;)*) => {$(
        impl<$($generic)*> KeyPart for $pointer {
            fn feed(&self, hasher: &mut PartHasher) {
                (**self).feed(hasher);
            }

            fn presence(&self) -> Presence {
                (**self).presence()
            }
        }
    )*};
}

pointers! {
    [P: KeyPart + ?Sized] &P;
    [P: KeyPart + ?Sized] &mut P;
    [P: KeyPart + ?Sized] Box<P>;
    [P: KeyPart + ?Sized] Rc<P>;
    [P: KeyPart + ?Sized] Arc<P>;
    [P: KeyPart + ToOwned + ?Sized] Cow<'_, P>;
    [P: KeyPart] Vec<P>;
    [] String;
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

            fn presence(&self) -> Presence {
                #[allow(non_snake_case)]
                let ($($part,)+) = self;
                Presence::of([$($part.presence()),+])
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
#[path = "key_part_tests.rs"]
mod tests;
