use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Ident, ReturnType, Token, Type, Visibility};

use crate::context::{Context, located, variable, variable_at};
use crate::evaluation::{Evaluation, evaluate};
use crate::handle::HandleExpression;
use crate::handler::Handler;
use crate::moved::MovedHandler;
use crate::options::Options;
use crate::reservation;
use crate::type_checks::{self, is_opaque};

/// The function that takes the handler's place. Its one argument is an extractor over all of the handler's arguments,
/// and it runs the handler under the guard.
pub(crate) fn guarded(
    private: &TokenStream,
    options: &Options,
    handler: Handler,
    may_stand_in_impl: bool,
) -> TokenStream {
    let types = handler.argument_types();
    let arguments: Vec<_> = (0..types.len()).map(|index| variable(&format!("argument{index}"))).collect();
    let moved = if may_stand_in_impl && MovedHandler::may_be_closure(&handler) {
        MovedHandler::as_closure(private, handler, &types, &arguments)
    } else {
        MovedHandler::as_function(handler)
    };
    let MovedHandler { beside, inside, path, by_value, attributes, visibility, signature } = moved;
    let database = reservation::database(&signature, &types).filter(|_| !options.has("transaction"));
    let context = Context { private, options, signature: &signature, types: &types, database, arguments: &arguments };
    let handler_call = quote!(#path(#(#arguments),*));

    // The handler is an item inside, so a parameter of the same name would not be seen.
    let guarded = variable(if signature.ident == "idempotent_guarded" { "guarded_request" } else { "guarded" });
    let (call, tuple) = (variable("call"), variable("arguments"));
    let handle = HandleExpression::of(&context);
    let parameter = parameter(&context, &visibility, &guarded, handle.as_ref());
    // Named as a value, the handler counts for clippy as one that must be `async`, as it does where a route has it.
    let as_value = (inside.is_some() && by_value.is_none()).then(|| quote!(let _ = #path;));
    let type_checks = type_checks::all(&context, &handler_call);
    let Evaluation { method, statements: evaluation } = evaluate(&context, &call, &tuple);
    let mut_call = (!evaluation.is_empty()).then(|| quote!(mut));
    let mut_tuple = options.may_lack_key().then(|| quote!(mut));
    let run = if options.has("transaction") {
        run_in_transaction(&context, &call, &tuple, by_value, &handler_call)
    } else {
        run(&context, &call, &tuple, by_value, &handler_call)
    };

    let (handle_method, run) = if let Some(handle) = &handle {
        let (found, value) = (variable("handle"), handle.evaluate(&guarded));
        let (span, _) = located(private, &signature.ident);
        let then = quote!({ #evaluation #run });
        let then = quote_spanned!(span=> #by_value |#mut_call #call, #mut_tuple #tuple| #then);
        let run = quote_spanned!(span=> #guarded.run(#found, #then));
        (handle.method(), quote!(let #found = #value; #run))
    } else {
        let into_parts = quote!(let (#mut_call #call, #mut_tuple #tuple) = #guarded.into_parts(););
        (None, quote!(#into_parts #evaluation #run))
    };

    let has_future_of_its_own = handle.is_none() && !options.has("transaction");
    let future = Ident::new(if has_future_of_its_own { "GuardedResponse" } else { "Work" }, Span::call_site());
    let name = &signature.ident;
    let generics = &signature.generics;
    let where_clause = &generics.where_clause;
    quote! {
        #beside
        #handle_method
        #method
        #(#attributes)*
        #visibility fn #name #generics (#parameter) -> #private::#future #where_clause {
            #inside
            #as_value
            #type_checks
            #run
        }
    }
}

/// Stands at the handler's name, where the compiler reports that a trait's method has other arguments.
fn parameter(
    context: &Context<'_>,
    visibility: &Visibility,
    guarded: &Ident,
    handle: Option<&HandleExpression<'_>>,
) -> TokenStream {
    let Context { private, options, signature, types, .. } = *context;
    let keyed_by_arguments = options.has("key");
    let constants = match options.value("body_limit") {
        Some(limit) => quote!(, #keyed_by_arguments, #limit),
        None if keyed_by_arguments => quote!(, true),
        None => TokenStream::new(),
    };
    let is_seen = !matches!(visibility, Visibility::Inherited);
    let returned = match &signature.output {
        ReturnType::Type(_, ty) if is_seen && !is_opaque(ty) && !matches!(**ty, Type::Never(_)) => quote!(, #ty),
        _ if constants.is_empty() => TokenStream::new(),
        _ => quote!(, ()),
    };
    let (span, private) = located(private, &signature.ident);
    if let Some(handle) = handle {
        let kind = Ident::new(if options.has("transaction") { "TransactionalHandler" } else { "LeasedHandler" }, span);
        let whole = handle.names_last();
        return quote_spanned! {span=>
            #guarded: #private::AwaitingHandle<#private::#kind, (#(#types,)*), #whole #returned #constants>
        };
    }
    let database = context.database.map(|database| quote!(#database,));
    let extractor = match database {
        _ if options.has("transaction") => "Transacted",
        Some(_) => "GuardedOver",
        None => "Guarded",
    };
    let extractor = Ident::new(extractor, span);
    quote_spanned!(span=> #guarded: #private::#extractor<#database (#(#types,)*) #returned #constants>)
}

/// Stands at the handler's name, where the compiler reports a type parameter that may borrow.
fn run(
    context: &Context<'_>,
    call: &Ident,
    tuple: &Ident,
    by_value: Option<Token![move]>,
    handler_call: &TokenStream,
) -> TokenStream {
    let Context { private, options, signature, arguments, .. } = *context;
    let has_handle = options.handle().is_some();
    let options = options.builder(private);
    let (span, private) = located(private, &signature.ident);
    let handling = quote_spanned!(span=> #private::handling(#tuple, #by_value |(#(#arguments,)*)| #handler_call));
    let run = if has_handle { quote_spanned!(span=> PreparedRun::leased) } else { quote_spanned!(span=> run) };
    quote_spanned!(span=> #private::#run(#call, #options, #handling.go()))
}

/// The same in a transaction, which is told from what database error an error of the handler's came.
fn run_in_transaction(
    context: &Context<'_>,
    call: &Ident,
    tuple: &Ident,
    by_value: Option<Token![move]>,
    handler_call: &TokenStream,
) -> TokenStream {
    let Context { private, options, signature, arguments, .. } = *context;
    let (span, private_here) = located(private, &signature.ident);
    let (future, causes) = (variable("future"), variable("causes"));
    let make_future = quote! {
        #by_value |(#(#arguments,)*)| {
            let #future = #handler_call;
            let #causes = #private::outcome_of(&#future).returned().causes();
            #private::noting(#future, #causes)
        }
    };
    let handling = if options.has("retry") {
        let clone_arguments = clone_arguments(context);
        quote_spanned!(span=> #private_here::repeating(#tuple, #clone_arguments, #make_future))
    } else {
        quote_spanned!(span=> #private_here::handling(#tuple, #make_future))
    };
    let run = if options.handle().is_some() {
        quote_spanned!(span=> PreparedRun::in_transaction)
    } else {
        quote_spanned!(span=> run_in_transaction)
    };
    let options = options.builder(private);
    quote_spanned! {span=>
        use #private::{AnyAttempts as _, AnyCauses as _, AnyRepeat as _};
        #private_here::#run(#call, #options, #handling.attempts())
    }
}

/// The closure that clones the arguments for another run. One that cannot be cloned is reported at its type.
fn clone_arguments(context: &Context<'_>) -> TokenStream {
    let Context { private, types, arguments, .. } = *context;
    let clones = types.iter().zip(arguments).map(|(ty, argument)| {
        let (span, private) = located(private, ty);
        let argument = variable_at(argument, ty);
        quote_spanned!(span=> #private::Repeat(#argument).again())
    });
    quote!(|(#(#arguments,)*): &(#(#types,)*)| (#(#clones,)*))
}
