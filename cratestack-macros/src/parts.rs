//! The attribute's expressions: `key`, `principal`, `fingerprint`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{BinOp, Expr, ExprField, ExprIndex, FnArg, Ident, Pat, PatIdent, Signature};

use crate::mistake::{Mistakes, mistake};
use crate::options::Options;

/// The statements that evaluate the expressions over the extracted arguments, by reference.
pub(crate) fn evaluate(options: &Options, signature: &Signature, call: &Ident, arguments: &[Ident]) -> TokenStream {
    let parts = [("key", &options.key), ("principal", &options.principal), ("fingerprint", &options.fingerprint)];
    let parts: Vec<_> = parts
        .into_iter()
        .filter_map(|(method, expression)| {
            let mut expression = expression.clone()?;
            let spot = expression.span().resolved_at(Span::call_site());
            let method = Ident::new(method, spot);
            let receiver = arguments.first();
            if let (Some(FnArg::Receiver(_)), Some(receiver)) = (signature.inputs.first(), receiver) {
                Receiver(receiver).visit_expr_mut(&mut expression);
            }
            let part = by_reference(&expression);
            Some(quote_spanned!(spot=> #call.#method(#part);))
        })
        .collect();
    if parts.is_empty() {
        return TokenStream::new();
    }
    let (patterns, values): (Vec<_>, Vec<_>) = signature
        .inputs
        .iter()
        .zip(arguments)
        .filter_map(|(argument, value)| match argument {
            FnArg::Receiver(_) => None,
            FnArg::Typed(argument) => {
                let mut pattern = (*argument.pat).clone();
                Immutable.visit_pat_mut(&mut pattern);
                Some((pattern, value))
            }
        })
        .unzip();
    quote! {
        if #call.is_guarded() {
            #[allow(unused_variables)]
            let (#(#patterns,)*) = (#(&#values,)*);
            #(#parts)*
        }
    }
}

/// Each element of a tuple by reference, so that a field need not be `Copy` to be part of one.
fn by_reference(expression: &Expr) -> TokenStream {
    let spot = expression.span().resolved_at(Span::call_site());
    match expression {
        Expr::Tuple(tuple) => {
            let elements = tuple.elems.iter().map(by_reference);
            quote_spanned!(spot=> &(#(#elements,)*))
        }
        Expr::Paren(inner) => by_reference(&inner.expr),
        other => quote_spanned!(spot=> &(#other)),
    }
}

/// Takes `mut` from the bindings: the expressions only look.
struct Immutable;

impl VisitMut for Immutable {
    fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
        if pattern.by_ref.is_none() {
            pattern.mutability = None;
        }
        visit_mut::visit_pat_ident_mut(self, pattern);
    }

    fn visit_pat_mut(&mut self, pattern: &mut Pat) {
        visit_mut::visit_pat_mut(self, pattern);
    }
}

/// `self` by value is the first argument.
struct Receiver<'a>(&'a Ident);

impl VisitMut for Receiver<'_> {
    fn visit_ident_mut(&mut self, ident: &mut Ident) {
        if ident == "self" {
            let span = ident.span();
            *ident = self.0.clone();
            ident.set_span(span.resolved_at(self.0.span()));
        }
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
    for expression in [&options.key, &options.principal, &options.fingerprint].into_iter().flatten() {
        let mut own = Bindings::default();
        own.visit_expr(expression);
        // A name that the expression binds itself may be changed.
        let arguments: Vec<_> = arguments.0.iter().filter(|argument| !own.0.contains(argument)).collect();
        Looks { arguments, loops: 0, mistakes }.visit_expr(expression);
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

    /// Arguments are there by reference, so their fields cannot be assigned to.
    fn changes(&mut self, place: &Expr) {
        let mut root = place;
        while let Expr::Field(ExprField { base, .. }) | Expr::Index(ExprIndex { expr: base, .. }) = root {
            root = base;
        }
        if let Expr::Path(path) = root
            && self.arguments.iter().any(|argument| path.path.is_ident(*argument))
            && !matches!(place, Expr::Index(_))
        {
            let what = "the expression cannot change an argument, because the handler gets it afterwards";
            self.mistakes.add(mistake(place, what, "compute a new value, and leave the argument as it is"));
        }
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
