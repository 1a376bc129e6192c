use crate::handle::Reservation;

/// An argument of a request whose `key = …` has come to nothing, and which runs unguarded if `optional` lets it.
#[derive(Debug)]
pub struct Keyless<'a, T>(pub &'a mut T);

/// Most arguments have no reservation to be taken.
pub trait AnyKeyless: Sized {
    /// The argument stays as it is.
    fn unreserved(self) {}
}

impl<T> AnyKeyless for Keyless<'_, T> {}

impl Keyless<'_, Option<Reservation>> {
    /// The reservation was given before it was known that there is none.
    pub fn unreserved(self) {
        *self.0 = None;
    }
}
