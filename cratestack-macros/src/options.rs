use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Token};

use crate::duration;
use crate::suggest::nearest;

/// What the attribute says.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) ttl: Option<Time>,
    pub(crate) lease: Option<Time>,
    pub(crate) optional: bool,
}

/// A duration and where it stands.
pub(crate) struct Time {
    value: Duration,
    span: Span,
}

const NAMES: [&str; 3] = ["ttl", "lease", "optional"];

/// One `name` or `name = value`.
struct Setting {
    name: Ident,
    value: Option<Expr>,
}

impl Parse for Setting {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input
            .call(Ident::parse_any)
            .map_err(|error| syn::Error::new(error.span(), format!("an option is a name: one of {}", listed())))?;
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        Ok(Self { name, value })
    }
}

fn listed() -> String {
    NAMES.map(|name| format!("`{name}`")).join(", ")
}

impl Options {
    /// Reads the attribute. All mistakes are collected; what was understood is kept, so that the handler still expands.
    pub(crate) fn parse(attribute: TokenStream) -> (Self, Option<syn::Error>) {
        let mut options = Self::default();
        let settings = match Punctuated::<Setting, Token![,]>::parse_terminated.parse2(attribute) {
            Ok(settings) => settings,
            Err(error) => return (options, Some(error)),
        };
        let mut mistakes: Option<syn::Error> = None;
        let mut seen: Vec<String> = Vec::new();
        for setting in settings {
            let outcome = if seen.iter().any(|name| setting.name == name) {
                Err(syn::Error::new(setting.name.span(), format!("`{}` is given twice; remove one", setting.name)))
            } else {
                seen.push(setting.name.to_string());
                options.take(setting)
            };
            if let Err(mistake) = outcome.and_then(|()| options.agree()) {
                match &mut mistakes {
                    Some(mistakes) => mistakes.combine(mistake),
                    None => mistakes = Some(mistake),
                }
            }
        }
        (options, mistakes)
    }

    fn take(&mut self, setting: Setting) -> syn::Result<()> {
        let Setting { name, value } = setting;
        match name.to_string().as_str() {
            "ttl" => self.ttl = Some(time(&name, value)?),
            "lease" => self.lease = Some(time(&name, value)?),
            "optional" => match value {
                None => self.optional = true,
                Some(value) => {
                    let mistake = "`optional` takes no value: write `optional`, or leave it out to require the header";
                    return Err(syn::Error::new_spanned(value, mistake));
                }
            },
            unknown => {
                let help = match nearest(unknown, &NAMES) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the options are {}", listed()),
                };
                return Err(syn::Error::new(
                    name.span(),
                    format!("`{unknown}` is not an option of `idempotent`; {help}"),
                ));
            }
        }
        Ok(())
    }

    fn agree(&mut self) -> syn::Result<()> {
        if let (Some(ttl), Some(lease)) = (&self.ttl, &self.lease)
            && lease.value > ttl.value
        {
            let span = lease.span;
            // Reported once, also where further options follow.
            self.lease = None;
            let mistake = "the lease is longer than the ttl; shorten `lease`, or keep the outcome longer with `ttl`";
            return Err(syn::Error::new(span, mistake));
        }
        Ok(())
    }

    /// The constant that the runtime is given.
    pub(crate) fn expand(&self, private: &TokenStream) -> TokenStream {
        let ttl = self.ttl.as_ref().map(|ttl| {
            let milliseconds = ttl.milliseconds();
            quote!(.ttl_ms(#milliseconds))
        });
        let lease = self.lease.as_ref().map(|lease| {
            let milliseconds = lease.milliseconds();
            quote!(.lease_ms(#milliseconds))
        });
        let optional = self.optional.then(|| quote!(.optional()));
        quote!(#private::Options::new() #ttl #lease #optional)
    }
}

impl Time {
    fn milliseconds(&self) -> u64 {
        u64::try_from(self.value.as_millis()).unwrap_or(u64::MAX)
    }
}

fn time(name: &Ident, value: Option<Expr>) -> syn::Result<Time> {
    let example = format!("write a string such as `{name} = \"30s\"`");
    match value {
        Some(Expr::Lit(ExprLit { lit: Lit::Str(literal), .. })) => {
            Ok(Time { value: duration::parse(&literal)?, span: LitStr::span(&literal) })
        }
        Some(other) => Err(syn::Error::new_spanned(other, format!("`{name}` takes a duration; {example}"))),
        None => Err(syn::Error::new(name.span(), format!("`{name}` needs a duration; {example}"))),
    }
}
