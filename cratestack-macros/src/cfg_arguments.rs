//! Arguments that are there under a condition only.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, FnArg, Meta, PatType, Receiver};

use crate::handler::Handler;

/// The handler with and without its first conditional argument, where it has one. Both bear the attribute: the compiler
/// decides which is left, and that one is expanded as if the other had never been there.
pub(crate) fn alternatives(private: &TokenStream, attribute: &TokenStream, handler: &Handler) -> Option<TokenStream> {
    let position = handler.signature.inputs.iter().position(|argument| !conditions(argument).is_empty())?;
    let (mut with, mut without) = (handler.signature.clone(), handler.signature.clone());
    without.inputs =
        without.inputs.into_iter().enumerate().filter(|(index, _)| *index != position).map(|(_, it)| it).collect();
    let conditions = conditions(with.inputs.get(position)?);
    let all = match &conditions[..] {
        [condition] => quote!(#condition),
        several => quote!(all(#(#several),*)),
    };
    let (FnArg::Receiver(Receiver { attrs, .. }) | FnArg::Typed(PatType { attrs, .. })) =
        with.inputs.get_mut(position)?;
    attrs.retain(|attribute| !attribute.path().is_ident("cfg"));
    let Handler { attributes, visibility, body, .. } = handler;
    Some(quote! {
        #(#[cfg(#conditions)])*
        #[#private::idempotent(#attribute)]
        #(#attributes)* #visibility #with #body

        #[cfg(not(#all))]
        #[#private::idempotent(#attribute)]
        #(#attributes)* #visibility #without #body
    })
}

/// All that must hold for the argument to be there.
fn conditions(argument: &FnArg) -> Vec<TokenStream> {
    let (FnArg::Receiver(Receiver { attrs, .. }) | FnArg::Typed(PatType { attrs, .. })) = argument;
    let condition = |attribute: &Attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => Some(list.tokens.clone()),
        _ => None,
    };
    attrs.iter().filter_map(condition).collect()
}
