//! What stands after an option's `=`, and what it means.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{Expr, ExprLit, Ident, Lit, LitInt, LitStr, PathArguments, Type};

use super::duration;
use super::table::{Entry, HANDLE, Takes, listed, nearest};
use crate::mistake::{Mistakes, mistake};

/// A value as it was parsed: some options take a type, all others an expression.
pub(super) enum Written {
    Expr(Expr),
    Type(Type),
}

/// What the value of an option means.
pub(crate) enum Value {
    Flag,
    Duration { milliseconds: u64, span: Span },
    Word(&'static str),
    Number(LitInt),
    Expression(Expr),
    Type(Type),
    Name(LitStr),
}

impl Value {
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(given) if *given == word)
    }
}

impl ToTokens for Written {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Expr(value) => value.to_tokens(tokens),
            Self::Type(value) => value.to_tokens(tokens),
        }
    }
}

/// As generated code has it.
impl ToTokens for Value {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Flag | Self::Word(_) => {}
            Self::Duration { milliseconds, .. } => milliseconds.to_tokens(tokens),
            Self::Number(number) => number.to_tokens(tokens),
            Self::Expression(expression) => expression.to_tokens(tokens),
            Self::Type(ty) => ty.to_tokens(tokens),
            Self::Name(name) => name.to_tokens(tokens),
        }
    }
}

/// Reads what was written as what the option takes. `name` is the option's, where it stands.
pub(super) fn read(entry: &Entry, name: &Ident, written: Option<Written>, mistakes: &mut Mistakes) -> Option<Value> {
    let value = match &entry.takes {
        Takes::Nothing(help) => {
            // A flag with a value counts as given, so that nothing else is said to lack it.
            if let Some(value) = written {
                mistakes.add(mistake(value, format!("`{name}` takes no value"), help));
            }
            Ok(Value::Flag)
        }
        Takes::Duration => read_duration(name, written),
        Takes::Either(_) | Takes::OneOf(_) => read_word(entry, name, written).map(Value::Word),
        Takes::Number(of, max) => read_number(entry, name, written, of, *max).map(Value::Number),
        Takes::Expression => read_expression(entry, name, written).map(Value::Expression),
        Takes::Principal => read_principal(entry, name, written).map(Value::Expression),
        Takes::Type => read_type(entry, name, written).map(Value::Type),
        Takes::Name => {
            // One that is none counts as given, so that the function is not taken for a handler.
            let read = mistakes.take(read_name(entry, name, written));
            return Some(Value::Name(read.unwrap_or_else(|| LitStr::new("", name.span()))));
        }
    };
    mistakes.take(value)
}

fn read_duration(name: &Ident, written: Option<Written>) -> syn::Result<Value> {
    let help = format!("write it as a string with a unit, such as `{name} = \"30s\"`");
    match written {
        Some(Written::Expr(Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }))) => {
            Ok(Value::Duration { milliseconds: duration::parse(&literal)?, span: literal.span() })
        }
        Some(Written::Expr(Expr::Lit(ExprLit { lit: Lit::Int(number), .. }))) if number.suffix().is_empty() => {
            let help = format!("write it as a string with a unit, such as `{name} = \"{number}s\"`");
            Err(mistake(number, format!("`{name}` is a number without a unit"), help))
        }
        Some(other) => Err(mistake(other, format!("`{name}` takes a duration"), help)),
        None => Err(mistake(name, format!("`{name}` needs a duration"), help)),
    }
}

fn read_word(entry: &Entry, name: &Ident, written: Option<Written>) -> syn::Result<&'static str> {
    let words = entry.words();
    let what = match entry.takes {
        Takes::Either([default, other]) => format!("`{name}` is `{default}` (the default) or `{other}`"),
        _ => format!("`{name}` is one of {}", listed(words)),
    };
    let help = format!("write `{}`", entry.usage);
    match written {
        Some(Written::Expr(Expr::Path(path))) => {
            words.iter().copied().find(|word| path.path.is_ident(word)).ok_or_else(|| {
                let near = path.path.get_ident().and_then(|ident| nearest(&ident.to_string(), words));
                mistake(&path, &what, near.map_or(help, |near| format!("did you mean `{near}`?")))
            })
        }
        Some(Written::Expr(Expr::Lit(ExprLit { lit: Lit::Str(literal), .. })))
            if words.contains(&&*literal.value()) =>
        {
            let help = format!("write it without quotes: `{name} = {}`", literal.value());
            Err(mistake(literal, what, help))
        }
        other => Err(mistake(value_or_name(other, name), what, help)),
    }
}

fn read_number(entry: &Entry, name: &Ident, written: Option<Written>, of: &str, max: u32) -> syn::Result<LitInt> {
    let what = format!("`{name}` takes {of}, from 1 to {max}");
    let help = format!("write it as a number, such as `{}`", entry.usage);
    match written {
        Some(Written::Expr(Expr::Lit(ExprLit { lit: Lit::Int(literal), .. })))
            if literal.suffix().is_empty()
                && literal.base10_parse::<u32>().is_ok_and(|number| (1..=max).contains(&number)) =>
        {
            Ok(literal)
        }
        other => Err(mistake(value_or_name(other, name), what, help)),
    }
}

