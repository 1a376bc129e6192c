use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::visit::{self, Visit};
use syn::{FnArg, Lifetime, ReceiverKind, ReturnType, Safety, Signature, TypeImplTrait, TypePtr, TypeReference};

use crate::mistake::{Mistakes, mistake};

/// As many as axum takes.
const MAX_ARGUMENTS: usize = 16;

/// Reports what axum could not call, or the guard could not wrap, at the token that is to blame.
pub(crate) fn check(signature: &Signature, mistakes: &mut Mistakes) {
    // One of these often brings the others along, so the first is enough.
    if let Some(qualifier) = qualifier(signature) {
        mistakes.add(qualifier);
    } else if signature.asyncness.is_none() && matches!(signature.output, ReturnType::Default) {
        let what = "this handler is not `async`, and returns no future either";
        mistakes.add(mistake(signature.fn_token, what, "write `async fn`"));
    }
    if let Some(argument) = signature.inputs.iter().nth(MAX_ARGUMENTS) {
        let what = format!("axum takes at most {MAX_ARGUMENTS} arguments");
        let help = "put several of them into one extractor of your own, with axum's `#[derive(FromRequestParts)]`";
        mistakes.add(mistake(argument, what, help));
    }
    for argument in &signature.inputs {
        let mut borrows = Borrows::default();
        match argument {
            FnArg::Receiver(receiver) => match &receiver.kind {
                ReceiverKind::Reference(ampersand, lifetime, mutability) if !is_static(lifetime.as_ref()) => {
                    let token = &receiver.self_token;
                    borrows.receiver = Some(quote!(#ampersand #lifetime #mutability #token));
                }
                ReceiverKind::Typed(_, ty) => {
                    borrows.visit_type(ty);
                    if borrows.mistake.take().is_some() {
                        borrows.receiver = Some(quote!(#receiver));
                    }
                }
                _ => {}
            },
            FnArg::Typed(argument) => borrows.visit_type(&argument.ty),
        }
        if let Some(receiver) = borrows.receiver {
            let help = "take `State<Self>`, or `self` by value where `Self` is an extractor";
            mistakes.add(mistake(receiver, "axum cannot call a handler that borrows `self`", help));
        }
        if let Some(mistake) = borrows.mistake {
            mistakes.add(mistake);
        }
    }
}

/// A word before `fn` that no handler has.
fn qualifier(signature: &Signature) -> Option<syn::Error> {
    if let Some(variadic) = &signature.variadic {
        let help = "take the parts of the request as extractors, one argument each";
        return Some(mistake(variadic, "a handler cannot be variadic", help));
    }
    if let Some(constness) = &signature.constness {
        return Some(mistake(constness, "a handler cannot be `const`", "remove `const`"));
    }
    if let Some(abi) = &signature.abi {
        return Some(mistake(abi, "a handler cannot be `extern`", "remove the ABI"));
    }
    match &signature.safety {
        Safety::Unsafe(token) => {
            let help = "remove `unsafe`, and put the unsafe part of the body into an `unsafe` block";
            Some(mistake(token, "a handler cannot be `unsafe`, because axum calls it", help))
        }
        Safety::Safe(token) => Some(mistake(token, "`safe` belongs to foreign functions", "remove it")),
        Safety::Default => None,
    }
}

fn is_static(lifetime: Option<&Lifetime>) -> bool {
    lifetime.is_some_and(|lifetime| lifetime.ident == "static")
}

/// Finds the first thing in an argument's type that no extractor can be.
#[derive(Default)]
struct Borrows {
    receiver: Option<TokenStream>,
    mistake: Option<syn::Error>,
}

impl Borrows {
    fn borrowed(&mut self, token: impl ToTokens, help: &str) {
        let what = "a handler owns what it takes from the request";
        self.mistake.get_or_insert_with(|| mistake(token, what, help));
    }
}

impl<'ast> Visit<'ast> for Borrows {
    fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
        let what = "an argument's type is `impl Trait`, which has no name for axum to extract it by";
        let help = "name a type, or make the handler generic: `async fn create<T: Trait>(State(t): State<T>)`";
        self.mistake.get_or_insert_with(|| mistake(ty, what, help));
    }

    fn visit_type_reference(&mut self, ty: &'ast TypeReference) {
        if !is_static(ty.lifetime.as_ref()) {
            let target = &ty.elem;
            let target = quote!(#target).to_string();
            let help = match target.as_str() {
                "str" => "write `String`".to_owned(),
                _ => format!("write `{target}` without `&`, or another owned type"),
            };
            self.borrowed(ty, &help);
        }
        visit::visit_type_reference(self, ty);
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if !is_static(Some(lifetime)) {
            self.borrowed(lifetime, "use a type without this lifetime, or with `'static`");
        }
    }

    // The lifetimes of `fn(&str) -> &str` and `dyn for<'a> Fn(&'a str)` are its own, and a pointer borrows nothing.
    fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {}
    fn visit_type_trait_object(&mut self, _: &'ast syn::TypeTraitObject) {}
    fn visit_type_ptr(&mut self, _: &'ast TypePtr) {}
}
