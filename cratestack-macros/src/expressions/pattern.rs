use proc_macro2::TokenStream;
use quote::quote;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{Ident, Pat, PatIdent};

/// The handler's own pattern, as a `let` that borrows from what `value` refers to.
pub(super) fn borrow(pattern: &Pat, value: &Ident) -> TokenStream {
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
