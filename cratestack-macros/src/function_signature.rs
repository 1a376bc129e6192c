//! What a function that is no handler looks like, and what may not stand in it.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{
    AngleBracketedGenericArguments, AssocType, Expr, FnArg, GenericArgument, Ident, Lifetime, PatType, Path,
    PathArguments, Receiver, ReceiverKind, ReturnType, Safety, Signature, Type, TypeFnPtr, TypeImplTrait,
    TypeParamBound, TypeReference,
};

use crate::context::mentions;
use crate::mistake::{Mistakes, mistake};
use crate::names::BoundNames;
use crate::options::Options;
use crate::type_checks::result_sides;

/// An argument that the guard supplies: its caller does not pass it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Supplied {
    Tx,
    Reservation,
}

impl Supplied {
    /// By the last segment of the type's path, because a macro sees no more; the type decides.
    pub(crate) fn of(ty: &Type) -> Option<Self> {
        match ty {
            Type::Path(path) => match path.path.segments.last()?.ident.to_string().as_str() {
                "Tx" => Some(Self::Tx),
                "Reservation" => Some(Self::Reservation),
                _ => None,
            },
            // From a `macro_rules!`.
            Type::Group(group) => Self::of(&group.elem),
            _ => None,
        }
    }
}

/// The arguments that the guard supplies.
pub(crate) fn supplied(signature: &Signature) -> impl Iterator<Item = (Supplied, &PatType)> {
    signature.inputs.iter().filter_map(|argument| match argument {
        FnArg::Typed(argument) => Some((Supplied::of(&argument.ty)?, argument)),
        FnArg::Receiver(_) => None,
    })
}

/// The type that a call comes to, and how the function gives it.
pub(crate) enum Returned<'a> {
    /// `async fn`
    ByAsync(&'a Type),
    /// `-> Pin<Box<dyn Future<Output = …>>>`, as `async_trait` writes it; the second is the whole type.
    Boxed(&'a Type, &'a Type),
    /// `-> impl Future<Output = …>`
    Opaque(&'a Type),
}

impl<'a> Returned<'a> {
    pub(crate) fn output(&self) -> &'a Type {
        match self {
            Self::ByAsync(output) | Self::Boxed(output, _) | Self::Opaque(output) => output,
        }
    }
}

/// `None` where nothing is returned, or no future.
pub(crate) fn returned(signature: &Signature) -> Option<Returned<'_>> {
    let ReturnType::Type(_, ty) = &signature.output else { return None };
    if signature.asyncness.is_some() {
        return Some(Returned::ByAsync(ty));
    }
    match ungrouped(ty) {
        Type::ImplTrait(opaque) => opaque.bounds.iter().find_map(future_output).map(Returned::Opaque),
        whole @ Type::Path(pin) => {
            let pointer = last_argument(&pin.path, "Pin")?;
            let Type::Path(pointer) = ungrouped(pointer) else { return None };
            let Type::TraitObject(object) = ungrouped(last_argument(&pointer.path, "Box")?) else { return None };
            object.bounds.iter().find_map(future_output).map(|output| Returned::Boxed(output, whole))
        }
        _ => None,
    }
}

fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(inner) => ungrouped(&inner.elem),
        other => other,
    }
}

fn arguments<'a>(path: &'a Path, name: &str) -> Option<&'a AngleBracketedGenericArguments> {
    let last = path.segments.last().filter(|segment| segment.ident == name)?;
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => Some(arguments),
        _ => None,
    }
}

fn last_argument<'a>(path: &'a Path, name: &str) -> Option<&'a Type> {
    match arguments(path, name)?.args.last()? {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    }
}

fn future_output(bound: &TypeParamBound) -> Option<&Type> {
    let TypeParamBound::Trait(bound) = bound else { return None };
    arguments(&bound.path, "Future")?.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(AssocType { ident, ty, .. }) if ident == "Output" => Some(ty),
        _ => None,
    })
}

/// Whether the function borrows anything, so that its body cannot outlive the call.
pub(crate) fn borrows(signature: &Signature) -> bool {
    let mut lifetimes = Lifetimes(false);
    lifetimes.visit_signature(signature);
    lifetimes.0
}

struct Lifetimes(bool);

