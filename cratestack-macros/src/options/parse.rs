use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Ident, LitStr, Token};

use super::given::{Given, Options};
use super::table::{Entry, Takes, entry, listed, names, nearest};
use super::values::{self, Written};
use super::{duration, given};
use crate::mistake::{Mistakes, mistake, mistake_at};

/// Reads the attribute. What was understood is kept, so that the handler still expands.
pub(crate) fn parse(attribute: TokenStream, mistakes: &mut Mistakes) -> Options {
    let mut options = Options::default();
    let read = |input: ParseStream<'_>| -> syn::Result<()> {
        while !input.is_empty() {
            // What does not even parse ends the reading: nothing after it can be trusted.
            let (name, written) = setting(input)?;
            if options.names.contains(&name) {
                let what = format!("`{name}` is given twice");
                mistakes.add(mistake(&name, what, "remove one of the two"));
                continue;
            }
            options.names.push(name.clone());
            let Some(entry) = entry(&name) else {
                mistakes.add(unknown(&name));
                continue;
            };
            if let Some(value) = values::read(entry, &name, written, mistakes) {
                options.given.push(Given { entry, name, value });
            }
        }
        Ok(())
    };
    let read = read.parse2(attribute);
    mistakes.take(read);
    mistakes.take(given::check(&mut options));
    options
}

/// Reads one `name` or `name = value`, and the comma after it.
fn setting(input: ParseStream<'_>) -> syn::Result<(Ident, Option<Written>)> {
    let Ok(name) = input.call(Ident::parse_any) else { return Err(no_name(input)) };
    let written = if input.peek(Token![=]) && !input.peek(Token![==]) {
        input.parse::<Token![=]>()?;
        Some(value(&name, input)?)
    } else {
        None
    };
    if !input.is_empty() && input.parse::<Option<Token![,]>>()?.is_none() {
        return Err(no_comma(&name, written.is_some(), input));
    }
    Ok((name, written))
}

fn value(name: &Ident, input: ParseStream<'_>) -> syn::Result<Written> {
    let entry = entry(name);
    let usage = || {
        entry
            .map_or_else(|| format!("the options are {}", listed(&names())), |entry| format!("write `{}`", entry.usage))
    };
    if input.is_empty() || input.peek(Token![,]) {
        let span = if input.is_empty() { name.span() } else { input.span() };
        return Err(mistake_at(span, format!("the value of `{name}` is missing"), usage()));
    }
    if let Some(entry @ Entry { takes: Takes::Type, .. }) = entry
        && !input.peek(syn::Lit)
    {
        return input.parse().map(Written::Type).map_err(|_| values::no_type(entry, name, next(input).as_ref()));
    }
    let start = input.span();
    let mut value = input.parse().map_err(|error| {
        let span = if input.is_empty() { start } else { error.span() };
        mistake_at(span, format!("this is no value for `{name}`"), usage())
    })?;
    // What a `macro_rules!` passes on stands in a group that nobody wrote.
    while let Expr::Group(group) = value {
        value = *group.expr;
    }
    Ok(Written::Expr(value))
}

fn unknown(name: &Ident) -> syn::Error {
    let help = match nearest(&name.to_string(), &names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the options are {}", listed(&names())),
    };
    mistake(name, format!("`{name}` is not an option of `idempotent`"), help)
}

/// Something stands where an option's name belongs.
fn no_name(input: ParseStream<'_>) -> syn::Error {
    let what = "an option of `idempotent` is a name";
    if let Ok(literal) = input.fork().parse::<LitStr>()
        && duration::parse(&literal).is_ok()
    {
        return mistake(&literal, what, format!("write `ttl = {}`", literal.token()));
    }
    mistake(next(input), what, format!("write one of {}", listed(&names())))
}

/// An option goes on where it should have ended.
fn no_comma(name: &Ident, has_value: bool, input: ParseStream<'_>) -> syn::Error {
    let next = next(input);
    if matches!(&next, Some(TokenTree::Punct(punct)) if punct.as_char() == ';') {
        return mistake(next, "options are separated by commas", "write `,` here");
    }
    let this = entry(name);
    if let Some(TokenTree::Ident(option)) = &next
        && entry(option).is_some()
        && (has_value || this.is_some_and(Entry::is_flag))
    {
        let value = if has_value { " = …" } else { "" };
        let what = format!("a comma is missing before `{option}`");
        return mistake(option, what, format!("write `{name}{value}, {option}`"));
    }
    if has_value {
        if let Some(entry @ Entry { takes: Takes::Type, .. }) = this {
            return values::no_type(entry, name, next.as_ref());
        }
        return mistake(next, format!("`{name}` has its value already"), "remove this, or put a comma before it");
    }
    let usage = this.map_or_else(|| format!("one of {}", listed(&names())), |entry| format!("`{}`", entry.usage));
    let what = match &next {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            format!("`{name}` is no function; its value comes after `=`")
        }
        Some(TokenTree::Punct(_)) => format!("this does not belong after `{name}`"),
        _ => format!("`=` is missing after `{name}`"),
    };
    mistake(next, what, format!("write {usage}"))
}

/// The next token, whatever it is.
fn next(input: ParseStream<'_>) -> Option<TokenTree> {
    input.fork().parse().ok()
}
