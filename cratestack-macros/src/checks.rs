//! The checks that only types can decide, each in a statement of its own and at the user's token.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, ReturnType, Signature, Type};

use crate::options::Options;

/// Names resolve where the attribute stands, also where an error is reported at a token from elsewhere.
fn at(span: Span) -> Span {
    span.resolved_at(Span::call_site())
}

/// All of them. `path` names the handler, with its generics.
pub(crate) fn expand(
    options: &Options,
    signature: &Signature,
    types: &[Type],
    path: &dyn Fn(Span) -> TokenStream,
    private: &TokenStream,
) -> TokenStream {
    let returned = returned(signature, types, path, private);
    let sent = called(signature.ident.span(), "is_send", types, path, private);
    let taken = match &options.state {
        Some(state) => taken_from(state, types, private),
        None => taken(types, private),
    };
    quote!(#returned #sent #taken)
}

/// A closure that nobody calls, whose body calls the handler and hands the result to a check.
fn called(
    span: Span,
    check: &str,
    types: &[Type],
    path: &dyn Fn(Span) -> TokenStream,
    private: &TokenStream,
) -> TokenStream {
    let arguments: Vec<_> =
        (0..types.len()).map(|index| Ident::new(&format!("argument{index}"), Span::mixed_site())).collect();
    let check = Ident::new(check, at(span));
    let path = path(span);
    let call = quote_spanned!(at(span)=> #private::#check(#path(#(#arguments,)*)));
    quote!(let _ = |#(#arguments: #types,)*| #call;)
}

fn returned(
    signature: &Signature,
    types: &[Type],
    path: &dyn Fn(Span) -> TokenStream,
    private: &TokenStream,
) -> Option<TokenStream> {
    let ReturnType::Type(_, returned) = &signature.output else { return None };
    let span = returned.span();
    if signature.asyncness.is_none() {
        return Some(called(span, "gives_a_future", types, path, private));
    }
    if has_no_name(returned.to_token_stream()) {
        return Some(called(span, "gives_a_response", types, path, private));
    }
    let check = quote_spanned!(at(span)=> #private::returns_a_response::<#returned>);
    Some(quote!(let _ = #check;))
}

/// `impl Trait` anywhere in it.
fn has_no_name(ty: TokenStream) -> bool {
    ty.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "impl" || ident == "_",
        TokenTree::Group(group) => has_no_name(group.stream()),
        _ => false,
    })
}

/// What can be said of an argument's type whatever the state is.
fn taken(types: &[Type], private: &TokenStream) -> TokenStream {
    let last = types.len().saturating_sub(1);
    let checks = types.iter().enumerate().map(|(index, ty)| {
        let span = at(ty.span());
        let can_be_taken = quote_spanned!(span=> #private::Argument::<#ty>::new().can_be_taken());
        let leaves_the_body =
            (index < last).then(|| quote_spanned!(span=> #private::Argument::<#ty>::new().leaves_the_body();));
        quote!(#can_be_taken; #leaves_the_body)
    });
    quote! {
        let _ = || {
            #[allow(unused_imports)]
            use #private::Unchecked as _;
            #(#checks)*
        };
    }
}

/// With the state named, axum's own bounds decide.
fn taken_from(state: &Type, types: &[Type], private: &TokenStream) -> TokenStream {
    let Some((last, before)) = types.split_last() else { return TokenStream::new() };
    let before = before.iter().map(|ty| {
        let check = quote_spanned!(at(ty.span())=> #private::is_part_of_a_request::<#state, #ty>);
        quote!(let _ = #check;)
    });
    let last = quote_spanned!(at(last.span())=> #private::is_request::<#state, #last, _>());
    quote!(#(#before)* let _ = || #last;)
}
