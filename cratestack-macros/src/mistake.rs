use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// What is wrong with `tokens`, and what to write instead.
pub(crate) fn mistake(tokens: impl ToTokens, what: impl Display, help: impl Display) -> syn::Error {
    syn::Error::new_spanned(tokens, format!("{what}\nhelp: {help}"))
}

/// The same at a place that is no whole token tree.
pub(crate) fn mistake_at(span: Span, what: impl Display, help: impl Display) -> syn::Error {
    syn::Error::new(span, format!("{what}\nhelp: {help}"))
}

/// All that was found wrong; each is an error of its own.
#[derive(Default)]
pub(crate) struct Mistakes(Option<syn::Error>);

impl Mistakes {
    pub(crate) fn add(&mut self, mistake: syn::Error) {
        match &mut self.0 {
            Some(mistakes) => mistakes.combine(mistake),
            None => self.0 = Some(mistake),
        }
    }

    /// Keeps what went well, and adds what did not.
    pub(crate) fn take<T>(&mut self, outcome: syn::Result<T>) -> Option<T> {
        outcome.map_err(|mistake| self.add(mistake)).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Without an expansion to go with them.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        let mistakes = self.0.iter().flat_map(syn::Error::clone);
        mistakes.map(|mistake| mistake.to_string()).collect::<Vec<_>>().join("\n")
    }
}

impl ToTokens for Mistakes {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        if let Some(mistakes) = &self.0 {
            tokens.extend(mistakes.to_compile_error());
        }
    }
}
