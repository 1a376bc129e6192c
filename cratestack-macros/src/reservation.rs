//! The handler's `Reservation`, as its signature spells it.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{GenericArgument, GenericParam, PathArguments, PathSegment, Signature, Type, TypeParam, WherePredicate};

use crate::context::mentions;
use crate::options::HAS_TRANSACTIONS;

/// The databases that there is a store for.
const DATABASES: [&str; 2] = ["Postgres", "Sqlite"];

/// The bound of a type parameter that may stand for one of them.
const ANY_DATABASE: &str = "TransactionalDatabase";

/// The database of the first `Reservation<DB>` among the argument types.
///
/// By their names alone, because an extractor is chosen by it: others may have a type of their own that they call a
/// `Reservation` of something. Where an alias hides the names, the extractor that is not chosen finds the store when it
/// runs.
pub(crate) fn database<'a>(signature: &Signature, types: &'a [Type]) -> Option<&'a Type> {
    if !HAS_TRANSACTIONS {
        return None;
    }
    let mut parameters = Parameters { signature, found: None };
    for ty in types.iter().filter(|ty| mentions(ty.to_token_stream(), "Reservation")) {
        parameters.visit_type(ty);
    }
    parameters.found
}

struct Parameters<'s, 'a> {
    signature: &'s Signature,
    found: Option<&'a Type>,
}

impl<'a> Visit<'a> for Parameters<'_, 'a> {
    fn visit_path_segment(&mut self, segment: &'a PathSegment) {
        if segment.ident == "Reservation"
            && let PathArguments::AngleBracketed(arguments) = &segment.arguments
            && let Some(GenericArgument::Type(parameter)) = arguments.args.first()
            && arguments.args.len() == 1
            && is_database(parameter, self.signature)
        {
            self.found.get_or_insert(parameter);
        }
        visit::visit_path_segment(self, segment);
    }
}

/// Whether the type is called as a database is, or is a type parameter of the handler that asks for one.
fn is_database(ty: &Type, signature: &Signature) -> bool {
    let path = match ty {
        Type::Path(path) => &path.path,
        // From a `macro_rules!`.
        Type::Group(group) => return is_database(&group.elem, signature),
        _ => return false,
    };
    let Some(last) = path.segments.last() else { return false };
    if DATABASES.iter().any(|database| last.ident == database) {
        return true;
    }
    let is_bound = |bounds: TokenStream| mentions(bounds, ANY_DATABASE);
    let generics = &signature.generics;
    let inline = generics.params.iter().any(|parameter| match parameter {
        GenericParam::Type(TypeParam { ident, bounds, .. }) => {
            path.is_ident(ident) && is_bound(bounds.to_token_stream())
        }
        _ => false,
    });
    inline
        || generics.where_clause.iter().flat_map(|clause| &clause.predicates).any(|predicate| match predicate {
            WherePredicate::Type(predicate) => {
                let is_its_own = matches!(&predicate.bounded_ty, Type::Path(bounded)
                    if path.get_ident().is_some_and(|ident| bounded.path.is_ident(ident)));
                is_its_own && is_bound(predicate.bounds.to_token_stream())
            }
            _ => false,
        })
}
