use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Ident, Lit, LitInt, LitStr, Token, Type};

use crate::duration;
use crate::suggest::nearest;

/// What the attribute says.
#[derive(Default)]
pub(crate) struct Options {
    ttl: Option<Time>,
    lease: Option<Time>,
    wait: Option<Time>,
    optional: bool,
    record_success: bool,
    run_on_store_error: Option<bool>,
    pub(crate) body_limit: Option<LitInt>,
    pub(crate) key: Option<Expr>,
    pub(crate) principal: Option<Expr>,
    pub(crate) fingerprint: Option<Expr>,
    pub(crate) state: Option<Type>,
}

/// A duration and where it stands.
pub(crate) struct Time {
    value: Duration,
    span: Span,
}

const NAMES: [&str; 11] = [
    "ttl",
    "lease",
    "wait",
    "optional",
    "record",
    "on_store_error",
    "body_limit",
    "key",
    "principal",
    "fingerprint",
    "state",
];

/// One `name` or `name = value`.
struct Setting {
    name: Ident,
    value: Option<Value>,
}

/// A value as it was parsed: `state` takes a type, all others an expression.
enum Value {
    Expr(Expr),
    Type(Type),
}

impl Parse for Setting {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input
            .call(Ident::parse_any)
            .map_err(|error| syn::Error::new(error.span(), format!("an option is a name: one of {}", listed())))?;
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(_) if name == "state" => Some(Value::Type(input.parse().map_err(|error: syn::Error| {
                syn::Error::new(error.span(), "`state` takes the type of the router's state, such as `state = App`")
            })?)),
            Some(_) => Some(Value::Expr(input.parse()?)),
            None => None,
        };
        if !(input.is_empty() || input.peek(Token![,])) {
            return Err(input.error(format!("options are separated by commas; write `,` after `{name}`")));
        }
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
            "wait" => self.wait = Some(time(&name, value)?),
            "optional" => match value {
                None => self.optional = true,
                Some(value) => {
                    let mistake = "`optional` takes no value: write `optional`, or leave it out to require the header";
                    return Err(syn::Error::new_spanned(value, mistake));
                }
            },
            "record" => self.record_success = word(&name, value, ["all", "success"])? == "success",
            "on_store_error" => self.run_on_store_error = Some(word(&name, value, ["refuse", "run"])? == "run"),
            "body_limit" => self.body_limit = Some(bytes(&name, value)?),
            "key" => self.key = Some(expression(&name, value)?),
            "principal" => self.principal = Some(expression(&name, value)?),
            "fingerprint" => self.fingerprint = Some(expression(&name, value)?),
            "state" => {
                let Some(Value::Type(state)) = value else {
                    let mistake = "`state` needs the type of the router's state, such as `state = App`";
                    return Err(syn::Error::new(name.span(), mistake));
                };
                self.state = Some(state);
            }
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
        if let (Some(key), true) = (&self.key, self.optional) {
            self.optional = false;
            let mistake = "`optional` is about the header, which `key = …` replaces; remove one of the two";
            return Err(syn::Error::new_spanned(key, mistake));
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
        let wait = self.wait.as_ref().map(|wait| {
            let milliseconds = wait.milliseconds();
            quote!(.wait_ms(#milliseconds))
        });
        let optional = self.optional.then(|| quote!(.optional()));
        let record = self.record_success.then(|| quote!(.record_success()));
        let store = self.run_on_store_error.map(|run| quote!(.run_on_store_error(#run)));
        quote!(#private::Options::new() #ttl #lease #wait #optional #record #store)
    }
}

impl Time {
    fn milliseconds(&self) -> u64 {
        u64::try_from(self.value.as_millis()).unwrap_or(u64::MAX)
    }
}

fn time(name: &Ident, value: Option<Value>) -> syn::Result<Time> {
    let example = format!("write a string such as `{name} = \"30s\"`");
    match value {
        Some(Value::Expr(Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }))) => {
            Ok(Time { value: duration::parse(&literal)?, span: LitStr::span(&literal) })
        }
        Some(other) => Err(syn::Error::new_spanned(other, format!("`{name}` takes a duration; {example}"))),
        None => Err(syn::Error::new(name.span(), format!("`{name}` needs a duration; {example}"))),
    }
}

/// One of two words, of which the first is the default.
fn word(name: &Ident, value: Option<Value>, words: [&'static str; 2]) -> syn::Result<&'static str> {
    let [default, other] = words;
    let mistake = format!("`{name}` is `{default}` (the default) or `{other}`: write `{name} = {other}`");
    match value {
        Some(Value::Expr(Expr::Path(path))) => words
            .into_iter()
            .find(|word| path.path.is_ident(word))
            .ok_or_else(|| syn::Error::new_spanned(&path, mistake)),
        Some(value) => Err(syn::Error::new_spanned(value, mistake)),
        None => Err(syn::Error::new(name.span(), mistake)),
    }
}

fn bytes(name: &Ident, value: Option<Value>) -> syn::Result<LitInt> {
    let mistake = format!("`{name}` takes a number of bytes that is at least 1, such as `{name} = 65536`");
    match value {
        Some(Value::Expr(Expr::Lit(ExprLit { lit: Lit::Int(literal), .. })))
            if literal.suffix().is_empty() && literal.base10_parse::<u32>().is_ok_and(|bytes| bytes > 0) =>
        {
            Ok(literal)
        }
        Some(value) => Err(syn::Error::new_spanned(value, mistake)),
        None => Err(syn::Error::new(name.span(), mistake)),
    }
}

fn expression(name: &Ident, value: Option<Value>) -> syn::Result<Expr> {
    match value {
        Some(Value::Expr(literal @ Expr::Lit(_))) => Err(syn::Error::new_spanned(
            literal,
            format!(
                "a constant is the same for every request; write an expression over the handler's arguments, such as `{name} = req.id`"
            ),
        )),
        Some(Value::Expr(expression)) => Ok(expression),
        _ => Err(syn::Error::new(
            name.span(),
            format!("`{name}` needs an expression over the handler's arguments, such as `{name} = req.id`"),
        )),
    }
}

impl ToTokens for Value {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Expr(value) => value.to_tokens(tokens),
            Self::Type(value) => value.to_tokens(tokens),
        }
    }
}
