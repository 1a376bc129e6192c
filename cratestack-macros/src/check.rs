use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{FnArg, GenericParam, Lifetime, Path, ReceiverKind, ReturnType, Safety, TypeImplTrait, TypeReference};

use crate::handler::Handler;

/// What axum could not call, or the guard could not wrap, said at the token that is to blame. All mistakes at once.
pub(crate) fn handler(handler: &Handler) -> Result<(), syn::Error> {
    let signature = &handler.signature;
    let mut mistakes: Vec<syn::Error> = Vec::new();
    let mut refuse = |span, mistake: &str| mistakes.push(syn::Error::new(span, mistake));

    if let Some(constness) = &signature.constness {
        refuse(constness.span, "a handler cannot be `const`; remove it");
    }
    match &signature.safety {
        Safety::Unsafe(token) => {
            refuse(
                token.span,
                "a handler cannot be `unsafe`, because axum calls it; put the unsafe part inside its body",
            );
        }
        Safety::Safe(token) => refuse(token.span, "`safe` belongs to foreign functions; remove it"),
        Safety::Default => {}
    }
    if let Some(abi) = &signature.abi {
        refuse(abi.extern_token.span, "a handler cannot be `extern`; remove the ABI");
    }
    if let Some(variadic) = &signature.variadic {
        refuse(variadic.span(), "a handler cannot be variadic; take the parts of the request as extractors");
    }
    if signature.asyncness.is_none() && matches!(signature.output, ReturnType::Default) {
        refuse(signature.fn_token.span, "an idempotent handler is `async` or returns a future; write `async fn`");
    }
    for parameter in &signature.generics.params {
        if let GenericParam::Lifetime(lifetime) = parameter {
            refuse(lifetime.lifetime.span(), BORROWED);
        }
    }
    for argument in &signature.inputs {
        match argument {
            FnArg::Receiver(receiver) => {
                if let ReceiverKind::Reference(ampersand, ..) = &receiver.kind {
                    refuse(
                        ampersand.spans[0].join(receiver.self_token.span).unwrap_or(receiver.self_token.span),
                        "axum cannot call a handler that borrows `self`; take `State<Self>` (or `self` by value, where \
                         `Self` is an extractor)",
                    );
                }
            }
            FnArg::Typed(argument) => {
                // With lifetimes declared, their uses are not told once more.
                if signature.generics.lifetimes().next().is_none() {
                    let mut borrows = Borrows::default();
                    borrows.visit_type(&argument.ty);
                    if let Some((span, mistake)) = borrows.mistake {
                        refuse(span, mistake);
                    }
                }
            }
        }
    }
    if let Some(argument) = signature.inputs.iter().nth(MOST_ARGUMENTS) {
        refuse(argument.span(), "axum takes at most 16 arguments; put some of them into one extractor of your own");
    }
    for attribute in &handler.attributes {
        let path = attribute.path();
        if path.is_ident("idempotent") {
            refuse(path.span(), "`#[idempotent]` is there twice; remove one, and give the other all the options");
        } else if path.segments.last().is_some_and(|name| name.ident == "test") {
            refuse(
                path.span(),
                "a test is no handler; put `#[idempotent]` on the handler, and call its route in the test",
            );
        } else if is_entry_point(path) {
            refuse(path.span(), "the program's entry point is no handler; put `#[idempotent]` on the handler");
        }
    }
    let mut mistakes = mistakes.into_iter();
    let Some(mut all) = mistakes.next() else { return Ok(()) };
    all.extend(mistakes);
    Err(all)
}

/// The longest tuple of extractors that axum knows.
const MOST_ARGUMENTS: usize = 16;

/// `#[tokio::main]` and its like.
fn is_entry_point(path: &Path) -> bool {
    path.segments.len() == 2 && path.segments.last().is_some_and(|name| name.ident == "main")
}

const BORROWED: &str = "a handler owns what it takes from the request; use an owned type, such as `String` for `&str`";

/// Finds the first thing in an argument's type that no extractor can be.
#[derive(Default)]
struct Borrows {
    mistake: Option<(Span, &'static str)>,
}

impl<'ast> Visit<'ast> for Borrows {
    fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
        let mistake = "`impl Trait` cannot be an argument here, because its type has no name; make the handler generic \
                       over a named type, such as `async fn create<T: Trait>(State(t): State<T>)`";
        self.mistake.get_or_insert((ty.impl_token.span, mistake));
    }

    fn visit_type_reference(&mut self, ty: &'ast TypeReference) {
        if ty.lifetime.as_ref().is_none_or(|lifetime| lifetime.ident != "static") {
            self.mistake.get_or_insert((ty.span(), BORROWED));
        }
        visit::visit_type_reference(self, ty);
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            self.mistake.get_or_insert((lifetime.span(), BORROWED));
        }
    }

    // The lifetimes of `fn(&str) -> &str` and `dyn for<'a> Fn(&'a str)` are its own.
    fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {}
    fn visit_type_trait_object(&mut self, _: &'ast syn::TypeTraitObject) {}
}
