//! Where the attribute stands on something that is no handler, or stands twice.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Attribute, ReturnType};

use crate::context::mentions;
use crate::handler::Handler;
use crate::mistake::mistake;

const ON_A_HANDLER: &str = "put it on an `async fn`, or on a `fn` that returns a future";

/// Why `item` is no handler: what it is instead, or where its function goes wrong.
pub(crate) fn no_handler(item: &TokenStream, error: syn::Error) -> syn::Error {
    const KINDS: [(&str, &str); 13] = [
        ("struct", "a struct"),
        ("enum", "an enum"),
        ("union", "a union"),
        ("trait", "a trait"),
        ("impl", "an `impl` block"),
        ("mod", "a module"),
        ("static", "a static"),
        ("const", "a constant"),
        ("type", "a type alias"),
        ("use", "an import"),
        ("macro_rules", "a macro"),
        ("let", "a statement"),
        ("fn", ""),
    ];
    let mut first = None;
    let mut tokens = item.clone().into_iter().peekable();
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                tokens.next();
                continue;
            }
            TokenTree::Ident(ident) if ident == "pub" => {
                tokens.next_if(|next| matches!(next, TokenTree::Group(_)));
                continue;
            }
            TokenTree::Ident(ident) => {
                // `const fn`, `unsafe impl`: the last of these words says what it is.
                let qualifies = ["const", "unsafe", "async", "extern"].iter().any(|word| ident == word);
                let goes_on =
                    matches!(tokens.peek(), Some(TokenTree::Ident(next)) if KINDS.iter().any(|(word, _)| next == word));
                if qualifies && (goes_on || ident != "const") {
                    first.get_or_insert(token);
                    continue;
                }
                match KINDS.iter().find(|(word, _)| ident == word) {
                    Some(("fn", _)) => return error,
                    Some((_, kind)) => {
                        let what = format!("`#[idempotent]` goes on a handler, and this is {kind}");
                        return mistake(token, what, ON_A_HANDLER);
                    }
                    None => {}
                }
            }
            _ => {}
        }
        first.get_or_insert(token);
        break;
    }
    mistake(first, "`#[idempotent]` goes on a handler, and this is none", ON_A_HANDLER)
}

/// A function that lacks its body gets one, because the compiler would ask for it once more.
pub(crate) fn with_body(item: &TokenStream) -> TokenStream {
    let mut tokens: Vec<_> = item.clone().into_iter().collect();
    let has = |word: &str| tokens.iter().any(|token| matches!(token, TokenTree::Ident(ident) if ident == word));
    let ends = matches!(tokens.last(), Some(TokenTree::Punct(punct)) if punct.as_char() == ';');
    if ends && has("async") && has("fn") {
        tokens.pop();
        tokens.extend(quote!({ loop {} }));
    }
    tokens.into_iter().collect()
}

/// `main`, with the runtime's own attribute below this one, or above, where it leaves a plain `fn main()`.
pub(crate) fn entry_point(handler: &Handler, is_function: bool) -> Option<syn::Error> {
    let name = &handler.signature.ident;
    let is_plain = handler.signature.asyncness.is_none() && matches!(handler.signature.output, ReturnType::Default);
    let is_started = handler.attributes.iter().any(|attribute| is_named(attribute, "main"));
    let (what, help) = if is_function {
        ("`main` cannot be guarded", "put `#[idempotent]` on a function that `main` calls")
    } else {
        ("`main` is no handler", "put `#[idempotent]` on the function that is mounted on a route")
    };
    (name == "main" && (is_plain || is_started)).then(|| mistake(name, what, help))
}

/// Takes the attribute away that makes it a test.
pub(crate) fn test(handler: &mut Handler, is_function: bool) -> Option<syn::Error> {
    let test = take_attributes(handler, |attribute| {
        // What is called `test` elsewhere may be something else.
        let known = ["test", "core", "std", "tokio", "sqlx", "async_std", "test_log"];
        let first = attribute.path().segments.first();
        is_named(attribute, "test") && first.is_some_and(|first| known.iter().any(|known| first.ident == known))
    })?;
    Some(if is_function {
        mistake(test, "a test cannot be guarded", "put `#[idempotent]` on the function that the test calls")
    } else {
        let help = "put `#[idempotent]` on a handler, and call the router that it is mounted on from the test";
        mistake(test, "a test is no handler", help)
    })
}

/// Takes the attribute away where it stands once more.
pub(crate) fn given_twice(handler: &mut Handler) -> Option<syn::Error> {
    let again = take_attributes(handler, |attribute| is_named(attribute, "idempotent"))?;
    let help = "write all options in one: `#[idempotent(ttl = \"24h\", …)]`";
    Some(mistake(again, "`#[idempotent]` is given twice", help))
}

/// Takes the attributes away that make items beside the handler: where the handler has moved, others would not find
/// them. utoipa's makes a type that is named after it.
pub(crate) fn belongs_above(handler: &mut Handler) -> Option<Vec<Attribute>> {
    let is_path = |attribute: &Attribute| {
        let path = attribute.path();
        // Its own module has a `path` for it, which many import.
        let makes_a_path = path.is_ident("path") || is_named(attribute, "path") && starts_with(attribute, "utoipa");
        makes_a_path || path.is_ident("cfg_attr") && mentions(attribute.meta.to_token_stream(), "utoipa")
    };
    let above = take_all(handler, is_path);
    (!above.is_empty()).then_some(above)
}

/// Takes all of these attributes from the handler, and gives the first.
fn take_attributes(handler: &mut Handler, these: impl FnMut(&Attribute) -> bool) -> Option<Attribute> {
    take_all(handler, these).into_iter().next()
}

/// Takes all of these attributes from the handler.
fn take_all(handler: &mut Handler, these: impl FnMut(&Attribute) -> bool) -> Vec<Attribute> {
    let (taken, others): (Vec<_>, _) = handler.attributes.drain(..).partition(these);
    handler.attributes = others;
    taken
}

fn starts_with(attribute: &Attribute, name: &str) -> bool {
    attribute.path().segments.first().is_some_and(|segment| segment.ident == name)
}

fn is_named(attribute: &Attribute, name: &str) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == name)
}
