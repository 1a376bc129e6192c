//! What only types can tell: each is asked for in a statement of its own, at the user's token, while the code that runs
//! accepts anything. So a mistake is one error, and it stands where it was made.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{GenericArgument, PathArguments, ReturnType, Signature, Type, TypeImplTrait};

use crate::expand::own;
use crate::options::{HAS_TRANSACTIONS, Options};

/// None of these statements runs, or costs code: they name functions, or stand in a closure that nobody calls.
pub(crate) fn all(
    private: &TokenStream,
    options: &Options,
    signature: &Signature,
    types: &[Type],
    names: &[Ident],
    handler: &TokenStream,
) -> TokenStream {
    let state = options.state.as_ref();
    // The handle of a transaction is asked for at its `Tx`.
    let provides = state.filter(|_| options.transaction.is_none()).map(|state| {
        let private = at(state, private);
        quote_spanned!(spot(state)=> let _ = #private::state_provides_idempotency::<#state>;)
    });
    let arguments = types.iter().enumerate().map(|(index, ty)| {
        let private = at(ty, private);
        let spot = spot(ty);
        let place = Ident::new(if index + 1 == types.len() { "last" } else { "leading" }, spot);
        if let Some(state) = state {
            quote_spanned!(spot=> let _ = #private::ArgumentOf::<#ty, #state>::#place;)
        } else {
            quote_spanned!(spot=> let _ = #private::Argument::<#ty>::#place;)
        }
    });
    let transaction = transaction(private, options, types);
    // The future of an `async fn` holds them, and is asked below.
    let moved = types.iter().filter(|_| signature.asyncness.is_none()).map(|ty| {
        let private = at(ty, private);
        quote_spanned!(spot(ty)=> let _ = #private::argument_is_send::<#ty>;)
    });
    let outcome = own("outcome");
    let returned = returned(private, signature, &outcome);
    let sent = match &signature.output {
        ReturnType::Type(_, ty) if signature.asyncness.is_none() && !is_opaque(ty) => {
            sent(private, ty, "handler_type_is_send", &outcome)
        }
        ReturnType::Type(_, ty) if signature.asyncness.is_none() => sent(private, ty, "handler_is_send", &outcome),
        _ => sent(private, &signature.ident, "handler_is_send", &outcome),
    };
    let parameters = quote!(#(#names: #types),*);
    quote! {
        use #private::{AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _, AnyReturned as _};
        #provides
        #(#arguments)*
        #transaction
        #(#moved)*
        let _ = |#parameters| {
            let #outcome = #private::outcome(#handler);
            #sent
            #returned
        };
    }
}

/// Whether the handler has its `Tx`, one alone, and only where it may.
fn transaction(private: &TokenStream, options: &Options, types: &[Type]) -> TokenStream {
    // By its name alone, so that other handlers cost nothing; whether it is one, the type tells.
    let suspects: Vec<_> = types.iter().filter(|ty| HAS_TRANSACTIONS && mentions(ty.to_token_stream(), "Tx")).collect();
    let Some(transaction) = &options.transaction else {
        let suspects = suspects.into_iter().map(|ty| {
            let private = at(ty, private);
            quote_spanned!(spot(ty)=> let _ = {
                use #private::AnyUntransacted as _;
                #private::Untransacted::<#ty>::argument
            };)
        });
        return quote!(#(#suspects)*);
    };
    if let [first, others @ ..] = suspects.as_slice()
        && !others.is_empty()
    {
        // Of two, the place of the one could not be told. Whether they are, their types tell.
        let pairs = others.iter().map(|other| {
            let private = at(other, private);
            quote_spanned!(spot(other)=> let _ = {
                use #private::AnyPair as _;
                #private::Pair::<#first, #other>::apart
            };)
        });
        return quote!(#(#pairs)*);
    }
    let taken = at(transaction, private);
    quote_spanned!(spot(transaction)=> let _ = #taken::takes_tx::<(#(#types,)*), _>;)
}

/// How the arguments are had for another run; where one cannot be had, this is where it is told.
pub(crate) fn again(private: &TokenStream, types: &[Type], names: &[Ident]) -> TokenStream {
    let each = types.iter().zip(names).map(|(ty, name)| {
        let (private, name) = (at(ty, private), placed(name, ty));
        quote_spanned!(spot(ty)=> #private::Repeat(#name).again())
    });
    quote!(|(#(#names,)*): &(#(#types,)*)| (#(#each,)*))
}

fn mentions(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        _ => false,
    })
}

/// Whether the handler's future moves between threads.
fn sent(private: &TokenStream, token: &impl ToTokens, question: &str, outcome: &Ident) -> TokenStream {
    let private = at(token, private);
    let question = Ident::new(question, spot(token));
    let outcome = placed(outcome, token);
    quote_spanned!(spot(token)=> #private::#question(&#outcome);)
}

/// What the handler returns.
fn returned(private: &TokenStream, signature: &Signature, outcome: &Ident) -> TokenStream {
    let ReturnType::Type(_, ty) = &signature.output else { return TokenStream::new() };
    let is_async = signature.asyncness.is_some();
    let future = (!is_async).then(|| {
        let private = at(ty, private);
        let outcome = placed(outcome, ty);
        quote_spanned!(spot(ty)=> #private::handler_is_future(&#outcome);)
    });
    // Where the type has no name of its own, the future's output stands for it.
    let named = is_async && !is_opaque(ty);
    let ask = |part: &Type, question: &str| {
        let private = at(part, private);
        let spot = spot(part);
        let question = Ident::new(question, spot);
        if named {
            quote_spanned!(spot=> let _ = #private::Returned::<#ty>::#question;)
        } else {
            let outcome = placed(outcome, part);
            quote_spanned!(spot=> #outcome.returned().#question();)
        }
    };
    let asked = match result(ty) {
        Some((success, failure)) if is_async => {
            let success = ask(&success, "success");
            let failure = ask(&failure, "failure");
            quote!(#success #failure)
        }
        _ => ask(ty, "whole"),
    };
    quote!(#future #asked)
}

/// The two sides of what is spelt like a `Result`. Whether it is one, the type tells.
fn result(ty: &Type) -> Option<(Type, Type)> {
    let path = match ty {
        Type::Path(path) => path,
        // From a `macro_rules!`.
        Type::Group(group) => return result(&group.elem),
        _ => return None,
    };
    let PathArguments::AngleBracketed(arguments) = &path.path.segments.last()?.arguments else { return None };
    let mut types = arguments.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty.clone()),
        _ => None,
    });
    let sides = (types.next()??, types.next()??);
    types.next().is_none().then_some(sides)
}

fn is_opaque(ty: &Type) -> bool {
    struct Opaque(bool);
    impl<'ast> Visit<'ast> for Opaque {
        fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
            self.0 = true;
            visit::visit_type_impl_trait(self, ty);
        }
    }
    let mut opaque = Opaque(false);
    opaque.visit_type(ty);
    opaque.0
}

/// Where the user wrote `token`, resolved where the attribute stands: inside a `macro_rules!`, the two differ.
pub(crate) fn spot(token: &impl ToTokens) -> Span {
    token.span().resolved_at(Span::call_site())
}

/// Our own `name`, where `token` stands.
fn placed(name: &Ident, token: &impl ToTokens) -> Ident {
    Ident::new(&name.to_string(), name.span().located_at(token.span()))
}

/// `private`, as if the user had written it where `token` stands.
pub(crate) fn at(token: &impl ToTokens, private: &TokenStream) -> TokenStream {
    let spot = spot(token);
    let moved = private.clone().into_iter().map(|mut token| {
        token.set_span(spot);
        token
    });
    moved.collect()
}
