//! Where generated code says that it stands, which is where the compiler reports its errors.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident};
use syn::spanned::Spanned;

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
