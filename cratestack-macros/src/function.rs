//! A function that is no handler: it keeps its name, its place and its arguments, and its body is run under the guard.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::visit::Visit;
use syn::visit_mut::{self, VisitMut};
use syn::{FnArg, Ident, Pat, PatIdent, PatType, Signature, Type};

use crate::context::{located, span_of, variable};
use crate::evaluation::by_reference;
use crate::function_signature::{Returned, Supplied, borrows, returned, supplied};
use crate::handler::Handler;
use crate::names::BoundNames;
use crate::options::Options;
use crate::{function_checks, reservation};

/// The function with its guard.
pub(crate) fn guarded(private: &TokenStream, options: &Options, function: Handler) -> TokenStream {
    let Handler { attributes, visibility, signature, body } = function;
    let Some(returned) = returned(&signature) else { return TokenStream::new() };
    let (inner_attributes, body) = inner_attributes(body.stream(), body.span());
    let (call, run) = (variable("call"), variable("run"));
    let checks = function_checks::all(private, options, returned.output());
    let tx = transaction(options, &signature);
    let make_call = make_call(private, options, &signature, tx, &call);
    let parts = options.parts().map(|(name, expression)| {
        let span = span_of(expression);
        let method = Ident::new(name, span);
        let part = by_reference(private, expression);
        quote_spanned!(span=> #call.#method(&#part);)
    });
    let evaluation = quote! {
        #[allow(
            clippy::needless_borrow,
            clippy::needless_borrows_for_generic_args,
            clippy::op_ref,
            clippy::used_underscore_binding
        )]
        { #(#parts)* }
    };
    let work = work(private, options, &signature, &returned, tx, &body, &run);
    let (span, private_here) = located(private, &signature.ident);
    let output = returned.output();
    let recording = Ident::new(if options.records_errors() { "recording_all" } else { "recording_success" }, span);
    let has_transactions = tx.is_some() || database_of_steps(&signature).is_some();
    let telling_causes = has_transactions.then(|| quote!(.telling_causes()));
    let mode = match (borrows(&signature), tx) {
        (false, None) => "owned",
        (true, None) => "borrowed",
        (false, Some(_)) => "owned_in_transaction",
        (true, Some(_)) => "borrowed_in_transaction",
    };
    let mode = Ident::new(mode, span);
    let calling = quote_spanned! {span=>
        #private_here::function::<#output>().#recording() #telling_causes.#mode(#call, #work).await
    };
    let causes = has_transactions.then(|| quote!(use #private::AnyRecorder as _;));
    let statements = quote! {
        use #private::{AnyFunction as _, AnyReturnedByFunction as _};
        #causes
        #checks
        #make_call
        #evaluation
        #calling
    };
    let inside = match returned {
        Returned::ByAsync(_) => statements,
        Returned::Boxed(..) => quote!(#private::Box::pin(async move { #statements })),
        Returned::Opaque(..) => quote!(async move { #statements }),
    };
    let mut signature = without_supplied(&signature);
    if options.has("retry") {
        signature.inputs.iter_mut().for_each(|argument| Unchanged.visit_fn_arg_mut(argument));
    }
    quote! {
        #(#attributes)*
        #visibility #signature {
            #inner_attributes
            #inside
        }
    }
}

/// A function that cannot be guarded is emitted all the same, as its callers see it, so that its mistake is the only
/// error.
pub(crate) fn refused(private: &TokenStream, function: Handler) -> TokenStream {
    let Handler { attributes, visibility, signature, body } = function;
    let (inner_attributes, body) = inner_attributes(body.stream(), body.span());
    let supplied = supplied(&signature).map(|(_, argument)| {
        let PatType { pat, ty, .. } = argument;
        quote!(let #pat: #ty = #private::unreturned();)
    });
    let supplied = quote!(#(#supplied)*);
    let mut signature = without_supplied(&signature);
    // The compiler would refuse these once more.
    signature.constness = None;
    signature.abi = None;
    signature.variadic = None;
    quote! {
        #[allow(dead_code, unused_variables, unused_mut, clippy::all)]
        #(#attributes)*
        #visibility #signature {
            #inner_attributes
            #supplied
            #body
        }
    }
}

/// The `Tx` among the arguments of a function with `transaction`.
fn transaction<'a>(options: &Options, signature: &'a Signature) -> Option<&'a Type> {
    let mut all = supplied(signature).filter(|(supplied, _)| *supplied == Supplied::Tx);
    all.next().filter(|_| options.has("transaction")).map(|(_, argument)| &*argument.ty)
}

/// The `DB` of a `Reservation<DB>` among the arguments.
fn database_of_steps(signature: &Signature) -> Option<Type> {
    let types: Vec<_> = supplied(signature).map(|(_, argument)| (*argument.ty).clone()).collect();
    reservation::database(signature, &types).cloned()
}

fn make_call(
    private: &TokenStream,
    options: &Options,
    signature: &Signature,
    tx: Option<&Type>,
    call: &Ident,
) -> TokenStream {
    let (Some(handle), Some(name)) = (options.handle(), options.value("name")) else {
        return TokenStream::new();
    };
    let builder = options.builder(private);
    let (span, private_at_handle) = located(private, handle);
    match tx {
        None => {
            // A step that is a transaction needs a handle that knows its store.
            let handle = if let Some(database) = database_of_steps(signature) {
                quote_spanned!(span=> &#private_at_handle::transactional_handle::<#database, _>(&(#handle)))
            } else {
                quote_spanned!(span=> &(#handle))
            };
            let handle = quote_spanned!(span=> #private_at_handle::found_handle(#handle));
            quote! {
                #[allow(clippy::needless_borrow, clippy::needless_borrows_for_generic_args)]
                let mut #call = #private::FunctionCall::new(#handle, #name, #builder);
            }
        }
        Some(tx) => {
            let (at_tx, private_at_tx) = located(private, tx);
            let database = quote_spanned!(at_tx=> <#tx as #private_at_tx::IsTx>::Database);
            let handle = quote_spanned!(span=> #private_at_handle::transactional_handle::<#database, _>(&(#handle)));
            quote! {
                #[allow(clippy::needless_borrow, clippy::needless_borrows_for_generic_args)]
                let mut #call = #private::TransactionalCall::<#database>::new(#handle, #name, #builder);
            }
        }
    }
}

/// What runs the body: a closure that makes a future of it.
fn work(
    private: &TokenStream,
    options: &Options,
    signature: &Signature,
    returned: &Returned<'_>,
    tx: Option<&Type>,
    body: &TokenStream,
    run: &Ident,
) -> TokenStream {
    let output = returned.output();
    let supplied = supplied(signature).map(|(supplied, argument)| {
        let PatType { pat, ty, .. } = argument;
        let (span, private) = located(private, ty);
        let value = match supplied {
            Supplied::Tx => quote_spanned!(span=> #run.tx()),
            Supplied::Reservation => quote_spanned!(span=> #private::reservation::<#ty>(#run.slot())),
        };
        quote! {
            #[allow(clippy::no_effect_underscore_binding)]
            let #pat: #ty = #value;
        }
    });
    let future = match returned {
        Returned::ByAsync(_) => quote!(#[allow(unused_braces)] #body),
        // In a closure, so that what the body returns early is a future too.
        Returned::Boxed(_, ty) => quote!((move || -> #ty { #body })().await),
        Returned::Opaque(_) => quote!((move || { #body })().await),
    };
    let future = quote! {
        async move {
            // The type of what is returned first is the type of all, as in a function that says it.
            if false { return #private::unreturned::<#output>(); }
            #(#supplied)*
            #future
        }
    };
    let run_type = if tx.is_some() { quote!(#private::TransactionalRun<_>) } else { quote!(#private::Run) };
    if options.has("retry") && tx.is_some() {
        let clones = clones(private, signature);
        quote!(#private::again(move |#run: #run_type| { #clones #future }))
    } else {
        quote!(#private::once(move |#run: #run_type| #future))
    }
}

/// What another run gets of each argument. One that cannot be cloned is reported at its type.
fn clones(private: &TokenStream, signature: &Signature) -> TokenStream {
    let arguments = signature.inputs.iter().filter_map(|argument| match argument {
        FnArg::Typed(argument) if Supplied::of(&argument.ty).is_none() => Some(argument),
        _ => None,
    });
    let clones = arguments.flat_map(|PatType { pat, ty, .. }| {
        let mut bound = BoundNames::default();
        bound.visit_pat(pat);
        let whole = matches!(**pat, Pat::Ident(_)).then(|| located(private, ty));
        bound.0.into_iter().map(move |name| {
            let (span, private) = whole.clone().unwrap_or_else(|| located(private, &name));
            quote_spanned!(span=>
                #[allow(unused_mut, unused_variables)]
                let mut #name = #private::Repeat(&#name).again();
            )
        })
    });
    quote! {
        use #private::AnyRepeat as _;
        #(#clones)*
    }
}

/// Takes `mut` from the bindings of which each run has a clone.
struct Unchanged;

impl VisitMut for Unchanged {
    fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
        if pattern.by_ref.is_none() {
            pattern.mutability = None;
        }
        visit_mut::visit_pat_ident_mut(self, pattern);
    }
}

/// The signature that callers see.
fn without_supplied(signature: &Signature) -> Signature {
    let mut signature = signature.clone();
    let is_passed =
        |argument: &FnArg| !matches!(argument, FnArg::Typed(argument) if Supplied::of(&argument.ty).is_some());
    signature.inputs = signature.inputs.into_iter().filter(is_passed).collect();
    signature
}

/// The attributes that a body begins with (`#![allow(…)]`), and the rest of it as a block.
fn inner_attributes(body: TokenStream, span: Span) -> (TokenStream, TokenStream) {
    let mut tokens: Vec<TokenTree> = body.into_iter().collect();
    let mut start = 0;
    while matches!(tokens.get(start..), Some([TokenTree::Punct(hash), TokenTree::Punct(not), TokenTree::Group(_), ..])
        if hash.as_char() == '#' && not.as_char() == '!')
    {
        start += 3;
    }
    let rest: TokenStream = tokens.split_off(start).into_iter().collect();
    let mut block = Group::new(Delimiter::Brace, rest);
    block.set_span(span);
    (tokens.into_iter().collect(), block.into_token_stream())
}
