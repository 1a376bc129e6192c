//! The attribute as a function of tokens.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use proc_macro2::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use quote::{ToTokens, quote};

use crate::options::TABLE;

fn expand(may_stand_in_impl: bool, attribute: &TokenStream, item: &TokenStream) -> TokenStream {
    crate::expand::idempotent(&quote!(::cratestack_runtime::__private), may_stand_in_impl, attribute, item)
}

/// Whether the source is written as in an `impl`.
fn is_indented(source: &str) -> bool {
    source.starts_with(' ')
}

/// Takes a handler as it is written apart, into what the attribute says and the function.
fn apart(source: &str) -> (TokenStream, TokenStream) {
    let mut function: syn::ItemFn = syn::parse_str(source).unwrap();
    let position = function.attrs.iter().position(|attribute| attribute.path().is_ident("idempotent")).unwrap();
    let attribute = match function.attrs.remove(position).meta {
        syn::Meta::List(list) => list.tokens,
        _ => TokenStream::new(),
    };
    (attribute, function.into_token_stream())
}

/// `BLESS=1` pins the expansions anew.
#[test]
fn expansions_are_pinned() {
    for (path, source) in pinned() {
        let (attribute, item) = apart(&source);
        let expansion = prettyplease::unparse(&syn::parse2(expand(is_indented(&source), &attribute, &item)).unwrap());
        let pinned = path.with_extension("").with_extension("out.rs");
        if env::var_os("BLESS").is_some() {
            fs::write(&pinned, &expansion).unwrap();
        }
        assert_eq!(fs::read_to_string(&pinned).unwrap(), expansion, "{}", path.display());
    }
}

