use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{Expr, FnArg, Ident, Pat, PatIdent};

use crate::context::{Context, located, span_of};
use crate::handler::turbofish;
use crate::names::MentionedNames;

/// How the expressions are evaluated over the extracted arguments, by reference.
#[derive(Default)]
pub(crate) struct Evaluation {
    /// Where the handler takes `self`, the expressions stand in a method of their own, in which it means the same.
    pub(crate) method: TokenStream,
    pub(crate) statements: TokenStream,
}

/// `call` is the variable that has the runtime's `Call`, and `tuple` the one that has the arguments.
pub(crate) fn evaluate(context: &Context<'_>, call: &Ident, tuple: &Ident) -> Evaluation {
    let Context { private, options, signature, types, arguments, .. } = *context;
    let calls = options.parts().map(|(name, expression)| {
        let span = span_of(expression);
        let method = Ident::new(name, span);
        let part = by_reference(private, expression);
        quote_spanned!(span=> #call.#method(&#part);)
    });
    let calls: Vec<_> = calls.collect();
    if calls.is_empty() {
        return Evaluation::default();
    }
    let mentioned = MentionedNames::of_all(options.parts().map(|(_, expression)| expression));
    let evaluate = over_arguments(context, arguments, &mentioned, &quote!(#(#calls)*));
    let (method, evaluate) = match (signature.inputs.first(), types.split_first(), arguments.split_first()) {
        (Some(FnArg::Receiver(receiver)), Some((own, types)), Some((value, values))) => {
            let name = format_ident!("__idempotent_expressions_of_{}", signature.ident);
            let (receiver, generics, turbofish) = (&receiver.self_token, &signature.generics, turbofish(signature));
            let where_clause = &generics.where_clause;
            let method = quote! {
                #[doc(hidden)]
                #[allow(unused_variables, clippy::all, clippy::pedantic, clippy::nursery)]
                fn #name #generics (
                    #receiver: &#own, #call: &mut #private::Call, (#(#values,)*): (#(&#types,)*)
                ) #where_clause {
                    #evaluate
                }
            };
            (method, quote!(Self::#name #turbofish(#value, &mut #call, (#(#values,)*));))
        }
        _ => (TokenStream::new(), evaluate),
    };
    // That there is no key is known only now, after an `Option<Reservation>` was extracted as if there were one.
    let unreserved = options.may_lack_key().then(|| {
        quote! {
            if #call.lacks_key() {
                use #private::AnyKeyless as _;
                let (#(#arguments,)*) = &mut #tuple;
                #(#private::Keyless(#arguments).unreserved();)*
            }
        }
    });
    let statements = quote! {
        if #call.is_guarded() {
            #[allow(unused_variables)]
            let (#(#arguments,)*) = &#tuple;
            #evaluate
        }
        #unreserved
    };
    Evaluation { method, statements }
}

/// The code `evaluated`, with the names that it mentions for what those of the arguments refer to that are there.
pub(crate) fn over_arguments(
    context: &Context<'_>,
    arguments: &[Ident],
    mentioned: &MentionedNames,
    evaluated: &TokenStream,
) -> TokenStream {
    let bindings = context.signature.inputs.iter().zip(arguments).filter_map(|(argument, value)| match argument {
        FnArg::Typed(argument) if mentioned.need(&argument.pat) => Some(borrow(&argument.pat, value)),
        _ => None,
    });
    quote! {
        #(
            #[allow(
                unused_variables,
                clippy::needless_borrowed_reference,
                clippy::no_effect_underscore_binding,
                clippy::pattern_type_mismatch
            )]
            let #bindings;
        )*
        // The user need not know that the arguments are references here, nor that they have names at all.
        #[allow(
            clippy::needless_borrow,
            clippy::needless_borrows_for_generic_args,
            clippy::op_ref,
            clippy::used_underscore_binding
        )]
        { #evaluated }
    }
}

/// Each element of a tuple by reference, so that a field need not be `Copy` to be part of one, and each on its own, so
/// that one that cannot be a part is blamed alone.
pub(crate) fn by_reference(private: &TokenStream, expression: &Expr) -> TokenStream {
    match expression {
        Expr::Tuple(tuple) => {
            let span = span_of(expression);
            let elements = tuple.elems.iter().map(|element| by_reference(private, element));
            quote_spanned!(span=> (#(#elements,)*))
        }
        Expr::Paren(inner) => by_reference(private, &inner.expr),
        Expr::Group(inner) => by_reference(private, &inner.expr),
        other => {
            let (span, private) = located(private, other);
            quote_spanned!(span=> #private::part(&&(#other)))
        }
    }
}

/// The handler's own pattern, as a `let` that borrows from what `value` refers to.
fn borrow(pattern: &Pat, value: &Ident) -> TokenStream {
    let mut borrows = ExplicitBorrows(false);
    borrows.visit_pat(pattern);
    let by_ref = borrows.0;
    let mut pattern = pattern.clone();
    BindingModes { by_ref }.visit_pat_mut(&mut pattern);
    if by_ref { quote!(#pattern = *#value) } else { quote!(#pattern = #value) }
}

/// Whether the pattern has a `ref` or a `&`, which cannot stand where the arguments are borrowed implicitly.
struct ExplicitBorrows(bool);

impl<'ast> Visit<'ast> for ExplicitBorrows {
    fn visit_pat(&mut self, pattern: &'ast Pat) {
        self.0 |= match pattern {
            Pat::Reference(_) => true,
            Pat::Ident(pattern) => pattern.by_ref.is_some(),
            _ => false,
        };
        visit::visit_pat(self, pattern);
    }
}

/// Takes `mut` from the bindings, because the expressions only read. Gives them `ref` where the pattern borrows
/// explicitly, so that nothing is moved and nothing is borrowed implicitly beside it.
struct BindingModes {
    by_ref: bool,
}

impl VisitMut for BindingModes {
    fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
        pattern.mutability = None;
        // A constant looks like a binding, and is none.
        if self.by_ref && !pattern.ident.to_string().starts_with(char::is_uppercase) {
            pattern.by_ref.get_or_insert_with(Default::default);
        }
        visit_mut::visit_pat_ident_mut(self, pattern);
    }
}
