//! What may stand after an option's `=`.

use std::time::Duration;

use proc_macro2::{Span, TokenTree};
use syn::{Expr, ExprLit, Ident, Lit, LitInt, LitStr, PathArguments, Type};

use crate::duration;
use crate::mistake::mistake;
use crate::suggest::nearest;

/// A value as it was parsed: `state` takes a type, all others an expression.
pub(crate) enum Value {
    Expr(Expr),
    Type(Type),
}

/// A duration and where it stands.
pub(crate) struct Time {
    pub(crate) value: Duration,
    pub(crate) span: Span,
}

impl Time {
    pub(crate) fn milliseconds(&self) -> u64 {
        u64::try_from(self.value.as_millis()).unwrap_or(u64::MAX)
    }
}

pub(crate) fn time(name: &Ident, value: Option<Value>) -> syn::Result<Time> {
    let help = format!("write it as a string with a unit, such as `{name} = \"30s\"`");
    match value {
        Some(Value::Expr(Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }))) => {
            Ok(Time { value: duration::parse(&literal)?, span: literal.span() })
        }
        Some(Value::Expr(Expr::Lit(ExprLit { lit: Lit::Int(number), .. }))) if number.suffix().is_empty() => {
            let help = format!("write it as a string with a unit, such as `{name} = \"{number}s\"`");
            Err(mistake(number, format!("`{name}` is a number without a unit"), help))
        }
        Some(other) => Err(mistake(other, format!("`{name}` takes a duration"), help)),
        None => Err(mistake(name, format!("`{name}` needs a duration"), help)),
    }
}

/// One of two words, of which the first is the default.
pub(crate) fn word(name: &Ident, value: Option<Value>, words: [&'static str; 2]) -> syn::Result<&'static str> {
    let [default, other] = words;
    among(name, value, &words, &format!("`{name}` is `{default}` (the default) or `{other}`"), other)
}

/// One of several words.
pub(crate) fn one_of(name: &Ident, value: Option<Value>, words: &[&'static str]) -> syn::Result<&'static str> {
    let listed: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    let example = words.last().copied().unwrap_or_default();
    among(name, value, words, &format!("`{name}` is one of {}", listed.join(", ")), example)
}

fn among(
    name: &Ident,
    value: Option<Value>,
    words: &[&'static str],
    what: &str,
    example: &str,
) -> syn::Result<&'static str> {
    match value {
        Some(Value::Expr(Expr::Path(path))) => {
            words.iter().copied().find(|word| path.path.is_ident(word)).ok_or_else(|| {
                let near = path.path.get_ident().and_then(|ident| nearest(&ident.to_string(), words));
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("write `{name} = {example}`"),
                };
                mistake(&path, what, help)
            })
        }
        Some(Value::Expr(Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }))) if words.contains(&&*literal.value()) => {
            let help = format!("write it without quotes: `{name} = {}`", literal.value());
            Err(mistake(literal, what, help))
        }
        Some(value) => Err(mistake(value, what, format!("write `{name} = {example}`"))),
        None => Err(mistake(name, what, format!("write `{name} = {example}`"))),
    }
}

/// More would only hold up a request that has no chance.
const MOST_RETRIES: u32 = 100;

pub(crate) fn times(name: &Ident, value: Option<Value>) -> syn::Result<LitInt> {
    let what = format!("`{name}` takes how often the handler may run again, from 1 to {MOST_RETRIES}");
    let help = format!("write it as a number, such as `{name} = 3`");
    match value {
        Some(Value::Expr(Expr::Lit(ExprLit { lit: Lit::Int(literal), .. })))
            if literal.suffix().is_empty()
                && literal.base10_parse::<u32>().is_ok_and(|times| (1..=MOST_RETRIES).contains(&times)) =>
        {
            Ok(literal)
        }
        Some(value) => Err(mistake(value, what, help)),
        None => Err(mistake(name, what, help)),
    }
}

pub(crate) fn bytes(name: &Ident, value: Option<Value>) -> syn::Result<LitInt> {
    let what = format!("`{name}` takes a number of bytes, from 1 to {}", u32::MAX);
    let help = format!("write it as a number, such as `{name} = 65536`");
    match value {
        Some(Value::Expr(Expr::Lit(ExprLit { lit: Lit::Int(literal), .. })))
            if literal.suffix().is_empty() && literal.base10_parse::<u32>().is_ok_and(|bytes| bytes > 0) =>
        {
            Ok(literal)
        }
        Some(value) => Err(mistake(value, what, help)),
        None => Err(mistake(name, what, help)),
    }
}

pub(crate) fn expression(name: &Ident, value: Option<Value>) -> syn::Result<Expr> {
    let help = format!("write an expression over the handler's arguments, such as `{name} = req.id`");
    match value {
        Some(Value::Expr(Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }))) if quoted(&literal) => {
            let what = format!("`{name}` is an expression, and a string is the same for every request");
            Err(mistake(&literal, what, format!("write it without quotes: `{name} = {}`", literal.value())))
        }
        Some(Value::Expr(literal @ Expr::Lit(_))) => {
            Err(mistake(literal, format!("this `{name}` is the same for every request"), help))
        }
        Some(Value::Expr(closure @ Expr::Closure(_))) => {
            Err(mistake(closure, format!("`{name}` is evaluated where it stands, and takes no closure"), help))
        }
        Some(Value::Expr(expression)) => Ok(expression),
        _ => Err(mistake(name, format!("`{name}` needs a value"), help)),
    }
}

