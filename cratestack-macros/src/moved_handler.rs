use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{Attribute, Ident, Meta, Signature, Visibility};

use crate::handler::{Handler, turbofish};

/// The handler moved out of the way, and how to name it from the function that takes its place.
pub(crate) struct MovedHandler {
    /// Beside the new function, where the handler must stay an associated one.
    pub(crate) beside: Option<TokenStream>,
    /// Inside the new function, else.
    pub(crate) inside: Option<TokenStream>,
    pub(crate) path: TokenStream,
    /// What the new function keeps of the old.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
}

impl MovedHandler {
    pub(crate) fn new(handler: Handler) -> Self {
        let is_associated = handler.is_associated();
        let Handler { attributes, visibility, signature, body } = handler;
        let attributes: Vec<_> = attributes.into_iter().map(expect_as_allow).collect();
        let stays = attributes.iter().filter(|attribute| stays_in_place(attribute)).cloned().collect();
        let goes = attributes.iter().filter(|attribute| goes_with_the_handler(attribute));
        let turbofish = turbofish(&signature);
        let mut inner = signature.clone();
        let (beside, inside, path) = if is_associated {
            inner.ident = format_ident!("__idempotent_{}", inner.ident);
            let name = &inner.ident;
            (Some(quote!(#(#goes)* #[doc(hidden)] #inner #body)), None, quote!(Self::#name #turbofish))
        } else {
            let name = &inner.ident;
            (None, Some(quote!(#(#goes)* #inner #body)), quote!(#name #turbofish))
        };
        Self { beside, inside, path, attributes: stays, visibility, signature }
    }
}

/// What describes the function to others stays on the one that others see.
fn stays_in_place(attribute: &Attribute) -> bool {
    ["doc", "cfg", "allow", "deprecated", "must_use"].iter().any(|name| attribute.path().is_ident(name))
}

/// The rest goes with the handler, and sees its signature. Some belong to both.
fn goes_with_the_handler(attribute: &Attribute) -> bool {
    !["doc", "deprecated", "must_use"].iter().any(|name| attribute.path().is_ident(name))
}

/// What is expected of the handler is allowed in both functions: which of the two has it, only the lint knows, and some
/// see it in neither.
fn expect_as_allow(mut attribute: Attribute) -> Attribute {
    if let Meta::List(list) = &mut attribute.meta
        && list.path.is_ident("expect")
    {
        list.path = Ident::new("allow", list.path.span()).into();
    }
    attribute
}
