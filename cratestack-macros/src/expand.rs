use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, FnArg, Meta, PatType, Receiver, Safety};

use crate::guarded::guarded;
use crate::handler::Handler;
use crate::mistake::{Mistakes, mistake};
use crate::moved::MovedHandler;
use crate::names::MentionedNames;
use crate::options::{HAS_AXUM, Options};
use crate::{expressions, function, function_signature, options, placement, signature};

/// The whole attribute: tokens in, tokens out. `private` is the only path that generated code names.
/// `may_stand_in_impl` is whether the attribute is indented, as it is in an `impl`: the handler then takes a form in
/// which it can name the type parameters of one.
pub(crate) fn idempotent(
    private: &TokenStream,
    may_stand_in_impl: bool,
    attribute: &TokenStream,
    item: &TokenStream,
) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let options = options::parse(attribute.clone(), &mut mistakes);
    let mut handler = match syn::parse2::<Handler>(item.clone()) {
        Ok(handler) => handler,
        Err(error) => {
            mistakes.add(placement::no_handler(item, error));
            let item = placement::with_body(item);
            return quote!(#mistakes #item);
        }
    };
    // Both alternatives bear the attribute again, so its mistakes are reported when they are expanded.
    if let Some(alternatives) = conditional_alternatives(private, attribute, &handler) {
        return alternatives;
    }
    if let Some(above) = placement::belongs_above(&mut handler) {
        let Handler { attributes, visibility, signature, body } = handler;
        return quote!(#(#above)* #[#private::idempotent(#attribute)] #(#attributes)* #visibility #signature #body);
    }
    if let Some(mistake) = placement::entry_point(&handler, options.has("name")) {
        mistakes.add(mistake);
        return quote!(#mistakes #item);
    }
    if let Some(mistake) = placement::given_twice(&mut handler) {
        mistakes.add(mistake);
    }
    if let Some(mistake) = placement::test(&mut handler, options.has("name")) {
        mistakes.add(mistake);
        let refused = refused(private, handler);
        return quote!(#mistakes #refused);
    }
    if options.has("name") {
        return function(private, &options, handler, &mistakes);
    }
    if !HAS_AXUM {
        let help = "turn on the feature `axum` of `cratestack-runtime`, or say `name = \"…\"` where this is no handler";
        mistakes.add(mistake(&handler.signature.ident, "a handler of requests needs axum", help));
        let refused = function::refused(private, handler);
        return quote!(#mistakes #refused);
    }
    let mut refusal = Mistakes::default();
    signature::check(&handler.signature, &mut refusal);
    expressions::check(&options, &handler.signature, &mut refusal);
    let expansion = if refusal.is_empty() {
        handler.count_as_used(&MentionedNames::of(&options));
        guarded(private, &options, handler, may_stand_in_impl)
    } else {
        refused(private, handler)
    };
    quote!(#mistakes #refusal #expansion)
}

/// The same for a function that is no handler.
fn function(private: &TokenStream, options: &Options, function: Handler, mistakes: &Mistakes) -> TokenStream {
    let mut refusal = Mistakes::default();
    function_signature::check(options, &function.signature, &mut refusal);
    expressions::check(options, &function.signature, &mut refusal);
    let has_what_it_needs = options.has("key") && options.has("handle");
    let expansion = if refusal.is_empty() && has_what_it_needs {
        function::guarded(private, options, function)
    } else {
        function::refused(private, function)
    };
    quote!(#mistakes #refusal #expansion)
}

/// The handler with and without its first conditional argument, where it has one. Both bear the attribute: the compiler
/// decides which is left, and that one is expanded as if the other had never been there.
fn conditional_alternatives(private: &TokenStream, attribute: &TokenStream, handler: &Handler) -> Option<TokenStream> {
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

/// A handler that cannot work is emitted all the same, under its name and as something that axum would take, so that
/// its mistake is the only error.
fn refused(private: &TokenStream, mut handler: Handler) -> TokenStream {
    // The compiler would refuse these once more.
    let signature = &mut handler.signature;
    signature.constness = None;
    signature.abi = None;
    signature.variadic = None;
    if let Safety::Safe(_) = signature.safety {
        signature.safety = Safety::Default;
    }
    let MovedHandler { beside, inside, attributes, visibility, signature, .. } = MovedHandler::as_function(handler);
    let name = &signature.ident;
    let silenced = quote!(#[allow(dead_code, unused_variables, clippy::all)]);
    let beside = beside.map(|beside| quote!(#silenced #beside));
    let inside = inside.map(|inside| quote!(#silenced #inside));
    quote! {
        #beside
        #(#attributes)*
        #visibility async fn #name(_: #private::Guarded<()>) -> #private::Response {
            #inside
            #private::refused()
        }
    }
}
