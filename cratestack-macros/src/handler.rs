use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, FnArg, ReceiverKind, Signature, Type, Visibility};

use crate::mistake::mistake;

/// A function, its body left as tokens: a body that is half typed must not keep the rest from being emitted.
pub(crate) struct Handler {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    pub(crate) body: Group,
}

impl Parse for Handler {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = input.parse()?;
        let body = match input.parse()? {
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => body,
            other => {
                let help = "put `#[idempotent]` on a function that has one, free or of a type's own `impl`";
                return Err(mistake(other, "a handler has a body", help));
            }
        };
        Ok(Self { attributes, visibility, signature, body })
    }
}

impl ToTokens for Handler {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        for attribute in &self.attributes {
            attribute.to_tokens(tokens);
        }
        self.visibility.to_tokens(tokens);
        self.signature.to_tokens(tokens);
        self.body.to_tokens(tokens);
    }
}

impl Handler {
    /// The types of all arguments, the receiver's too.
    pub(crate) fn argument_types(&self) -> Vec<Type> {
        let types = self.signature.inputs.iter().map(|argument| match argument {
            FnArg::Typed(argument) => (*argument.ty).clone(),
            FnArg::Receiver(receiver) => {
                let own = quote_spanned!(receiver.self_token.span=> Self);
                match &receiver.kind {
                    ReceiverKind::Typed(_, ty) => (**ty).clone(),
                    ReceiverKind::Reference(ampersand, lifetime, mutability) => {
                        Type::Verbatim(quote!(#ampersand #lifetime #mutability #own))
                    }
                    _ => Type::Verbatim(own),
                }
            }
        });
        types.collect()
    }

    /// Whether the function can only be an associated one: an inner function could not say `Self` or `self`.
    pub(crate) fn is_associated(&self) -> bool {
        names_self(self.signature.to_token_stream()) || names_self(self.body.stream())
    }
}

/// Why `item` is no handler: what it is instead, or where its function goes wrong.
pub(crate) fn refuse(item: &TokenStream, error: syn::Error) -> syn::Error {
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

const ON_A_HANDLER: &str = "put it on an `async fn`, or on a `fn` that returns a future";

/// Whether the tokens mean the enclosing type by `Self` or `self`. Items that bring a `Self` of their own are skipped,
/// and so are paths that start at the current module.
fn names_self(tokens: TokenStream) -> bool {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) if names_self(group.stream()) => return true,
            TokenTree::Ident(ident) if ident == "Self" => return true,
            TokenTree::Ident(ident) if ident == "self" => {
                let in_path = matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
                if !in_path {
                    return true;
                }
            }
            TokenTree::Ident(ident) if ident == "use" || ident == "pub" => {
                // `use self::…` and `pub(self)` name the module.
                if matches!(tokens.peek(), Some(TokenTree::Group(_))) {
                    tokens.next();
                }
            }
            TokenTree::Ident(ident) if ["impl", "trait", "struct", "enum"].iter().any(|item| ident == item) => {
                let ends = |token: &TokenTree| match token {
                    TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                    TokenTree::Punct(punct) => punct.as_char() == ';',
                    _ => false,
                };
                tokens.by_ref().find(ends);
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::names_self;

    #[test]
    fn finds_the_enclosing_type_only() {
        let means = |source: &str| names_self(source.parse().unwrap());
        assert!(means("let x = Self::NEW;"));
        assert!(means("vec![self.id]"));
        assert!(means("move || { self }"));
        assert!(!means("self::helper()"));
        assert!(!means("pub(self) fn f() {}"));
        assert!(!means("impl Tax { fn of(&self) -> Self { *self } } 1"));
        assert!(!means("struct Node(Option<Box<Self>>); 1"));
        assert!(!means("enum Tree { Leaf, Fork(Box<Self>) }"));
        assert!(means("impl Tax {} self.x"));
    }
}
