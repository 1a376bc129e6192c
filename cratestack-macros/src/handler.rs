use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, FnArg, GenericParam, ReceiverKind, Signature, Type, Visibility};

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

/// The handler's generics as arguments of its path, because they could be inferred from a call's arguments alone.
pub(crate) fn turbofish(signature: &Signature) -> TokenStream {
    let parameters: Vec<_> = signature
        .generics
        .params
        .iter()
        .filter_map(|parameter| match parameter {
            GenericParam::Type(parameter) => Some(&parameter.ident),
            GenericParam::Const(parameter) => Some(&parameter.ident),
            GenericParam::Lifetime(_) => None,
        })
        .collect();
    if parameters.is_empty() { TokenStream::new() } else { quote!(::<#(#parameters),*>) }
}

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
