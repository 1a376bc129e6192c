use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{Expr, Ident};

use super::table::{BuilderCall, Entry, HANDLE, HAS_TRANSACTIONS, TABLE};
use super::values::Value;
use crate::mistake::{mistake, mistake_at};

/// What the attribute says.
#[derive(Default)]
pub(crate) struct Options {
    pub(super) given: Vec<Given>,
    /// The names of all options that are there, also of those whose value is none.
    pub(super) names: Vec<Ident>,
}

/// An option as it was given: its name where it stands, and its value.
pub(super) struct Given {
    pub(super) entry: &'static Entry,
    pub(super) name: Ident,
    pub(super) value: Value,
}

impl Options {
    fn get(&self, name: &str) -> Option<&Given> {
        debug_assert!(TABLE.iter().any(|entry| entry.name == name), "`{name}` is not in the table");
        self.given.iter().find(|given| given.entry.name == name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether the option is there, also where its value is none.
    pub(crate) fn was_given(&self, name: &str) -> bool {
        self.names.iter().any(|given| given == name)
    }

    /// The option's name where it stands.
    pub(crate) fn name(&self, name: &str) -> Option<&Ident> {
        self.get(name).map(|given| &given.name)
    }

    /// The option's name where it stands, where its value is this word.
    pub(crate) fn name_with(&self, name: &str, word: &str) -> Option<&Ident> {
        self.get(name).filter(|given| given.value.is_word(word)).map(|given| &given.name)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.get(name).map(|given| &given.value)
    }

    /// The options that are expressions over the handler's arguments, in the table's order.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = (&'static str, &Expr)> {
        TABLE.iter().filter_map(|entry| match self.value(entry.name)? {
            Value::Expression(expression) => Some((entry.name, expression)),
            _ => None,
        })
    }

    /// Those of them that a request, or a call, is known by.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&'static str, &Expr)> {
        self.expressions().filter(|(name, _)| *name != HANDLE)
    }

    /// The expression that the handle is taken from.
    pub(crate) fn handle(&self) -> Option<&Expr> {
        match self.value(HANDLE)? {
            Value::Expression(expression) => Some(expression),
            _ => None,
        }
    }

    /// Of a function: whether an error is recorded, and does not free the key.
    pub(crate) fn records_errors(&self) -> bool {
        self.name_with("record", "all").is_some()
    }

    /// Whether it is known only after the extractors that a request runs unguarded.
    pub(crate) fn may_lack_key(&self) -> bool {
        self.has("key") && self.has("optional")
    }

    /// What the attribute stands on.
    pub(crate) fn subject(&self) -> &'static str {
        if self.has("name") { "function" } else { "handler" }
    }

    /// The runtime's `Options`, a constant.
    pub(crate) fn builder(&self, private: &TokenStream) -> TokenStream {
        let calls = TABLE.iter().filter_map(|entry| self.get(entry.name)?.builder_call());
        quote!(#private::Options::new() #(#calls)*)
    }
}

impl Given {
    fn builder_call(&self) -> Option<TokenStream> {
        let (method, argument) = match (self.entry.builder_call, &self.value) {
            (BuilderCall::WithValue(method), value) => (method, value.to_token_stream()),
            (BuilderCall::ByWord(methods), value) => {
                (methods.iter().find(|(word, _)| value.is_word(word))?.1, TokenStream::new())
            }
            (BuilderCall::WhetherWord(word, method), value) => (method, value.is_word(word).to_token_stream()),
            (BuilderCall::NamedByWord, Value::Word(word)) => (*word, TokenStream::new()),
            _ => return None,
        };
        let method = Ident::new(method, Span::mixed_site());
        Some(quote!(.#method(#argument)))
    }
}

/// Reports the first conflict between options, because others often come of it.
pub(super) fn check(options: &mut Options) -> syn::Result<()> {
    if !HAS_TRANSACTIONS && let Some(transaction) = options.name("transaction").cloned() {
        options.given.retain(|given| given.name != transaction);
        let help = "turn on the feature `postgres` or `sqlite` of `cratestack-runtime`";
        return Err(mistake(transaction, "no store that is built in has transactions", help));
    }
    if let Some(Value::Duration { milliseconds: ttl_ms, .. }) = options.value("ttl")
        && let Some(Value::Duration { milliseconds: lease_ms, span }) = options.value("lease")
        && lease_ms > ttl_ms
    {
        let help = "write a shorter `lease`, or keep the outcome longer with `ttl`";
        return Err(mistake_at(*span, "the lease is longer than the outcome is kept", help));
    }
    if options.has("name") {
        check_of_function(options)?;
    }
    for given in &options.given {
        if given.entry.in_transaction && !options.has("transaction") {
            let option = &given.name;
            let what = format!("`{option}` is about a transaction, and this {} runs in none", options.subject());
            return Err(mistake(option, what, format!("write `transaction, {option} = …`, or remove `{option}`")));
        }
    }
    if let (true, Some(run)) = (options.has("transaction"), options.name_with("on_store_error", "run")) {
        let subject = options.subject();
        let what = format!("a {subject} with `transaction` cannot run without the store, which begins the transaction");
        return Err(mistake(run, what, "remove `on_store_error`, or `transaction`"));
    }
    if let (Some(commit), Some(_)) = (options.name_with("commit", "all"), options.name_with("record", "success")) {
        let what = "what an error wrote would be committed without a record, and a retry would write it again";
        return Err(mistake(commit, what, "remove `commit = all`, or `record = success`"));
    }
    Ok(())
}

/// Reports what is about requests, and about responses, on a function that has neither.
fn check_of_function(options: &Options) -> syn::Result<()> {
    const OF_HANDLERS: [(&str, &str); 3] = [
        ("optional", "a call without a key is an error"),
        ("body_limit", "there is no body to be bounded"),
        ("state", "the handle is named by `handle = …`"),
    ];
    for (option, why) in OF_HANDLERS {
        if let Some(given) = options.name(option) {
            let what = format!("`{option}` is about requests, and a function with `name` has none: {why}");
            return Err(mistake(given, what, format!("remove `{option}`")));
        }
    }
    if let Some(record) = options.name_with("record", "all_but_5xx") {
        let what = "`all_but_5xx` is about statuses, and the result of a function with `name` has none";
        return Err(mistake(record, what, "write `record = success` (the default), or `record = all`"));
    }
    if let Some(commit) = options.name_with("commit", "all")
        && options.name_with("record", "all").is_none()
    {
        let what = "what an error wrote would be committed without a record, and the next call would write it again";
        return Err(mistake(commit, what, "write `record = all` beside it, or remove `commit = all`"));
    }
    Ok(())
}
