//! What `retry` gives to each run anew.

use crate::handle::Tx;
use crate::store::StoreDatabase;

/// An argument that is to be given to another run.
pub struct Repeat<'a, T>(pub &'a T);

/// Most arguments are given to the next run by cloning them.
pub trait AnyRepeat<T> {
    /// The same for the next run.
    fn again(&self) -> T
    where
        T: Again;
}

impl<T> AnyRepeat<T> for Repeat<'_, T> {
    fn again(&self) -> T
    where
        T: Again,
    {
        self.0.again()
    }
}

impl<DB: StoreDatabase> Repeat<'_, Tx<DB>> {
    /// The next transaction's.
    pub fn again(&self) -> Tx<DB> {
        self.0.again()
    }
}

/// What can be given anew for another run.
#[diagnostic::on_unimplemented(
    message = "`retry` runs it again, and the argument `{Self}` cannot be given twice",
    label = "this is not `Clone`",
    note = "write `#[derive(Clone)]` on that type, extract something that is `Clone`, or remove `retry`"
)]
pub trait Again: Sized {
    /// The same for the next run.
    #[must_use]
    fn again(&self) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Clone> Again for T {
    fn again(&self) -> Self {
        self.clone()
    }
}
