use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, FnArg, GenericParam, Ident, ReceiverKind, Signature, Type, Visibility, parse_quote};

use crate::mistake::mistake;
use crate::names::MentionedNames;

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
        let body = match ungrouped(input.parse()?) {
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => body,
            other => {
                let help = "put `#[idempotent]` on a function that has one, free or of a type's own `impl`";
                return Err(mistake(other, "a handler has a body", help));
            }
        };
        Ok(Self { attributes, visibility, signature, body })
    }
}

/// What an invisible group has in it, where that is one token: a `$body:block` of a `macro_rules!` comes in one.
pub(crate) fn ungrouped(token: TokenTree) -> TokenTree {
    let TokenTree::Group(group) = &token else { return token };
    let mut inside = group.stream().into_iter();
    match (group.delimiter(), inside.next(), inside.next()) {
        (Delimiter::None, Some(only), None) => ungrouped(only),
        _ => token,
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

    /// Counts the arguments as used that the attribute's expressions name, and that the body may have no use for: the
    /// compiler would advise to write `_user`, which the expressions then do not find.
    pub(crate) fn count_as_used(&mut self, mentioned: &MentionedNames) {
        let used = self.signature.inputs.iter().flat_map(|argument| match argument {
            FnArg::Typed(argument) => mentioned.bound_by(&argument.pat),
            FnArg::Receiver(receiver) => {
                let receiver = Ident::new("self", receiver.self_token.span);
                mentioned.has(&receiver).then_some(receiver).into_iter().collect()
            }
        });
        // Of a name with an underscore nobody expects a use.
        let used: Vec<_> = used.filter(|name| !name.to_string().starts_with('_')).collect();
        if used.is_empty() {
            return;
        }
        if self.signature.asyncness.is_none() {
            // Used by reference, it could be taken by reference; but not by a handler.
            self.attributes.push(parse_quote!(#[allow(clippy::needless_pass_by_value)]));
        }
        let mut body: Vec<_> = self.body.stream().into_iter().collect();
        // Attributes like `#![allow(…)]` are the first of a body.
        let mut start = 0;
        while matches!(body.get(start..), Some([TokenTree::Punct(hash), TokenTree::Punct(not), TokenTree::Group(_), ..])
            if hash.as_char() == '#' && not.as_char() == '!')
        {
            start += 3;
        }
        let statements = body.split_off(start);
        let stream = quote!(#(#body)* #(let _ = &#used;)* #(#statements)*);
        let mut group = Group::new(Delimiter::Brace, stream);
        group.set_span(self.body.span());
        self.body = group;
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
            TokenTree::Ident(ident) if ident == "self" => match tokens.peek() {
                Some(TokenTree::Punct(punct)) if punct.as_char() == ':' => {}
                _ => return true,
            },
            // `use self::…` and `pub(self)` name the module.
            TokenTree::Ident(ident) if ident == "use" || ident == "pub" => {
                tokens.next_if(|next| matches!(next, TokenTree::Group(_)));
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