/// The handlers of `tests/expansion`: one for each mode, and for each way to refuse one.
fn pinned() -> Vec<(PathBuf, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expansion");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".in.rs"));
    paths.sort();
    assert!(paths.len() >= 20);
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Every name in the tokens that is looked up where they stand: not behind a `.` or a `::`.
fn names(tokens: TokenStream, found: &mut BTreeSet<String>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let at = |index: Option<usize>| index.map(|index| &tokens[index]);
    let is = |index: Option<usize>, mark: char| matches!(at(index), Some(TokenTree::Punct(punct)) if punct.as_char() == mark);
    for (index, token) in tokens.iter().enumerate() {
        let back = |count| index.checked_sub(count);
        match token {
            // A lint is no name of the language's.
            TokenTree::Group(_) if is(back(1), '#') => {}
            TokenTree::Group(group) => names(group.stream(), found),
            TokenTree::Ident(ident) if is(back(1), ':') && is(back(2), ':') => {
                let goes_on = matches!(at(back(3)), Some(TokenTree::Ident(_))) || is(back(3), '>');
                if !goes_on {
                    found.insert(format!("::{ident}"));
                }
            }
            TokenTree::Ident(_) if is(back(1), '.') => {}
            TokenTree::Ident(ident) => {
                found.insert(ident.to_string());
            }
            _ => {}
        }
    }
}

#[test]
fn generated_code_names_the_runtime_and_what_the_user_named() {
    const KEYWORDS: [&str; 14] =
        ["Self", "_", "as", "async", "false", "fn", "if", "let", "move", "mut", "ref", "return", "true", "use"];
    for (path, source) in pinned() {
        let (attribute, item) = apart(&source);
        let (mut given, mut made) = (BTreeSet::new(), BTreeSet::new());
        names(quote!(#attribute #item), &mut given);
        let expansion = expand(is_indented(&source), &attribute, &item);
        let is_refused = expansion.to_string().contains("compile_error");
        names(expansion, &mut made);
        made.retain(|name| {
            // The traits of `__private`, imported without their names.
            let ours = ["::cratestack_runtime", "__idempotent_", "idempotent_", "Any"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
            // `compile_error!` has a whole path.
            let is_error = is_refused && name == "::core";
            !given.contains(name) && !ours && !is_error && !KEYWORDS.contains(&&**name)
        });
        assert_eq!(made, BTreeSet::new(), "{}", path.display());
    }
}

/// Beside the pinned ones, shapes that a mutation hardly comes by.
const ODD_HANDLERS: [&str; 5] = [
    "#[idempotent(optional, record = success, wait = \"5s\")] #[cfg(all())] pub(crate) async fn pay<'a, T: 'static, \
     const N: usize>(self: Box<Self>, [first, ..]: Query<[T; N]>) -> Result<impl IntoResponse, Self> where T: Send { \
     let line = vec![self.x]; match line { _ => Ok(()) } }",
    "#[idempotent(fingerprint = { let mut x = &a; x += 1; loop { break 7; } }, state = App<fn(u8) -> u8>)] const \
     unsafe extern \"C\" fn pay(&mut self, a: &str, _: impl Send, ...) {}",
    "#[idempotent(name = \"pay\", handle = self.0, key = (a, &b[..]), record = all, wait = \"5s\")] #[cfg(all())] \
     pub(crate) async fn pay<'a, T: 'a, const N: usize>(&'a mut self, (a, ..): (u64, T), b: &'a [u8; N], r: \
     Reservation<Postgres>) -> ::std::result::Result<Vec<T>, Self::Error> where T: Send { let _ = r; Err(self.1) }",
    "#[idempotent(name = \"\", handle = { h }, key = 7, transaction, commit = all, retry = 3, isolation = \
     serializable)] const unsafe extern \"C\" fn book(mut tx: Tx<Tx<Sqlite>>, _: &dyn Send, ...) -> \
     Pin<Box<dyn Future<Output = Result<!, ()>> + '_>> { async move { tx } }",
    "#[idempotent(key = a.await?, on_store_error = run, lease = \"1h 30m\")] #[idempotent] #[test] async fn main(r#in: \
     &'static str, ref mut a: (u8,)) -> ! { return }",
];

fn handlers() -> Vec<String> {
    let pinned = pinned().into_iter().map(|(_, source)| source);
    pinned.chain(ODD_HANDLERS.map(str::to_owned)).collect()
}

/// The first `left` tokens, in the order in which they are typed.
fn typed(tokens: TokenStream, left: &mut usize) -> TokenStream {
    let mut typed_so_far = TokenStream::new();
    for token in tokens {
        if *left == 0 {
            break;
        }
        *left -= 1;
        typed_so_far.extend([match token {
            TokenTree::Group(group) => Group::new(group.delimiter(), typed(group.stream(), left)).into(),
            other => other,
        }]);
    }
    typed_so_far
}

fn count(tokens: TokenStream) -> usize {
    tokens
        .into_iter()
        .map(|token| if let TokenTree::Group(group) = token { 1 + count(group.stream()) } else { 1 })
        .sum()
}

fn identifiers(tokens: TokenStream, found: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => identifiers(group.stream(), found),
            TokenTree::Ident(ident) => {
                found.insert(ident.to_string());
            }
            _ => {}
        }
    }
}

/// While a handler is typed, everything that stands there already comes out again: completion works on what comes out.
#[test]
fn a_handler_that_is_half_typed_is_emitted() {
    for (path, source) in pinned() {
        let (attribute, item) = apart(&source);
        // In these, words and attributes that the compiler would refuse once more are taken away.
        if path.ends_with("refused.in.rs") || path.ends_with("refused_test.in.rs") {
            continue;
        }
        for mut length in 1..count(item.clone()) {
            let half = typed(item.clone(), &mut length);
            let (mut given, mut emitted) = (BTreeSet::new(), BTreeSet::new());
            identifiers(half.clone(), &mut given);
            // It is emitted as `allow`.
            given.remove("expect");
            identifiers(expand(is_indented(&source), &attribute, &half), &mut emitted);
            assert!(given.is_subset(&emitted), "{half}");
        }
    }
}

/// A handler with half an attribute still expands, and the mistake is told.
#[test]
fn half_an_attribute_keeps_the_handler() {
    for (path, source) in pinned() {
        // It changes places with the other attribute.
        if path.ends_with("utoipa_below.in.rs") {
            continue;
        }
        let (attribute, item) = apart(&source);
        let name = syn::parse2::<syn::ItemFn>(item.clone()).unwrap().sig.ident;
        for mut length in 0..count(attribute.clone()) {
            let expansion = expand(is_indented(&source), &typed(attribute.clone(), &mut length), &item);
            let file: syn::File = syn::parse2(expansion).unwrap();
            let is_emitted =
                file.items.iter().any(|item| matches!(item, syn::Item::Fn(item) if item.sig.ident == name));
            assert!(is_emitted);
        }
    }
}

/// Words beside the options' own: those that the attribute looks for, and those that begin something.
const OTHER_WORDS: &str = "req self Self fn async const unsafe extern pub struct impl trait enum mod let mut ref where \
                           dyn for await return break loop match if idempotent test main _";

fn token() -> impl Strategy<Value = TokenTree> {
    let options = TABLE.iter().flat_map(|entry| [&[entry.name][..], entry.words()].concat());
    let words: Vec<_> = options.chain(OTHER_WORDS.split(' ')).collect();
    let word = select(words).prop_map(|word| TokenTree::from(Ident::new(word, Span::call_site())));
    let punct = (select("=,.:;#!?&*+-<>|'@$%^~/".chars().filter(|c| *c != '\'').collect::<Vec<_>>()), any::<bool>())
        .prop_map(|(mark, joint)| Punct::new(mark, if joint { Spacing::Joint } else { Spacing::Alone }).into());
    let literal =
        select(&["\"24h\"", "\"\"", "\"req.id\"", "\"µ\"", "7", "-1", "0x1f_u8", "1.5", "'c'", "b\"x\"", "'a"][..])
            .prop_map(|text| text.parse::<TokenStream>().unwrap().into_iter().last().unwrap());
    let leaf = prop_oneof![4 => word, 4 => punct, 2 => literal];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let delimiter = select(&[Delimiter::Parenthesis, Delimiter::Brace, Delimiter::Bracket, Delimiter::None][..]);
        (delimiter, vec(inner, 0..8))
            .prop_map(|(delimiter, tokens)| Group::new(delimiter, tokens.into_iter().collect()).into())
    })
}