/// An expression, or the name of the one caller that there is.
pub(crate) fn caller(name: &Ident, value: Option<Value>) -> syn::Result<Expr> {
    let help = "write an expression over the handler's arguments, such as `principal = user.id`; where all requests are one \
                caller's, name it as a string, such as `principal = \"stripe\"`";
    let expression = match value {
        Some(Value::Expr(literal @ Expr::Lit(ExprLit { lit: Lit::Str(_), .. }))) => literal,
        Some(Value::Expr(literal @ Expr::Lit(_))) => {
            return Err(mistake(literal, "this `principal` is the same for every request", help));
        }
        other => expression(name, other)?,
    };
    match nobody(&expression) {
        Some(nobody) => Err(mistake(nobody, "this names nobody, and so cannot say whose the key is", help)),
        None => Ok(expression),
    }
}

/// What can be seen to be nothing.
fn nobody(expression: &Expr) -> Option<&Expr> {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) if literal.value().trim().is_empty() => Some(expression),
        Expr::Tuple(tuple) if tuple.elems.is_empty() => Some(expression),
        Expr::Tuple(tuple) => tuple.elems.iter().find_map(nobody),
        Expr::Path(path) if path.path.is_ident("None") => Some(expression),
        Expr::Paren(inner) => nobody(&inner.expr),
        Expr::Group(inner) => nobody(&inner.expr),
        Expr::Reference(inner) => nobody(&inner.expr),
        _ => None,
    }
}

/// Whether the string holds what was meant as an expression, such as `"req.id"`.
fn quoted(literal: &LitStr) -> bool {
    literal.parse::<Expr>().is_ok_and(|expression| !matches!(expression, Expr::Lit(_)))
}

pub(crate) fn state(name: &Ident, value: Option<Value>) -> syn::Result<Type> {
    match value {
        Some(Value::Type(ty)) if !is_call(&ty) => Ok(ty),
        Some(Value::Expr(Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }))) if literal.parse::<Type>().is_ok() => {
            let help = format!("write it without quotes: `state = {}`", literal.value());
            Err(mistake(literal, "`state` takes a type, not a string", help))
        }
        Some(value) => Err(mistake(value, NO_TYPE, NAME_THE_TYPE)),
        None => Err(mistake(name, "`state` needs a type", NAME_THE_TYPE)),
    }
}

const NO_TYPE: &str = "`state` takes the type of the router's state, not a value";
const NAME_THE_TYPE: &str = "name the type, such as `state = App`";

/// What stands at `token` is no type.
pub(crate) fn no_type(name: &Ident, token: Option<&TokenTree>) -> syn::Error {
    match token {
        Some(token) => mistake(token, NO_TYPE, NAME_THE_TYPE),
        None => mistake(name, NO_TYPE, NAME_THE_TYPE),
    }
}

/// `new()` parses as a type, with the arguments of a function trait.
fn is_call(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.iter().any(|segment| matches!(segment.arguments, PathArguments::Parenthesized(_)))
}
