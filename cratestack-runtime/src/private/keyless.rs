use crate::Reservation;

/// An argument of a request whose `key = …` has come to nothing, and which runs unguarded if `optional` lets it.
#[derive(Debug)]
pub struct Keyless<'a, T>(pub &'a mut T);

/// Of most arguments there is nothing to take.
pub trait AnyKeyless: Sized {
    /// Leaves it as it is.
    fn unreserved(self) {}
}

impl<T> AnyKeyless for Keyless<'_, T> {}

impl Keyless<'_, Option<Reservation>> {
    /// The reservation was given before it was known that there is none.
    pub fn unreserved(self) {
        *self.0 = None;
    }
}
