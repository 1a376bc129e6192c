use quote::{ToTokens, quote};
use syn::visit::{self, Visit};
use syn::{
    FnArg, Lifetime, Receiver, ReceiverKind, ReturnType, Safety, Signature, Type, TypeFnPtr, TypeImplTrait, TypePtr,
    TypeReference, TypeTraitObject,
};

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
        let borrowed = match argument {
            FnArg::Typed(argument) => borrowed_type(&argument.ty),
            FnArg::Receiver(receiver) => borrowed_receiver(receiver),
        };
        if let Some(borrowed) = borrowed {
            mistakes.add(borrowed);
        }
    }
}

fn borrowed_receiver(receiver: &Receiver) -> Option<syn::Error> {
    let tokens = match &receiver.kind {
        ReceiverKind::Reference(ampersand, lifetime, mutability) if !is_static(lifetime.as_ref()) => {
            let token = &receiver.self_token;
            quote!(#ampersand #lifetime #mutability #token)
        }
        ReceiverKind::Typed(_, ty) if borrowed_type(ty).is_some() => quote!(#receiver),
        _ => return None,
    };
    let help = "take `State<Self>`, or `self` by value where `Self` is an extractor";
    Some(mistake(tokens, "axum cannot call a handler that borrows `self`", help))
}

/// The first thing in an argument's type that no extractor can be.
fn borrowed_type(ty: &Type) -> Option<syn::Error> {
    let mut borrows = Borrows(None);
    borrows.visit_type(ty);
    borrows.0
}

/// A word before `fn` that no handler has.
fn qualifier(signature: &Signature) -> Option<syn::Error> {
    let (token, what, help): (&dyn ToTokens, _, _) = match signature {
        Signature { variadic: Some(token), .. } => {
            (token, "a handler cannot be variadic", "take the parts of the request as extractors, one argument each")
        }
        Signature { constness: Some(token), .. } => (token, "a handler cannot be `const`", "remove `const`"),
        Signature { abi: Some(token), .. } => (token, "a handler cannot be `extern`", "remove the ABI"),
        Signature { safety: Safety::Unsafe(token), .. } => {
            let help = "remove `unsafe`, and put the unsafe part of the body into an `unsafe` block";
            (token, "a handler cannot be `unsafe`, because axum calls it", help)
        }
        Signature { safety: Safety::Safe(token), .. } => (token, "`safe` belongs to foreign functions", "remove it"),
        _ => return None,
    };
    Some(mistake(token, what, help))
}

fn is_static(lifetime: Option<&Lifetime>) -> bool {
    lifetime.is_some_and(|lifetime| lifetime.ident == "static")
}

struct Borrows(Option<syn::Error>);

impl Borrows {
    fn borrowed(&mut self, token: impl ToTokens, help: &str) {
        let what = "a handler owns what it takes from the request";
        self.0.get_or_insert_with(|| mistake(token, what, help));
    }
}

impl<'ast> Visit<'ast> for Borrows {
    fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
        let what = "an argument's type is `impl Trait`, which has no name for axum to extract it by";
        let help = "name a type, or make the handler generic: `async fn create<T: Trait>(State(t): State<T>)`";
        self.0.get_or_insert_with(|| mistake(ty, what, help));
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
    fn visit_type_fn_ptr(&mut self, _: &'ast TypeFnPtr) {}
    fn visit_type_trait_object(&mut self, _: &'ast TypeTraitObject) {}
    fn visit_type_ptr(&mut self, _: &'ast TypePtr) {}
}
