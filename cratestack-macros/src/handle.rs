//! `handle = EXPR`: how the handle is taken from the arguments that are extracted before the last one, or, where the
//! expression names that one too, from all of them.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::visit::Visit as _;
use syn::{Expr, FnArg, Ident, PathArguments, Type};

use crate::context::{Context, located, span_of};
use crate::evaluation::over_arguments;
use crate::handler::turbofish;
use crate::names::{BoundNames, MentionedNames, UsedNames};
use crate::options::HAS_TRANSACTIONS;
use crate::reservation;

/// The expression, over the arguments that it may name.
pub(crate) struct HandleExpression<'a> {
    context: &'a Context<'a>,
    expression: &'a Expr,
    names_last: bool,
}

impl<'a> HandleExpression<'a> {
    pub(crate) fn of(context: &'a Context<'a>) -> Option<Self> {
        let expression = context.options.handle()?;
        Some(Self { context, expression, names_last: name_of_last(context, expression).is_some() })
    }

    /// Whether it names the handler's last argument.
    pub(crate) fn names_last(&self) -> bool {
        self.names_last
    }

    /// Those that it may name.
    fn leading<T>(&self, of_all: &'a [T]) -> &'a [T] {
        let length = of_all.len();
        &of_all[..if self.names_last { length } else { length.saturating_sub(1) }]
    }

    /// The handle, where `guarded` is the variable that has the extractor.
    pub(crate) fn evaluate(&self, guarded: &Ident) -> TokenStream {
        let leading = self.leading(self.context.arguments);
        if let (Some((name, _)), Some((own, others))) = (self.receiver(), leading.split_first()) {
            let turbofish = turbofish(self.context.signature);
            quote!({
                let (#(#leading,)*) = #guarded.leading();
                Self::#name #turbofish(#own, (#(#others,)*))
            })
        } else {
            let evaluated = self.over_leading();
            quote!({
                #[allow(unused_variables)]
                let (#(#leading,)*) = #guarded.leading();
                #evaluated
            })
        }
    }

    /// Where the handler takes `self`, the expression stands in a method of its own, in which it means the same.
    pub(crate) fn method(&self) -> Option<TokenStream> {
        let (name, receiver) = self.receiver()?;
        let Context { private, signature, .. } = *self.context;
        let (own, types) = self.leading(self.context.types).split_first()?;
        let (_, values) = self.leading(self.context.arguments).split_first()?;
        let (generics, where_clause) = (&signature.generics, &signature.generics.where_clause);
        let evaluated = self.over_leading();
        Some(quote! {
            #[doc(hidden)]
            #[allow(unused_variables, clippy::all, clippy::pedantic, clippy::nursery)]
            fn #name #generics (#receiver: &#own, (#(#values,)*): (#(&#types,)*)) -> #private::FoundHandle #where_clause {
                #evaluated
            }
        })
    }

    /// The method's name and its receiver, where `self` is among the arguments that the expression may name.
    fn receiver(&self) -> Option<(Ident, TokenStream)> {
        let signature = self.context.signature;
        let Some(FnArg::Receiver(receiver)) = signature.inputs.first() else { return None };
        self.leading(self.context.types).first()?;
        Some((format_ident!("__idempotent_handle_of_{}", signature.ident), receiver.self_token.to_token_stream()))
    }

    fn over_leading(&self) -> TokenStream {
        let Self { context, expression, .. } = *self;
        let mentioned = MentionedNames::of_all(std::iter::once(expression));
        let (span, private) = located(context.private, expression);
        let transaction = context.options.has("transaction");
        let txs: Vec<_> = context.types.iter().filter(|ty| transaction && HAS_TRANSACTIONS && is_tx(ty)).collect();
        // Where several are, that is the mistake; where none is, its type has a name of the user's own.
        let found = if let [tx] = txs[..] {
            quote_spanned!(span=> #private::found_handle_for::<#tx, _>(&(#expression)))
        } else if let Some(database) = context.database {
            quote_spanned!(span=> #private::found_handle_for::<#private::Reservation<#database>, _>(&(#expression)))
        } else {
            quote_spanned!(span=> #private::found_handle(&(#expression)))
        };
        over_arguments(context, self.leading(context.arguments), &mentioned, &found)
    }
}

/// Whether the argument asks for a handle of its own database, by its name.
pub(crate) fn asks_for_handle(context: &Context<'_>, ty: &Type) -> bool {
    is_tx(ty) || reservation::database(context.signature, std::slice::from_ref(ty)).is_some()
}

/// Whether it is a `Tx` by its name.
fn is_tx(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|segment| {
            segment.ident == "Tx" && matches!(segment.arguments, PathArguments::AngleBracketed(_))
        }),
        // From a `macro_rules!`.
        Type::Group(group) => is_tx(&group.elem),
        _ => false,
    }
}

/// The first token by which the expression names the handler's last argument.
fn name_of_last(context: &Context<'_>, expression: &Expr) -> Option<Ident> {
    let used = UsedNames::of(expression).0;
    match context.signature.inputs.last()? {
        FnArg::Receiver(_) => used.into_iter().find(|name| name == "self"),
        FnArg::Typed(last) => {
            let mut bound = BoundNames::default();
            bound.visit_pat(&last.pat);
            used.into_iter().find(|name| bound.0.contains(name))
        }
    }
}

/// Asks of the last argument, where the expression names it, that it leaves the request's body alone.
pub(crate) fn known_before_the_body(context: &Context<'_>) -> Option<TokenStream> {
    let Context { private, options, types, .. } = *context;
    let (name, last) = (name_of_last(context, options.handle()?)?, types.last()?);
    let span = span_of(&name);
    let (_, private) = located(private, &name);
    Some(if let Some(state) = options.value("state") {
        quote_spanned!(span=> let _ = #private::known_before_the_body::<#last, #state>;)
    } else {
        quote_spanned!(span=> let _ = #private::Argument::<#last>::before_the_body;)
    })
}
