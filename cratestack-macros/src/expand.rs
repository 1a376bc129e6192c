use proc_macro_crate::FoundCrate;
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, GenericParam, Ident, Signature, Visibility};

use crate::handler::Handler;
use crate::options::Options;
use crate::parts;
use crate::{check, checks};

#[cfg(test)]
mod tests;

/// The whole attribute: tokens in, tokens out.
#[allow(clippy::needless_pass_by_value)] // The signature of an attribute macro.
pub(crate) fn idempotent(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let (options, mut mistakes) = Options::parse(attribute);
    let Ok(handler) = syn::parse2::<Handler>(item.clone()) else {
        let mistake = syn::Error::new(
            first_span(&item),
            "`#[idempotent]` goes on a handler with a body, an `async fn` or a `fn` that returns a future; write it above the \
             function that handles the request",
        )
        .to_compile_error();
        return quote!(#mistake #item);
    };
    let refusal = [check::handler(&handler).err(), parts::check(&options)];
    let sound = refusal.iter().all(Option::is_none);
    for mistake in refusal.into_iter().flatten() {
        match &mut mistakes {
            Some(mistakes) => mistakes.combine(mistake),
            None => mistakes = Some(mistake),
        }
    }
    let mistakes = mistakes.map(|mistakes| mistakes.to_compile_error());
    let expansion = if sound { guarded(&options, handler) } else { refused(handler) };
    quote!(#mistakes #expansion)
}

fn first_span(item: &TokenStream) -> Span {
    item.clone().into_iter().next().map_or_else(Span::call_site, |token| token.span())
}

/// The only path that generated code names.
fn private() -> TokenStream {
    let name = match proc_macro_crate::crate_name("cratestack-runtime") {
        Ok(FoundCrate::Name(name)) => Ident::new(&name, Span::call_site()),
        // The crate's own examples name it from outside; and where no manifest tells, it has its own name.
        Ok(FoundCrate::Itself) | Err(_) => Ident::new("cratestack_runtime", Span::call_site()),
    };
    quote!(::#name::__private)
}

/// The handler moved out of the way, and how to name it from the function that takes its place.
struct Moved {
    /// Beside the new function, where the handler must stay an associated one.
    beside: Option<TokenStream>,
    /// Inside the new function, else.
    inside: Option<TokenStream>,
    /// Its path, to be blamed at the given place.
    path: Box<dyn Fn(Span) -> TokenStream>,
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
    let outer = Outer {
        attributes: attributes.iter().filter(|attribute| stays(attribute)).cloned().collect(),
        visibility,
        signature: signature.clone(),
    };
    let mut inner = signature;
    let attributes: Vec<_> = attributes.into_iter().filter(moves).collect();
    let turbofish = turbofish(&inner);
    if associated {
        inner.ident = format_ident!("__idempotent_{}", inner.ident);
        let name = inner.ident.clone();
        let path = Box::new(move |span: Span| {
            let mut name = name.clone();
            name.set_span(span.resolved_at(name.span()));
            quote_spanned!(span.resolved_at(Span::call_site())=> Self::#name #turbofish)
        });
        let beside = quote! {
            #(#attributes)*
            #[doc(hidden)]
            #inner #body
        };
        return Moved { beside: Some(beside), inside: None, path, outer };
    }
    let name = inner.ident.clone();
    let path = Box::new(move |span: Span| {
        let mut name = name.clone();
        name.set_span(span.resolved_at(name.span()));
        quote!(#name #turbofish)
    });
    let inside = quote! {
        #(#attributes)*
        #inner #body
    };
    Moved { beside: None, inside: Some(inside), path, outer }
}

fn guarded(options_read: &Options, handler: Handler) -> TokenStream {
    let private = private();
    let types = handler.argument_types();
    let arguments: Vec<_> =
        (0..types.len()).map(|index| Ident::new(&format!("argument{index}"), Span::mixed_site())).collect();
    let Moved { beside, inside, path, outer: Outer { attributes, visibility, signature } } = moved(handler);
    let guarded = Ident::new("idempotent_request", Span::mixed_site());
    let call = Ident::new("call", Span::mixed_site());
    let evaluate = parts::evaluate(options_read, &signature, &call, &arguments, &private);
    let mutable = (!evaluate.is_empty()).then(|| quote!(mut));
    let keyed_by_arguments = options_read.key.is_some();
    let parameters = match &options_read.body_limit {
        Some(limit) => quote!(, #keyed_by_arguments, #limit),
        None if keyed_by_arguments => quote!(, true),
        None => TokenStream::new(),
    };
    let state = options_read.state.as_ref().map(|state| {
        let provides =
            quote_spanned!(state.span().resolved_at(Span::call_site())=> #private::state_provides_idempotency);
        quote!(let _ = #provides::<#state>;)
    });
    let options = options_read.expand(&private);
    let checks = checks::expand(options_read, &signature, &types, &path, &private);
    let handler = path(signature.ident.span());
    let mut work = quote!(#private::Handling(#handler(#(#arguments,)*)).boxed());
    if signature.asyncness.is_none() {
        // A plain `fn` may do its work before it returns its future, and must not before the key is reserved.
        work = quote!(#private::Box::pin(async move { #work.await }));
    }
    let name = &signature.ident;
    let generics = &signature.generics;
    let where_clause = &generics.where_clause;
    quote! {
        #beside
        #(#attributes)*
        #visibility async fn #name #generics (
            #guarded: #private::Guarded<(#(#types,)*) #parameters>,
        ) -> #private::Response #where_clause {
            #inside
            #state
            #checks
            let (#mutable #call, (#(#arguments,)*)) = #guarded.into_parts();
            #evaluate
            #[allow(unused_imports)]
            use #private::Fallback as _;
            #call.run(#options, #work).await
        }
    }
}

/// A handler that cannot work is emitted all the same, under its name and as something that axum would take, so that
/// its mistake is the only error.
fn refused(mut handler: Handler) -> TokenStream {
    let private = private();
    if handler.signature.ident == "main" {
        return quote!(
            fn main() {}
        );
    }
    // They would have their own opinion of a function that is wrong.
    handler.attributes.retain(stays);
    handler.signature.constness = None;
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

/// What describes the function to others stays on the one that others see.
fn stays(attribute: &Attribute) -> bool {
    ["doc", "cfg", "allow", "deprecated", "must_use"].iter().any(|name| attribute.path().is_ident(name))
}

/// The rest goes with the handler, and sees its signature.
fn moves(attribute: &Attribute) -> bool {
    !["doc", "deprecated", "must_use"].iter().any(|name| attribute.path().is_ident(name))
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