impl<'ast> Visit<'ast> for Lifetimes {
    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        self.0 |= lifetime.ident != "static";
    }

    fn visit_type_reference(&mut self, ty: &'ast TypeReference) {
        self.0 |= ty.lifetime.is_none();
        visit::visit_type_reference(self, ty);
    }

    fn visit_receiver(&mut self, receiver: &'ast Receiver) {
        self.0 |= matches!(receiver.kind, ReceiverKind::Reference(_, None, _));
        visit::visit_receiver(self, receiver);
    }

    // Those of `fn(&str) -> &str` are its own.
    fn visit_type_fn_ptr(&mut self, _: &'ast TypeFnPtr) {}
}

/// Reports what keeps the function from being guarded, at the token that is to blame.
pub(crate) fn check(options: &Options, signature: &Signature, mistakes: &mut Mistakes) {
    missing_options(options, mistakes);
    if let Some(qualifier) = qualifier(signature) {
        mistakes.add(qualifier);
    } else {
        check_returned(signature, mistakes);
    }
    check_supplied(options, signature, mistakes);
    check_retry(options, signature, mistakes);
}

fn missing_options(options: &Options, mistakes: &mut Mistakes) {
    let Some(name) = options.name("name") else { return };
    // Where one was given that is none, that has been told.
    if !options.was_given("key") {
        let what = "a function with `name` needs a `key`, because there is no request whose header could have one";
        let help = "write `key = order.id`, or another expression over the arguments, that a repeated call has in common \
                    with the first";
        mistakes.add(mistake(name, what, help));
    }
    if !options.was_given("handle") {
        let what = "a function with `name` needs a `handle`, because there is no router whose state could provide one";
        let help = "write `handle = self.idempotency`, or another expression that comes to an `Idempotency`";
        mistakes.add(mistake(name, what, help));
    }
}

/// A word before `fn` that no such function has.
fn qualifier(signature: &Signature) -> Option<syn::Error> {
    let (token, what, help): (&dyn ToTokens, _, _) = match signature {
        Signature { variadic: Some(token), .. } => (token, "variadic", "take a slice"),
        Signature { constness: Some(token), .. } => (token, "`const`", "remove `const`"),
        Signature { abi: Some(token), .. } => (token, "`extern`", "remove the ABI"),
        Signature { safety: Safety::Unsafe(token), .. } => {
            (token, "`unsafe`", "remove `unsafe`, and put the unsafe part of the body into an `unsafe` block")
        }
        Signature { safety: Safety::Safe(token), .. } => (token, "`safe`", "remove it"),
        _ => return None,
    };
    Some(mistake(token, format!("an idempotent function cannot be {what}"), help))
}

fn check_returned(signature: &Signature, mistakes: &mut Mistakes) {
    const RESULT: &str = "return a `Result` whose error has a `From<cratestack_runtime::GuardError>`, such as \
                          `Result<(), GuardError>`: that is how the guard says that a call is in flight";
    let output = match (&signature.output, returned(signature)) {
        (ReturnType::Type(_, ty), _) if signature.asyncness.is_some() && matches!(**ty, Type::Never(_)) => {
            mistakes.add(mistake(ty, "this function never returns, so there is nothing to record", RESULT));
            return;
        }
        (_, Some(returned)) => returned.output(),
        (ReturnType::Default, None) if signature.asyncness.is_some() => {
            mistakes.add(mistake(
                &signature.ident,
                "an idempotent function returns a `Result`, and this one nothing",
                RESULT,
            ));
            return;
        }
        _ => {
            let help =
                "write `async fn`; a `fn` may return `impl Future<Output = …>`, or `Pin<Box<dyn Future<Output = …>>>`";
            mistakes.add(mistake(signature.fn_token, "this function is not `async`", help));
            return;
        }
    };
    let mut lifetimes = Lifetimes(false);
    if let Some((value, _)) = result_sides(output) {
        lifetimes.visit_type(value);
        if lifetimes.0 {
            let what = "what is recorded is read back later, and cannot borrow";
            mistakes.add(mistake(value, what, "return an owned type, such as `String` for `&str`"));
        }
    }
    let mut opaque = Opaque(None);
    opaque.visit_type(output);
    if let Some(opaque) = opaque.0 {
        let what = "what is recorded is read back as a type, and `impl Trait` names none";
        mistakes.add(mistake(opaque, what, "name the type"));
    }
}

struct Opaque<'ast>(Option<&'ast TypeImplTrait>);

