use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, GenericParam, Ident, Meta, Safety, Signature, Visibility};

use crate::check;
use crate::handler::{self, Handler};
use crate::mistake::Mistakes;
use crate::options::Options;
use crate::parts::{self, Called, Evaluation};
use crate::{probe, variants};

/// The whole attribute: tokens in, tokens out. `private` is the only path that generated code names.
pub(crate) fn idempotent(private: &TokenStream, attribute: &TokenStream, item: &TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let options = Options::parse(attribute.clone(), &mut mistakes);
    let mut handler = match syn::parse2::<Handler>(item.clone()) {
        Ok(handler) => handler,
        Err(error) => {
            mistakes.add(handler::refuse(item, error));
            let item = handler::with_body(item);
            return quote!(#mistakes #item);
        }
    };
    if let Some(variants) = variants::of(private, attribute, &handler) {
        return variants;
    }
    if let Some(mistake) = check::entry_point(&handler) {
        mistakes.add(mistake);
        return quote!(#mistakes #item);
    }
    if let Some(mistake) = check::once(&mut handler) {
        mistakes.add(mistake);
    }
    if let Some(mistake) = check::test(&mut handler) {
        mistakes.add(mistake);
        let refused = refused(private, handler);
        return quote!(#mistakes #refused);
    }
    let mut refusal = Mistakes::default();
    check::signature(&handler.signature, &mut refusal);
    parts::check(&options, &handler.signature, &mut refusal);
    let expansion = if refusal.is_empty() { guarded(private, &options, handler) } else { refused(private, handler) };
    quote!(#mistakes #refusal #expansion)
}

/// The handler moved out of the way, and how to name it from the function that takes its place.
struct Moved {
    /// Beside the new function, where the handler must stay an associated one.
    beside: Option<TokenStream>,
    /// Inside the new function, else.
    inside: Option<TokenStream>,
    path: TokenStream,
    outer: Outer,
}

/// What the new function keeps of the old.
struct Outer {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    signature: Signature,
}

fn moved(handler: Handler) -> Moved {
    let associated = handler.is_associated();
    let Handler { attributes, visibility, signature, body } = handler;
    let attributes: Vec<_> = attributes.into_iter().map(lenient).collect();
    let described = attributes.iter().filter(|attribute| stays(attribute)).cloned().collect();
    let outer = Outer { attributes: described, visibility, signature: signature.clone() };
    let mut inner = signature;
    let attributes: Vec<_> = attributes.into_iter().filter(moves).collect();
    let turbofish = turbofish(&inner);
    if associated {
        inner.ident = format_ident!("__idempotent_{}", inner.ident);
        let name = &inner.ident;
        let path = quote!(Self::#name #turbofish);
        let beside = quote! {
            #(#attributes)*
            #[doc(hidden)]
            #inner #body
        };
        return Moved { beside: Some(beside), inside: None, path, outer };
    }
    let name = &inner.ident;
    let path = quote!(#name #turbofish);
    let inside = quote! {
        #(#attributes)*
        #inner #body
    };
    Moved { beside: None, inside: Some(inside), path, outer }
}

fn guarded(private: &TokenStream, options: &Options, handler: Handler) -> TokenStream {
    let types = handler.argument_types();
    let arguments: Vec<_> = (0..types.len()).map(|index| own(&format!("argument{index}"))).collect();
    let Moved { beside, inside, path, outer: Outer { attributes, visibility, signature } } = moved(handler);
    // The handler is an item inside, so a parameter of the same name would not be seen.
    let guarded = own(if signature.ident == "idempotent_guarded" { "guarded_request" } else { "guarded" });
    let (call, tuple) = (own("call"), own("arguments"));
    let turbofish = turbofish(&signature);
    let called = Called { signature: &signature, turbofish: &turbofish, types: &types, arguments: &arguments };
    let Evaluation { method, statements: evaluate } = parts::evaluate(private, options, &called, &call, &tuple);
    let mutable = (!evaluate.is_empty()).then(|| quote!(mut));
    let stripped = options.may_lack_key().then(|| quote!(mut));
    let keyed_by_arguments = options.key.is_some();
    let parameters = match &options.body_limit {
        Some(limit) => quote!(, #keyed_by_arguments, #limit),
        None if keyed_by_arguments => quote!(, true),
        None => TokenStream::new(),
    };
    let handler = quote!(#path(#(#arguments),*));
    // As a value, which clippy takes for the reason why it is `async`, as it does where a route has the handler itself.
    let value = inside.is_some().then(|| quote!(let _ = #path;));
    let probes = probe::all(private, options, &signature, &types, &arguments, &handler);
    let transaction = options.transaction.is_some();
    // Where a type parameter of the handler's may borrow, this is what the compiler refuses.
    let spot = probe::spot(&signature.ident);
    let here = probe::at(&signature.ident, private);
    let run = if transaction {
        let (future, causes) = (own("future"), own("causes"));
        let make = quote! {
            |(#(#arguments,)*)| {
                let #future = #handler;
                let #causes = #private::outcome_of(&#future).returned().causes();
                #private::noting(#future, #causes)
            }
        };
        let handler = if options.retry.is_some() {
            let again = probe::again(private, &types, &arguments);
            quote_spanned!(spot=> #here::repeating(#tuple, #again, #make))
        } else {
            quote_spanned!(spot=> #here::handling(#tuple, #make))
        };
        let options = options.expand(private);
        quote_spanned! {spot=>
            use #private::{AnyAttempts as _, AnyCauses as _, AnyRepeat as _};
            #here::run_in_transaction(#call, #options, #handler.attempts())
        }
    } else {
        let options = options.expand(private);
        let handler = quote_spanned!(spot=> #here::handling(#tuple, |(#(#arguments,)*)| #handler));
        quote_spanned!(spot=> #here::run(#call, #options, #handler.go()))
    };
    let name = &signature.ident;
    let generics = &signature.generics;
    let where_clause = &generics.where_clause;
    // Where a trait has the function, this is what the compiler refuses.
    let taken = if transaction {
        quote_spanned!(spot=> #guarded: #here::Transacted<(#(#types,)*) #parameters>)
    } else {
        quote_spanned!(spot=> #guarded: #here::Guarded<(#(#types,)*) #parameters>)
    };
    quote! {
        #beside
        #method
        #(#attributes)*
        #visibility fn #name #generics (#taken) -> #private::Work #where_clause {
            #inside
            #value
            #probes
            let (#mutable #call, #stripped #tuple) = #guarded.into_parts();
            #evaluate
            #run
        }
    }
}

/// A handler that cannot work is emitted all the same, under its name and as something that axum would take, so that
/// its mistake is the only error.
fn refused(private: &TokenStream, mut handler: Handler) -> TokenStream {
    // What the compiler would refuse once more.
    let signature = &mut handler.signature;
    signature.constness = None;
    signature.abi = None;
    signature.variadic = None;
    if let Safety::Safe(_) = signature.safety {
        signature.safety = Safety::Default;
    }
    let Moved { beside, inside, outer: Outer { attributes, visibility, signature }, .. } = moved(handler);
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

/// A name for what is ours. Hygiene keeps it from the user's variables, and the prefix from his constants.
pub(crate) fn own(name: &str) -> Ident {
    format_ident!("idempotent_{name}", span = Span::mixed_site())
}

/// What describes the function to others stays on the one that others see.
fn stays(attribute: &Attribute) -> bool {
    ["doc", "cfg", "allow", "deprecated", "must_use"].iter().any(|name| attribute.path().is_ident(name))
}

/// The rest goes with the handler, and sees its signature.
fn moves(attribute: &Attribute) -> bool {
    !["doc", "deprecated", "must_use"].iter().any(|name| attribute.path().is_ident(name))
}

/// What is expected of the handler is allowed in both functions: which of the two has it, only the lint knows, and some
/// see it in neither.
fn lenient(mut attribute: Attribute) -> Attribute {
    if let Meta::List(list) = &mut attribute.meta
        && list.path.is_ident("expect")
    {
        list.path = Ident::new("allow", list.path.span()).into();
    }
    attribute
}

/// The handler's own generics, named, since nothing but its arguments could tell them.
fn turbofish(signature: &Signature) -> TokenStream {
    let parameters: Vec<_> = signature
        .generics
        .params
        .iter()
        .filter_map(|parameter| match parameter {
            GenericParam::Type(parameter) => Some(&parameter.ident),
            GenericParam::Const(parameter) => Some(&parameter.ident),
            GenericParam::Lifetime(_) => None,
        })
        .collect();
    if parameters.is_empty() { TokenStream::new() } else { quote!(::<#(#parameters),*>) }
}
