//! Which of a handler's arguments the attribute's expressions name.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::Parser as _;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Expr, ExprPath, Ident, Macro, Pat, PatIdent};

use crate::options::Options;

/// What all expressions of a handler name, and so use of its arguments.
pub(crate) struct MentionedNames(BTreeSet<String>);

impl MentionedNames {
    pub(crate) fn of(options: &Options) -> Self {
        Self::of_all(options.expressions().map(|(_, expression)| expression))
    }

    /// What these alone name.
    pub(crate) fn of_all<'a>(expressions: impl Iterator<Item = &'a Expr>) -> Self {
        let mut names = BTreeSet::new();
        expressions.for_each(|expression| mentioned(expression.to_token_stream(), &mut names));
        Self(names)
    }

    /// Those of the pattern's names that are among them.
    pub(crate) fn bound_by(&self, pattern: &Pat) -> Vec<Ident> {
        let mut bound = BoundNames::default();
        bound.visit_pat(pattern);
        bound.0.into_iter().filter(|name| self.has(name)).collect()
    }

    /// Whether one of them may be bound by the pattern. What a macro binds in it, only the compiler knows.
    pub(crate) fn need(&self, pattern: &Pat) -> bool {
        let mut has_macro = HasMacro(false);
        has_macro.visit_pat(pattern);
        has_macro.0 || !self.bound_by(pattern).is_empty()
    }

    pub(crate) fn has(&self, name: &Ident) -> bool {
        self.0.contains(&name.unraw().to_string())
    }
}

/// Every name in the tokens, and in their strings, which may be for `format!`. One too many does no harm.
fn mentioned(tokens: TokenStream, names: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => mentioned(group.stream(), names),
            TokenTree::Ident(ident) => {
                names.insert(ident.unraw().to_string());
            }
            TokenTree::Literal(literal) => {
                let literal = literal.to_string();
                let words = literal.split(|char: char| char != '_' && !char.is_alphanumeric());
                names.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
            }
            TokenTree::Punct(_) => {}
        }
    }
}

struct HasMacro(bool);

impl<'ast> Visit<'ast> for HasMacro {
    fn visit_pat(&mut self, pattern: &'ast Pat) {
        self.0 |= matches!(pattern, Pat::Macro(_));
        visit::visit_pat(self, pattern);
    }
}

/// Every name that an expression could mean an argument by: not a field's, a method's or one of its own.
#[derive(Default)]
pub(crate) struct UsedNames(pub(crate) Vec<Ident>);

impl UsedNames {
    pub(crate) fn of(expression: &Expr) -> Self {
        let (mut used, mut own) = (Self::default(), BoundNames::default());
        used.visit_expr(expression);
        own.visit_expr(expression);
        used.0.retain(|name| !own.0.contains(name));
        used
    }
}

impl<'ast> Visit<'ast> for UsedNames {
    fn visit_expr_path(&mut self, path: &'ast ExprPath) {
        self.0.extend(path.path.get_ident().cloned());
    }

    // Only the macro knows what its tokens are; strings may be for `format!`.
    fn visit_macro(&mut self, call: &'ast Macro) {
        let mut names = BTreeSet::new();
        mentioned(call.tokens.clone(), &mut names);
        let span = call.path.span();
        self.0.extend(names.iter().filter_map(|name| Ident::parse_any.parse_str(name).ok()).map(|mut name| {
            name.set_span(span);
            name
        }));
    }
}

/// Every name that a pattern binds.
#[derive(Default)]
pub(crate) struct BoundNames(pub(crate) Vec<Ident>);

impl<'ast> Visit<'ast> for BoundNames {
    fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
        self.0.push(pattern.ident.clone());
        visit::visit_pat_ident(self, pattern);
    }
}
