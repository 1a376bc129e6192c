//! What all generated code goes by, and where it says that it stands: there the compiler reports its errors.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident};
use syn::spanned::Spanned;
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
    /// The database that the handler's `Reservation` asks for, where it runs under a lease.
    pub(crate) database: Option<&'a Type>,
    /// The variables in which the generated code has the handler's arguments.
    pub(crate) arguments: &'a [Ident],
}

/// A variable of the generated code. Hygiene keeps it from the user's variables, and the prefix from his constants.
pub(crate) fn variable(name: &str) -> Ident {
    format_ident!("idempotent_{name}", span = Span::mixed_site())
}

/// Where the user wrote `token`, resolved where the attribute stands: inside a `macro_rules!`, the two differ.
pub(crate) fn span_of(token: &impl ToTokens) -> Span {
    token.span().resolved_at(Span::call_site())
}

/// The generated code's variable, where `token` stands.
pub(crate) fn variable_at(variable: &Ident, token: &impl ToTokens) -> Ident {
    Ident::new(&variable.to_string(), variable.span().located_at(token.span()))
}

/// The span of `token`, and the path `private` as if the user had written it there.
pub(crate) fn located(private: &TokenStream, token: &impl ToTokens) -> (Span, TokenStream) {
    let span = span_of(token);
    let moved = private.clone().into_iter().map(|mut token| {
        token.set_span(span);
        token
    });
    (span, moved.collect())
}

/// Whether the name stands among the tokens.
pub(crate) fn mentions(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        _ => false,
    })
}
