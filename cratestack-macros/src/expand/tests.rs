//! What comes out: the expansion of three handlers, whole; and that nothing that goes in makes the macro panic.

use std::path::Path;

use proc_macro2::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use proptest::prelude::*;

use super::idempotent;

/// Compares with the file, which `BLESS=1` writes anew.
fn pinned(name: &str, attribute: &str, item: &str) {
    let expansion = idempotent(attribute.parse().unwrap(), item.parse().unwrap());
    // A method among them is none without its impl block.
    let file = syn::parse2(expansion.clone()).or_else(|_| syn::parse2(quote::quote!(impl Shop { #expansion })));
    let text = prettyplease::unparse(&file.unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/expand/pinned").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let pinned = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, pinned, "{name} has changed; look at it, then run the test with BLESS=1");
}

#[test]
fn the_smallest_handler() {
    pinned("smallest.rs", "", "async fn pay() {}");
}

#[test]
fn a_handler_with_options_and_parts() {
    pinned(
        "parts.rs",
        r#"ttl = "24h", wait = "5s", key = req.id, principal = (user.tenant, user.name), body_limit = 1024"#,
        "/// Pays.
        #[tracing::instrument]
        pub async fn pay<S: Shop>(State(shop): State<S>, mut user: User, Json(req): Json<Pay>) -> Result<Paid, Failed> {
            shop.pay(user, req).await
        }",
    );
}

#[test]
fn an_associated_handler() {
    pinned("associated.rs", "optional", "fn pay(self) -> Pin<Box<dyn Future<Output = Self> + Send>> { self.go() }");
}

/// An editor expands while its user types: the function must stay there, so that names resolve and completion works.
#[test]
fn half_typed_input_still_gives_the_function() {
    for (attribute, item) in [
        ("ttl = ", "async fn pay(Json(req): Json<Pay>) -> String { req.amount }"),
        ("tt", "async fn pay(Json(req): Json<Pay>) -> String { req.amount }"),
        ("key = req.", "async fn pay(Json(req): Json<Pay>) -> String { req.amount }"),
        ("", "async fn pay(Json(req): Json<Pay>) -> String { req. }"),
        ("", "async fn pay(Json(req): Json<Pay>) -> String { let x = match req { }"),
        ("", "async fn pay(Json(req): Json<Pay>) -> String { if }"),
        ("", "async fn pay(Json(req): ) -> String { req }"),
    ] {
        // What is not even balanced never reaches a macro.
        let Ok(item) = item.parse::<TokenStream>() else { continue };
        let expansion = idempotent(attribute.parse().unwrap(), item).to_string();
        assert!(expansion.contains("async fn pay"), "{attribute}: {expansion}");
        assert!(expansion.contains("req"), "the body is kept: {expansion}");
    }
}

fn token() -> impl Strategy<Value = TokenTree> {
    let words = prop::sample::select(vec![
        "async",
        "fn",
        "pub",
        "self",
        "Self",
        "impl",
        "struct",
        "const",
        "unsafe",
        "extern",
        "mut",
        "where",
        "dyn",
        "move",
        "return",
        "await",
        "ttl",
        "lease",
        "wait",
        "optional",
        "record",
        "success",
        "key",
        "principal",
        "fingerprint",
        "state",
        "body_limit",
        "pay",
        "req",
        "T",
        "_",
    ]);
    let leaf = prop_oneof![
        words.prop_map(|word| TokenTree::Ident(Ident::new(word, Span::call_site()))),
        prop::sample::select("=,;:<>&#!?.-|@'*+".chars().collect::<Vec<_>>())
            .prop_filter_map("a quote alone", |punct| {
                (punct != '\'').then(|| TokenTree::Punct(Punct::new(punct, Spacing::Alone)))
            }),
        prop::sample::select(vec![":", "-", "="])
            .prop_map(|punct| { TokenTree::Punct(Punct::new(punct.chars().next().unwrap_or(':'), Spacing::Joint)) }),
        ".{0,12}".prop_map(|text| TokenTree::Literal(Literal::string(&text))),
        any::<u64>().prop_map(|number| TokenTree::Literal(Literal::u64_unsuffixed(number))),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let delimiter = prop::sample::select(vec![Delimiter::Parenthesis, Delimiter::Brace, Delimiter::Bracket]);
        (delimiter, prop::collection::vec(inner, 0..8))
            .prop_map(|(delimiter, tokens)| TokenTree::Group(Group::new(delimiter, tokens.into_iter().collect())))
    })
}

fn tokens() -> impl Strategy<Value = TokenStream> {
    prop::collection::vec(token(), 0..24).prop_map(|tokens| tokens.into_iter().collect())
}

/// A real function, from which a test takes the beginning.
const WHOLE: &str = "
    /// Docs.
    #[cfg(all())]
    pub(crate) async fn pay<T: Clone, const N: usize>(
        self,
        State(app): State<App<T>>,
        mut headers: HeaderMap,
        Json(req): Json<[Pay; N]>,
    ) -> Result<(StatusCode, Json<Paid>), ApiError> where T: Send { let x = self.y; Ok(x) }
";

const OPTIONS: &str = r#"
    ttl = "24h", lease = "30s", wait = "5s", record = success, on_store_error = run, body_limit = 9,
    key = (req.id, { let t = 1; t }), principal = user.id, fingerprint = |x| x?, state = App<Vec<u8>>, optional
"#;

fn half(source: &str, length: usize) -> TokenStream {
    let all: Vec<TokenTree> = source.parse::<TokenStream>().unwrap().into_iter().collect();
    all.into_iter().take(length).collect()
}

proptest! {
    #[test]
    fn random_tokens_never_panic(attribute in tokens(), item in tokens()) {
        idempotent(attribute, item);
    }

    #[test]
    fn half_of_a_real_function_never_panics(options in 0..80_usize, item in 0..40_usize, more in tokens()) {
        let mut item = half(WHOLE, item);
        item.extend(more);
        idempotent(half(OPTIONS, options), item);
    }

    /// Whatever the options are, a function with a body stays there under its name.
    #[test]
    fn a_function_is_always_emitted(attribute in tokens()) {
        let expansion = idempotent(attribute, WHOLE.parse().unwrap()).to_string();
        prop_assert!(expansion.contains("async fn pay"), "{expansion}");
    }
}