fn tokens() -> impl Strategy<Value = TokenStream> {
    vec(token(), 0..24).prop_map(|tokens| tokens.into_iter().collect())
}

/// A handler with some of its tokens replaced, left out or doubled.
fn mutated(tokens: TokenStream, changes: &mut impl Iterator<Item = (u8, TokenTree)>) -> TokenStream {
    let mut altered = TokenStream::new();
    for token in tokens {
        let token: TokenTree = match token {
            TokenTree::Group(group) => Group::new(group.delimiter(), mutated(group.stream(), changes)).into(),
            other => other,
        };
        match changes.next() {
            Some((0, other)) => altered.extend([other]),
            Some((1, _)) => {}
            Some((2, _)) => altered.extend([token.clone(), token]),
            Some((3, other)) => altered.extend([token, other]),
            _ => altered.extend([token]),
        }
    }
    altered
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_tokens_panic(may_stand_in_impl in any::<bool>(), attribute in tokens(), item in tokens()) {
        let expansion = expand(may_stand_in_impl, &attribute, &item);
        // Whatever is no handler is told so.
        prop_assert!(expansion.to_string().contains("compile_error") || syn::parse2::<syn::File>(expansion).is_ok());
    }

    #[test]
    fn no_half_of_a_handler_panics(
        source in select(handlers()),
        may_stand_in_impl in any::<bool>(),
        attribute_length in 0_usize..40,
        length in 0_usize..100,
        changes in vec((0_u8..24, token()), 0..100),
    ) {
        let (attribute, item) = apart(&source);
        let mut changes = changes.into_iter();
        let attribute = typed(mutated(attribute, &mut changes), &mut attribute_length.clone());
        let item = typed(mutated(item, &mut changes), &mut length.clone());
        expand(may_stand_in_impl, &attribute, &item);
    }
}
