use proc_macro2::TokenStream;
use syn::{Ident, Signature, Type};

use crate::options::Options;

/// What all parts of one expansion need to know.
pub(crate) struct Context<'a> {
    /// The path of what generated code may name.
    pub(crate) private: &'a TokenStream,
    pub(crate) options: &'a Options,
    /// The handler's.
    pub(crate) signature: &'a Signature,
    /// The types of the handler's arguments, the receiver's too.
    pub(crate) types: &'a [Type],
    /// The variables in which the generated code has the handler's arguments.
    pub(crate) arguments: &'a [Ident],
}
