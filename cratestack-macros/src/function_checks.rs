//! Checks of a function's result that need types; see [`type_checks`](crate::type_checks).

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::Type;

use crate::context::located;
use crate::options::Options;
use crate::type_checks::result_sides;

/// None of these statements runs, or costs code: they name functions.
pub(crate) fn all(private: &TokenStream, options: &Options, output: &Type) -> TokenStream {
    let ask = |part: &Type, question: &str| {
        let (span, private) = located(private, part);
        let question = Ident::new(question, span);
        quote_spanned!(span=> let _ = #private::Function::<#output>::#question;)
    };
    let records_errors = options.records_errors();
    match result_sides(output) {
        Some((success, failure)) => {
            let value = ask(success, "value");
            let error = ask(failure, "error");
            let recorded = records_errors.then(|| ask(failure, "recorded_error"));
            quote!(#value #error #recorded)
        }
        None if records_errors => ask(output, "recorded_whole"),
        None => ask(output, "whole"),
    }
}
