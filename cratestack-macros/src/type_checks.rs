//! Checks that need types. Each is a statement of its own at the user's token, while the code that runs accepts
//! anything: so a mistake is one error, and stands where it was made.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{GenericArgument, PathArguments, ReturnType, Signature, Type};

use crate::context::{Context, located, mentions, variable, variable_at};
use crate::handle;
use crate::options::HAS_TRANSACTIONS;

/// None of these statements runs, or costs code: they name functions, or stand in a closure that nobody calls.
/// `handler_call` is the handler's call over its arguments.
pub(crate) fn all(context: &Context<'_>, handler_call: &TokenStream) -> TokenStream {
    let Context { private, options, signature, types, database, arguments } = *context;
    // A transaction's handle is checked at its `Tx`, and that of a `Reservation<DB>` at that.
    let state = options.value("state");
    let is_found_in_state = options.handle().is_none();
    let is_typed = options.has("transaction") || database.is_some();
    let provides_idempotency = state.filter(|_| is_found_in_state && !is_typed).map(|state| {
        let (span, private) = located(private, state);
        quote_spanned!(span=> let _ = #private::state_provides_idempotency::<#state>;)
    });
    let extractors = types.iter().enumerate().map(|(index, ty)| {
        let (span, private) = located(private, ty);
        let place = Ident::new(if index + 1 == types.len() { "last" } else { "leading" }, span);
        // Of the state a `Tx` or a `Reservation<DB>` would ask for its handle.
        if let Some(state) = state.filter(|_| is_found_in_state || !handle::asks_for_handle(context, ty)) {
            quote_spanned!(span=> let _ = #private::ArgumentOf::<#ty, #state>::#place;)
        } else {
            quote_spanned!(span=> let _ = #private::Argument::<#ty>::#place;)
        }
    });
    let transaction = transaction(context);
    let handle = handle::known_before_the_body(context);
    // An `async fn`'s future holds its arguments, and is checked below.
    let sent_arguments = types.iter().filter(|_| signature.asyncness.is_none()).map(|ty| {
        let (span, private) = located(private, ty);
        quote_spanned!(span=> let _ = #private::argument_is_send::<#ty>;)
    });
    let outcome = variable("outcome");
    let sent_future = future_is_send(private, signature, &outcome);
    let returned = return_type(context, &outcome);
    let parameters = quote!(#(#arguments: #types),*);
    quote! {
        use #private::{AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _, AnyReturned as _};
        #provides_idempotency
        #(#extractors)*
        #transaction
        #handle
        #(#sent_arguments)*
        let _ = |#parameters| {
            let #outcome = #private::outcome(#handler_call);
            #sent_future
            #returned
        };
    }
}

/// Whether the handler has its `Tx`, one alone, and only where it may.
fn transaction(context: &Context<'_>) -> TokenStream {
    let Context { private, options, types, .. } = *context;
    // Suspected by name alone, so that other handlers cost nothing; the type decides.
    let suspected = |name| types.iter().filter(move |ty| HAS_TRANSACTIONS && mentions(ty.to_token_stream(), name));
    let suspects: Vec<_> = suspected("Tx").collect();
    let Some(transaction) = options.name("transaction") else {
        let suspects = suspects.into_iter().chain(suspected("InTransaction")).map(|ty| {
            let (span, private) = located(private, ty);
            quote_spanned!(span=> let _ = {
                use #private::AnyUntransacted as _;
                #private::Untransacted::<#ty>::argument
            };)
        });
        return quote!(#(#suspects)*);
    };
    let reservations = suspected("Reservation").map(|ty| {
        let (span, private) = located(private, ty);
        quote_spanned!(span=> let _ = {
            use #private::AnyInTransaction as _;
            #private::InTransaction::<#ty>::argument
        };)
    });
    let reservations = quote!(#(#reservations)*);
    if let [first, others @ ..] = suspects.as_slice()
        && !others.is_empty()
    {
        // With two, the compiler could not infer the place of the one. Their types decide whether both are one.
        let pairs = others.iter().map(|other| {
            let (span, private) = located(private, other);
            quote_spanned!(span=> let _ = {
                use #private::AnyPair as _;
                #private::Pair::<#first, #other>::apart
            };)
        });
        return quote!(#reservations #(#pairs)*);
    }
    let (span, private) = located(private, transaction);
    let takes_tx = quote_spanned!(span=> let _ = #private::takes_tx::<(#(#types,)*), _>;);
    quote!(#reservations #takes_tx)
}

/// Whether the handler's future moves between threads, asked where the future is named: at the return type, or at the
/// name of an `async fn`.
fn future_is_send(private: &TokenStream, signature: &Signature, outcome: &Ident) -> TokenStream {
    let ask = |token: &dyn ToTokens, question: &str| {
        let (span, private) = located(private, &token);
        let (question, outcome) = (Ident::new(question, span), variable_at(outcome, &token));
        quote_spanned!(span=> #private::#question(&#outcome);)
    };
    match &signature.output {
        ReturnType::Type(_, ty) if signature.asyncness.is_none() && !is_opaque(ty) => ask(ty, "handler_type_is_send"),
        ReturnType::Type(_, ty) if signature.asyncness.is_none() => ask(ty, "handler_is_send"),
        _ => ask(&signature.ident, "handler_is_send"),
    }
}

/// Whether the handler returns a future, and the future a response, or a `Result` of two; in a transaction that an error
/// is to roll back, whether the error does.
fn return_type(context: &Context<'_>, outcome: &Ident) -> TokenStream {
    let Context { private, options, signature, .. } = *context;
    let ReturnType::Type(_, ty) = &signature.output else { return TokenStream::new() };
    let is_async = signature.asyncness.is_some();
    let future = (!is_async).then(|| {
        let (span, private) = located(private, ty);
        let outcome = variable_at(outcome, ty);
        quote_spanned!(span=> #private::handler_is_future(&#outcome);)
    });
    // Where the type has no name of its own, the future's output stands for it.
    let is_named = is_async && !is_opaque(ty);
    let ask = |part: &Type, question: &str| {
        let (span, private) = located(private, part);
        let question = Ident::new(question, span);
        if is_named {
            quote_spanned!(span=> let _ = #private::Returned::<#ty>::#question;)
        } else {
            let outcome = variable_at(outcome, part);
            quote_spanned!(span=> #outcome.returned().#question();)
        }
    };
    let sides = result_sides(ty).filter(|_| is_async);
    let asked = match sides {
        Some((success, failure)) => {
            let success = ask(success, "success");
            let failure = ask(failure, "failure");
            quote!(#success #failure)
        }
        None => ask(ty, "whole"),
    };
    let must_roll_back = options.has("transaction") && options.name_with("commit", "all").is_none();
    let rolls_back = must_roll_back.then(|| ask(sides.map_or(ty, |(_, failure)| failure), "rolls_back"));
    quote!(#future #asked #rolls_back)
}

/// The two sides of what is spelt like a `Result`; the type decides whether it is one.
pub(crate) fn result_sides(ty: &Type) -> Option<(&Type, &Type)> {
    let path = match ty {
        Type::Path(path) => path,
        // From a `macro_rules!`.
        Type::Group(group) => return result_sides(&group.elem),
        _ => return None,
    };
    let PathArguments::AngleBracketed(arguments) = &path.path.segments.last()?.arguments else { return None };
    let mut types = arguments.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    let sides = (types.next()??, types.next()??);
    types.next().is_none().then_some(sides)
}

/// Whether only the compiler knows the type's name.
pub(crate) fn is_opaque(ty: &Type) -> bool {
    mentions(ty.to_token_stream(), "impl")
}
