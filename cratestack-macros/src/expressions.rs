//! What the attribute's expressions, `key`, `principal`, `fingerprint` and `handle`, may say.

use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{
    BinOp, Expr, ExprField, ExprIndex, ExprLit, ExprParen, ExprUnary, FnArg, Ident, Lit, LitStr, Signature, UnOp,
};

use crate::mistake::{Mistakes, mistake};
use crate::names::{BoundNames, UsedNames};
use crate::options::Options;

/// Reports what leaves an expression instead of giving a value, or changes an argument, at the token that does.
pub(crate) fn check(options: &Options, signature: &Signature, mistakes: &mut Mistakes) {
    let mut arguments = BoundNames::default();
    for argument in &signature.inputs {
        if let FnArg::Typed(argument) = argument {
            arguments.visit_pat(&argument.pat);
        }
    }
    for (name, expression) in options.expressions() {
        if let Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) = expression {
            quoted_expression(name, literal, &arguments, mistakes);
        }
        let mut own = BoundNames::default();
        own.visit_expr(expression);
        // A name that the expression binds itself may be changed.
        let arguments: Vec<_> = arguments.0.iter().filter(|argument| !own.0.contains(argument)).collect();
        ReadsOnly { arguments, loops: 0, mistakes }.visit_expr(expression);
    }
}

/// A principal may be a string, but hardly one that reads like an expression over the arguments.
fn quoted_expression(name: &str, literal: &LitStr, arguments: &BoundNames, mistakes: &mut Mistakes) {
    let Ok(expression) = literal.parse::<Expr>() else { return };
    if UsedNames::of(&expression).0.iter().any(|name| name == "self" || arguments.0.contains(name)) {
        let what = format!("`{name}` is an expression, and a string is the same for every request");
        mistakes.add(mistake(literal, what, format!("write it without quotes: `{name} = {}`", literal.value())));
    }
}

/// Checks that an expression only reads the handler's arguments.
struct ReadsOnly<'a> {
    arguments: Vec<&'a Ident>,
    /// How many loops of the expression's own stand around.
    loops: usize,
    mistakes: &'a mut Mistakes,
}

impl ReadsOnly<'_> {
    fn leaves(&mut self, token: impl ToTokens, what: &str) {
        let what = format!("{what} cannot stand here: the expression gives a value at once, before the handler runs");
        let help = "extract what it needs with an extractor of your own, and name that argument here";
        self.mistakes.add(mistake(token, what, help));
    }

    /// Arguments are borrowed, so neither they nor what is in them can be assigned to.
    fn changes(&mut self, place: &Expr) {
        let mut root = place;
        loop {
            root = match root {
                Expr::Field(ExprField { base, .. }) => base,
                Expr::Index(ExprIndex { expr, .. }) | Expr::Paren(ExprParen { expr, .. }) => expr,
                // `*argument` is the argument. What another `*` leads to, only its type could tell.
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

impl<'ast> Visit<'ast> for ReadsOnly<'_> {
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
            // What leaves these leaves a body of their own.
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
    let operator = operator.to_token_stream().to_string();
    operator.ends_with('=') && !["==", "!=", "<=", ">="].contains(&operator.as_str())
}
