//! The handler, moved out of the way of the function that takes its place.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, FnArg, Ident, Meta, ReturnType, Signature, Token, Type, TypeImplTrait, Visibility};

use crate::context::{mentions, variable, variable_at};
use crate::handler::{Handler, turbofish};

/// Where the handler is, and how to name it from the function that takes its place.
pub(crate) struct MovedHandler {
    /// Beside the new function, where the handler must stay an associated one.
    pub(crate) beside: Option<TokenStream>,
    /// Inside the new function, else.
    pub(crate) inside: Option<TokenStream>,
    pub(crate) path: TokenStream,
    /// What a closure around the handler's call is, for that to be `'static`: `move`, where the handler is a closure.
    pub(crate) by_value: Option<Token![move]>,
    /// What the new function keeps of the old.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
}

impl MovedHandler {
    /// As a function: a method beside the new one where it says `Self`, else an item in it.
    pub(crate) fn as_function(handler: Handler) -> Self {
        let is_associated = handler.is_associated();
        let Handler { attributes, visibility, signature, body } = handler;
        let (stays, goes) = distributed(attributes);
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
        Self { beside, inside, path, by_value: None, attributes: stays, visibility, signature }
    }

    /// As a closure in the new function, over these arguments of these types. Unlike an item it may name the type
    /// parameters of an `impl` around it, and unlike a method it may stand outside of one.
    pub(crate) fn as_closure(private: &TokenStream, handler: Handler, types: &[Type], arguments: &[Ident]) -> Self {
        let Handler { attributes, visibility, signature, body } = handler;
        let (stays, goes) = distributed(attributes);
        let closure = variable("handler");
        // The compiler names the place where one is moved into the future.
        let moved = signature.inputs.iter().zip(arguments).map(|(argument, value)| variable_at(value, argument));
        let patterns = signature.inputs.iter().zip(arguments).filter_map(|(argument, value)| match argument {
            FnArg::Typed(argument) => {
                let pattern = &argument.pat;
                Some(quote! {
                    #[allow(clippy::no_effect_underscore_binding)]
                    let #pattern = #value;
                })
            }
            FnArg::Receiver(_) => None,
        });
        let patterns = quote!(#(#patterns)*);
        let (returned, opaque) = without_opaque_types(&signature.output);
        let is_named = opaque.is_empty();
        // Names the traits, which the user has imported for the type alone.
        let opaque = (!is_named).then(|| quote!(fn __idempotent_opaque(#(_: &(#opaque)),*) {}));
        let inside = if signature.asyncness.is_some() {
            // The type of what is returned first is the type of all, as in a function that says it.
            let returned = returned.unwrap_or_else(|| Type::Verbatim(quote!(())));
            let is_never = matches!(returned, Type::Never(_));
            let first = (!is_never).then(|| quote!(if false { return #private::unreturned::<#returned>(); }));
            quote! {
                #opaque
                #(#goes)*
                let #closure = |#(#arguments: #types),*| async move {
                    #first
                    // All of them are the future's, and live as long, as an `async fn` has it.
                    #(
                        #[allow(clippy::redundant_locals)]
                        let #arguments = #moved;
                    )*
                    #patterns
                    // Whole, so that where a value is missing the compiler shows the block that has none.
                    #body
                };
            }
        } else {
            let returned = is_named.then_some(returned).flatten().map(|returned| quote!(-> #returned));
            quote!(#opaque #(#goes)* let #closure = |#(#arguments: #types),*| #returned { #patterns #body };)
        };
        let path = closure.to_token_stream();
        Self {
            beside: None,
            inside: Some(inside),
            path,
            by_value: Some(<Token![move]>::default()),
            attributes: stays,
            visibility,
            signature,
        }
    }

    /// Whether a closure can be the handler: one that does not mean an `impl` by `Self`, and of whose attributes none
    /// is for a function.
    pub(crate) fn may_be_closure(handler: &Handler) -> bool {
        let of_statements = ["cfg", "cfg_attr", "allow", "expect", "warn", "deny", "forbid"];
        let for_statements = |attribute: &Attribute| of_statements.iter().any(|name| attribute.path().is_ident(name));
        let has_inner_attribute =
            matches!(handler.body.stream().into_iter().nth(1), Some(TokenTree::Punct(not)) if not.as_char() == '!');
        // Such a bound could not be named again.
        let has_lifetimes = handler.signature.generics.lifetimes().next().is_some()
            || mentions(handler.signature.output.to_token_stream(), "use");
        !handler.is_associated()
            && !has_lifetimes
            && !has_inner_attribute
            && handler.attributes.iter().filter(|attribute| goes_with_the_handler(attribute)).all(for_statements)
    }
}

/// The type that a function returns, with a `_` for each that only the compiler can name, and these.
fn without_opaque_types(output: &ReturnType) -> (Option<Type>, Vec<TypeImplTrait>) {
    let ReturnType::Type(_, ty) = output else { return (None, Vec::new()) };
    let (mut ty, mut inferred) = ((**ty).clone(), Inferred(Vec::new()));
    inferred.visit_type_mut(&mut ty);
    (Some(ty), inferred.0)
}

/// Puts a `_` into the place of every `impl Trait`.
struct Inferred(Vec<TypeImplTrait>);

impl VisitMut for Inferred {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        if let Type::ImplTrait(opaque) = ty {
            self.0.push(opaque.clone());
            *ty = Type::Verbatim(quote!(_));
        } else {
            visit_mut::visit_type_mut(self, ty);
        }
    }
}

/// The attributes that the new function keeps, and those that go with the handler. Some belong to both.
fn distributed(attributes: Vec<Attribute>) -> (Vec<Attribute>, Vec<Attribute>) {
    let attributes: Vec<_> = attributes.into_iter().map(expect_as_allow).collect();
    let stays = attributes.iter().filter(|attribute| stays_in_place(attribute)).cloned().collect();
    let goes = attributes.into_iter().filter(goes_with_the_handler).collect();
    (stays, goes)
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