impl<'ast> Visit<'ast> for Opaque<'ast> {
    fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
        self.0.get_or_insert(ty);
    }
}

/// What the guard supplies is had by a function that says so, once each, and only after the expressions.
fn check_supplied(options: &Options, signature: &Signature, mistakes: &mut Mistakes) {
    let transaction = options.name("transaction");
    let mut transactions = supplied(signature).filter(|(supplied, _)| *supplied == Supplied::Tx);
    match (transaction, transactions.next()) {
        (Some(transaction), None) => {
            let what = "`transaction` needs a `Tx` to write with among the function's arguments";
            let help = "take `mut tx: Tx<Postgres>` (or `Tx<Sqlite>`), which callers do not pass, and execute the function's \
                        statements on `&mut *tx`";
            mistakes.add(mistake(transaction, what, help));
        }
        (None, Some((_, tx))) => {
            let what = "a `Tx` is an argument of functions that run in a transaction";
            let help = "write `transaction` in the attribute, or take a connection of the pool";
            mistakes.add(mistake(&tx.ty, what, help));
        }
        _ => {}
    }
    if let (Some(_), Some((_, second))) = (transaction, transactions.next()) {
        let what = "a function runs in one transaction, and takes one `Tx`";
        let help = "remove this one, and execute all statements on the first";
        mistakes.add(mistake(&second.ty, what, help));
    }
    for (supplied, argument) in supplied(signature) {
        let is_in_transaction = mentions(argument.ty.to_token_stream(), "InTransaction");
        match (supplied, transaction) {
            (Supplied::Reservation, Some(_)) if !is_in_transaction => {
                let what = "a function with `transaction` has no steps: its whole run is one commit";
                let help = "take `Reservation<cratestack_runtime::InTransaction>`, which tells key, token and attempt";
                mistakes.add(mistake(&argument.ty, what, help));
            }
            (Supplied::Reservation, None) if is_in_transaction => {
                let what = "this is the reservation of functions that run in a transaction";
                mistakes.add(mistake(
                    &argument.ty,
                    what,
                    "take `Reservation`, or write `transaction` in the attribute",
                ));
            }
            _ => {}
        }
        let mut bound = BoundNames::default();
        bound.visit_pat(&argument.pat);
        for (option, expression) in options.expressions() {
            if let Some(name) = named_among(expression, &bound) {
                let what = format!("`{name}` is there once the key is had, and `{option}` is needed for that");
                mistakes.add(mistake(name, what, "name the arguments that callers pass"));
            }
        }
    }
}

fn named_among(expression: &Expr, bound: &BoundNames) -> Option<Ident> {
    fn find(tokens: TokenStream, bound: &BoundNames) -> Option<Ident> {
        tokens.into_iter().find_map(|token| match token {
            TokenTree::Ident(ident) if bound.0.contains(&ident) => Some(ident),
            TokenTree::Group(group) => find(group.stream(), bound),
            _ => None,
        })
    }
    // A field or a method may have the name as well.
    match expression {
        Expr::Path(path) => path.path.get_ident().filter(|name| bound.0.contains(name)).cloned(),
        Expr::Field(field) => named_among(&field.base, bound),
        Expr::MethodCall(call) => named_among(&call.receiver, bound),
        Expr::Reference(inner) => named_among(&inner.expr, bound),
        Expr::Paren(inner) => named_among(&inner.expr, bound),
        Expr::Tuple(tuple) => tuple.elems.iter().find_map(|element| named_among(element, bound)),
        Expr::Macro(inner) => find(inner.mac.tokens.clone(), bound),
        _ => None,
    }
}

/// What is given to each run is given more than once.
fn check_retry(options: &Options, signature: &Signature, mistakes: &mut Mistakes) {
    let Some(FnArg::Receiver(receiver)) = signature.inputs.first().filter(|_| options.has("retry")) else { return };
    let is_shared = match &receiver.kind {
        ReceiverKind::Reference(_, _, mutability) => mutability.is_none(),
        ReceiverKind::Typed(_, ty) => matches!(&**ty, Type::Reference(ty) if ty.mutability.is_none()),
        _ => false,
    };
    if !is_shared {
        let what = "`retry` runs the function again, and this `self` cannot be given twice";
        mistakes.add(mistake(receiver, what, "take `&self`, or remove `retry`"));
    }
}
