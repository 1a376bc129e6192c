use proc_macro2::TokenStream;
use quote::quote;
use syn::Safety;

use crate::guarded::guarded;
use crate::handler::Handler;
use crate::mistake::Mistakes;
use crate::moved_handler::MovedHandler;
use crate::{cfg_arguments, expressions, options, placement, signature};

/// The whole attribute: tokens in, tokens out. `private` is the only path that generated code names.
pub(crate) fn idempotent(private: &TokenStream, attribute: &TokenStream, item: &TokenStream) -> TokenStream {
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
    if let Some(alternatives) = cfg_arguments::alternatives(private, attribute, &handler) {
        return alternatives;
    }
    if let Some(mistake) = placement::entry_point(&handler) {
        mistakes.add(mistake);
        return quote!(#mistakes #item);
    }
    if let Some(mistake) = placement::given_twice(&mut handler) {
        mistakes.add(mistake);
    }
    if let Some(mistake) = placement::test(&mut handler) {
        mistakes.add(mistake);
        let refused = refused(private, handler);
        return quote!(#mistakes #refused);
    }
    let mut refusal = Mistakes::default();
    signature::check(&handler.signature, &mut refusal);
    expressions::check(&options, &handler.signature, &mut refusal);
    let expansion = if refusal.is_empty() { guarded(private, &options, handler) } else { refused(private, handler) };
    quote!(#mistakes #refusal #expansion)
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
    let MovedHandler { beside, inside, attributes, visibility, signature, .. } = MovedHandler::new(handler);
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