fn read_expression(entry: &Entry, name: &Ident, written: Option<Written>) -> syn::Result<Expr> {
    let help = format!("write an expression over the handler's arguments, such as `{}`", entry.usage);
    match written {
        Some(Written::Expr(Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }))) if is_quoted_expression(&literal) => {
            let what = format!("`{name}` is an expression, and a string is the same for every request");
            Err(mistake(&literal, what, format!("write it without quotes: `{name} = {}`", literal.value())))
        }
        Some(Written::Expr(literal @ Expr::Lit(_))) if entry.name == HANDLE => {
            Err(mistake(literal, format!("`{name}` takes an expression that gives an `Idempotency`"), help))
        }
        Some(Written::Expr(literal @ Expr::Lit(_))) => {
            Err(mistake(literal, format!("this `{name}` is the same for every request"), help))
        }
        Some(Written::Expr(closure @ Expr::Closure(_))) => {
            Err(mistake(closure, format!("`{name}` is evaluated where it stands, and takes no closure"), help))
        }
        Some(Written::Expr(expression)) => Ok(expression),
        _ => Err(mistake(name, format!("`{name}` needs a value"), help)),
    }
}

/// Whether the string holds what was meant as an expression, such as `"req.id"`.
fn is_quoted_expression(literal: &LitStr) -> bool {
    literal.parse::<Expr>().is_ok_and(|expression| !matches!(expression, Expr::Lit(_)))
}

fn read_principal(entry: &Entry, name: &Ident, written: Option<Written>) -> syn::Result<Expr> {
    let help = "write an expression over the handler's arguments, such as `principal = user.id`; where all requests are \
                one caller's, name it as a string, such as `principal = \"stripe\"`";
    let expression = match written {
        Some(Written::Expr(literal @ Expr::Lit(ExprLit { lit: Lit::Str(_), .. }))) => literal,
        Some(Written::Expr(literal @ Expr::Lit(_))) => {
            return Err(mistake(literal, format!("this `{name}` is the same for every request"), help));
        }
        other => read_expression(entry, name, other)?,
    };
    match part_that_names_nobody(&expression) {
        Some(part) => Err(mistake(part, "this names nobody, and so cannot say whose the key is", help)),
        None => Ok(expression),
    }
}

/// Only what can be seen without types; the rest is refused when a request comes.
fn part_that_names_nobody(expression: &Expr) -> Option<&Expr> {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) if literal.value().trim().is_empty() => Some(expression),
        Expr::Tuple(tuple) if tuple.elems.is_empty() => Some(expression),
        Expr::Tuple(tuple) => tuple.elems.iter().find_map(part_that_names_nobody),
        Expr::Path(path) if path.path.is_ident("None") => Some(expression),
        Expr::Paren(inner) => part_that_names_nobody(&inner.expr),
        Expr::Group(inner) => part_that_names_nobody(&inner.expr),
        Expr::Reference(inner) => part_that_names_nobody(&inner.expr),
        _ => None,
    }
}

/// As long as a namespace, so that a key has room for it.
const MAX_NAME: usize = 64;

fn read_name(entry: &Entry, option: &Ident, written: Option<Written>) -> syn::Result<LitStr> {
    let help = format!("write it as a string, such as `{}`", entry.usage);
    let literal = match written {
        Some(Written::Expr(Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }))) => literal,
        other => {
            let what = format!("`{option}` takes the string that the function is known by in the store");
            return Err(mistake(value_or_name(other, option), what, help));
        }
    };
    let name = literal.value();
    let is_legal = |char: char| char.is_ascii_alphanumeric() || "._:-".contains(char);
    let what = if name.is_empty() {
        "this is an empty name".to_owned()
    } else if name.chars().count() > MAX_NAME {
        format!("this name is longer than {MAX_NAME} characters")
    } else if let Some(other) = name.chars().find(|char| !is_legal(*char)) {
        format!("a name has no `{}`", other.escape_debug())
    } else {
        return Ok(literal);
    };
    let help = format!("write 1 to {MAX_NAME} of `A-Z a-z 0-9 . _ : -`, such as `{}`", entry.usage);
    Err(mistake(literal, what, help))
}

fn read_type(entry: &Entry, name: &Ident, written: Option<Written>) -> syn::Result<Type> {
    match written {
        Some(Written::Type(ty)) if !is_call(&ty) => Ok(ty),
        Some(Written::Expr(Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }))) if literal.parse::<Type>().is_ok() => {
            let help = format!("write it without quotes: `{name} = {}`", literal.value());
            Err(mistake(literal, format!("`{name}` takes a type, not a string"), help))
        }
        Some(value) => Err(no_type(entry, name, Some(value))),
        None => {
            Err(mistake(name, format!("`{name}` needs a type"), format!("name the type, such as `{}`", entry.usage)))
        }
    }
}

/// What stands at `tokens` is no type.
pub(super) fn no_type(entry: &Entry, name: &Ident, tokens: Option<impl ToTokens>) -> syn::Error {
    let what = format!("`{name}` takes the type of the router's state, not a value");
    mistake(value_or_name(tokens, name), what, format!("name the type, such as `{}`", entry.usage))
}

/// What is to blame where an option lacks its value, or has a wrong one.
fn value_or_name(value: Option<impl ToTokens>, name: &Ident) -> TokenStream {
    value.map_or_else(|| name.to_token_stream(), |value| value.to_token_stream())
}

/// `new()` parses as a type, with the arguments of a function trait.
fn is_call(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.iter().any(|segment| matches!(segment.arguments, PathArguments::Parenthesized(_)))
}
