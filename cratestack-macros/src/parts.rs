//! The attribute's expressions: `key`, `principal`, `fingerprint`.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{
    BinOp, Expr, ExprField, ExprIndex, ExprLit, ExprParen, ExprPath, ExprUnary, FnArg, Ident, Lit, LitStr, Pat,
    PatIdent, Signature, Type, UnOp,
};

use crate::mistake::{Mistakes, mistake};
use crate::options::Options;
use crate::probe;

/// How the expressions are evaluated over the extracted arguments, by reference.
#[derive(Default)]
pub(crate) struct Evaluation {
    /// Where the handler takes `self`, the expressions stand in a method of their own, in which it means the same.
    pub(crate) method: TokenStream,
    pub(crate) statements: TokenStream,
}

pub(crate) fn evaluate(
    private: &TokenStream,
    options: &Options,
    handler: &Called<'_>,
    call: &Ident,
    tuple: &Ident,
) -> Evaluation {
    let Called { signature, turbofish, types, arguments } = *handler;
    let parts = [("key", &options.key), ("principal", &options.principal), ("fingerprint", &options.fingerprint)];
    let parts = parts.into_iter().filter_map(|(method, expression)| {
        let expression = expression.as_ref()?;
        let spot = probe::spot(expression);
        let method = Ident::new(method, spot);
        let part = by_reference(private, expression);
        Some(quote_spanned!(spot=> #call.#method(&#part);))
    });
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() {
        return Evaluation::default();
    }
    let looks = signature.inputs.iter().zip(arguments).filter_map(|(argument, value)| match argument {
        FnArg::Receiver(_) => None,
        FnArg::Typed(argument) => Some(look(&argument.pat, value)),
    });
    let evaluate = quote! {
        #(#[allow(unused_variables, clippy::needless_borrowed_reference, clippy::pattern_type_mismatch)] let #looks;)*
        // The user need not know that the arguments are references here.
        #[allow(clippy::needless_borrow, clippy::needless_borrows_for_generic_args, clippy::op_ref)]
        { #(#parts)* }
    };
    let (method, evaluate) = match (signature.inputs.first(), types.split_first(), arguments.split_first()) {
        (Some(FnArg::Receiver(receiver)), Some((own, types)), Some((value, values))) => {
            let name = format_ident!("__idempotent_parts_of_{}", signature.ident);
            let (receiver, generics, condition) =
                (&receiver.self_token, &signature.generics, &signature.generics.where_clause);
            let method = quote! {
                #[doc(hidden)]
                #[allow(unused_variables, clippy::all, clippy::pedantic, clippy::nursery)]
                fn #name #generics (
                    #receiver: &#own, #call: &mut #private::Call, (#(#values,)*): (#(&#types,)*)
                ) #condition {
                    #evaluate
                }
            };
            (method, quote!(Self::#name #turbofish(#value, &mut #call, (#(#values,)*));))
        }
        _ => (TokenStream::new(), evaluate),
    };
    // Whether there is a key is known after the arguments are had.
    let strip = options.may_lack_key().then(|| {
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
        #strip
    };
    Evaluation { method, statements }
}

/// The handler, as the code around it names and calls it.
#[derive(Clone, Copy)]
pub(crate) struct Called<'a> {
    pub(crate) signature: &'a Signature,
    pub(crate) turbofish: &'a TokenStream,
    pub(crate) types: &'a [Type],
    pub(crate) arguments: &'a [Ident],
}

/// Each element of a tuple by reference, so that a field need not be `Copy` to be part of one, and each on its own, so
/// that one that cannot be a part is blamed alone.
fn by_reference(private: &TokenStream, expression: &Expr) -> TokenStream {
    let spot = probe::spot(expression);
    match expression {
        Expr::Tuple(tuple) => {
            let elements = tuple.elems.iter().map(|element| by_reference(private, element));
            quote_spanned!(spot=> (#(#elements,)*))
        }
        Expr::Paren(inner) => by_reference(private, &inner.expr),
        Expr::Group(inner) => by_reference(private, &inner.expr),
        other => {
            let private = probe::at(other, private);
            quote_spanned!(spot=> #private::part(&&(#other)))
        }
    }
}

/// The pattern, for a look at what `value` refers to.
fn look(pattern: &Pat, value: &Ident) -> TokenStream {
    let mut modes = Modes::default();
    modes.visit_pat(pattern);
    let mut pattern = pattern.clone();
    if modes.explicit {
        // Every binding says `ref`, so that nothing is moved and nothing is borrowed implicitly beside it.
        Refer.visit_pat_mut(&mut pattern);
        return quote!(#pattern = *#value);
    }
    Immutable.visit_pat_mut(&mut pattern);
    quote!(#pattern = #value)
}

/// Whether the pattern has a `ref` or a `&`, which cannot stand where the arguments are borrowed implicitly.
#[derive(Default)]
struct Modes {
    explicit: bool,
}

impl<'ast> Visit<'ast> for Modes {
    fn visit_pat(&mut self, pattern: &'ast Pat) {
        self.explicit |= match pattern {
            Pat::Reference(_) => true,
            Pat::Ident(pattern) => pattern.by_ref.is_some(),
            _ => false,
        };
        visit::visit_pat(self, pattern);
    }
}

/// Takes `mut` from the bindings: the expressions only look.
struct Immutable;

impl VisitMut for Immutable {
    fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
        pattern.mutability = None;
        visit_mut::visit_pat_ident_mut(self, pattern);
    }
}

struct Refer;

impl VisitMut for Refer {
    fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
        pattern.mutability = None;
        // A constant looks like a binding, and is none.
        if !pattern.ident.to_string().starts_with(char::is_uppercase) {
            pattern.by_ref.get_or_insert_with(Default::default);
        }
        visit_mut::visit_pat_ident_mut(self, pattern);
    }
}

/// What leaves the expression instead of giving a value, or changes an argument, said at the token that does.
pub(crate) fn check(options: &Options, signature: &Signature, mistakes: &mut Mistakes) {
    let mut arguments = Bindings::default();
    for argument in &signature.inputs {
        if let FnArg::Typed(argument) = argument {
            arguments.visit_pat(&argument.pat);
        }
    }
    if let Some(Expr::Lit(ExprLit { lit: Lit::Str(literal), .. })) = &options.principal {
        quoted(literal, &arguments, mistakes);
    }
    for expression in [&options.key, &options.principal, &options.fingerprint].into_iter().flatten() {
        let mut own = Bindings::default();
        own.visit_expr(expression);
        // A name that the expression binds itself may be changed.
        let arguments: Vec<_> = arguments.0.iter().filter(|argument| !own.0.contains(argument)).collect();
        Looks { arguments, loops: 0, mistakes }.visit_expr(expression);
    }
}

/// A caller may be a string, but hardly one that reads like an expression over the arguments.
fn quoted(literal: &LitStr, arguments: &Bindings, mistakes: &mut Mistakes) {
    let Ok(expression) = literal.parse::<Expr>() else { return };
    let mut names = Names::default();
    names.visit_expr(&expression);
    if names.0.iter().any(|name| name == "self" || arguments.0.contains(name)) {
        let what = "`principal` is an expression, and a string is the same for every request";
        mistakes.add(mistake(literal, what, format!("write it without quotes: `principal = {}`", literal.value())));
    }
}

/// Every name that could be an argument's.
#[derive(Default)]
struct Names(Vec<Ident>);

impl<'ast> Visit<'ast> for Names {
    fn visit_expr_path(&mut self, path: &'ast ExprPath) {
        self.0.extend(path.path.get_ident().cloned());
    }
}

/// Every name that a pattern binds.
#[derive(Default)]
struct Bindings(Vec<Ident>);

impl<'ast> Visit<'ast> for Bindings {
    fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
        self.0.push(pattern.ident.clone());
        visit::visit_pat_ident(self, pattern);
    }
}

/// Checks that the expression only looks at the handler's arguments.
struct Looks<'a> {
    arguments: Vec<&'a Ident>,
    loops: usize,
    mistakes: &'a mut Mistakes,
}

impl Looks<'_> {
    fn leaves(&mut self, token: impl ToTokens, what: &str) {
        let what = format!("{what} cannot stand here: the expression gives a value at once, before the handler runs");
        let help = "extract what it needs with an extractor of your own, and name that argument here";
        self.mistakes.add(mistake(token, what, help));
    }

    /// Arguments are there by reference, so neither they nor what is in them can be assigned to.
    fn changes(&mut self, place: &Expr) {
        let mut root = place;
        loop {
            root = match root {
                Expr::Field(ExprField { base, .. }) => base,
                Expr::Index(ExprIndex { expr, .. }) | Expr::Paren(ExprParen { expr, .. }) => expr,
                // The reference itself. What else is behind a `*`, a type could tell.
                Expr::Unary(ExprUnary { op: UnOp::Deref(_), expr, .. }) if self.is_argument(expr) => expr,
                _ => break,
            }
        }
        if self.is_argument(root) {
            let what = "the expression cannot change an argument, because the handler gets it afterwards";
            self.mistakes.add(mistake(place, what, "compute a new value, and leave the argument as it is"));
        }
    }

    fn is_argument(&self, expression: &Expr) -> bool {
        let Expr::Path(path) = expression else { return false };
        path.path.is_ident("self") || self.arguments.iter().any(|argument| path.path.is_ident(*argument))
    }
}

impl<'ast> Visit<'ast> for Looks<'_> {
    fn visit_expr(&mut self, expression: &'ast Expr) {
        match expression {
            Expr::Await(inner) => self.leaves(inner.await_token, "`.await`"),
            Expr::Try(inner) => self.leaves(inner.question_token, "`?`"),
            Expr::Return(inner) => self.leaves(inner.return_token, "`return`"),
            Expr::Break(inner) if self.loops == 0 && inner.label.is_none() => {
                self.leaves(inner.break_token, "`break`");
            }
            Expr::Continue(inner) if self.loops == 0 && inner.label.is_none() => {
                self.leaves(inner.continue_token, "`continue`");
            }
            // They have a body of their own to leave.
            Expr::Closure(_) | Expr::Async(_) => {}
            Expr::Loop(_) | Expr::While(_) | Expr::ForLoop(_) => {
                self.loops += 1;
                visit::visit_expr(self, expression);
                self.loops -= 1;
            }
            other => {
                match other {
                    Expr::Assign(assignment) => self.changes(&assignment.left),
                    Expr::Binary(operation) if is_assignment(operation.op) => self.changes(&operation.left),
                    _ => {}
                }
                visit::visit_expr(self, other);
            }
        }
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {}
}

fn is_assignment(operator: BinOp) -> bool {
    matches!(
        operator,
        BinOp::AddAssign(_)
            | BinOp::SubAssign(_)
            | BinOp::MulAssign(_)
            | BinOp::DivAssign(_)
            | BinOp::RemAssign(_)
            | BinOp::BitXorAssign(_)
            | BinOp::BitAndAssign(_)
            | BinOp::BitOrAssign(_)
            | BinOp::ShlAssign(_)
            | BinOp::ShrAssign(_)
    )
}
