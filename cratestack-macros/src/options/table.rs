//! Every option of the attribute, once. Parsing, errors, suggestions, fuzzing and the tests of the documentation go by
//! this table.

use BuilderCall::{ByWord, NamedByWord, None as NoCall, WhetherWord, WithValue};
use Takes::{Duration, Either, Expression, Name, Nothing, Number, OneOf, Principal, Type};
use syn::Ident;

/// Whether the runtime was built with what the code of a transaction needs.
pub(crate) const HAS_TRANSACTIONS: bool = cfg!(any(feature = "transactions", test));

/// The one expression whose value is no part of what a request is known by.
pub(super) const HANDLE: &str = "handle";

/// In the order in which errors list them.
pub(crate) static TABLE: &[Entry] = &[
    option("ttl", "ttl = \"24h\"", Duration, WithValue("ttl_ms")),
    option("lease", "lease = \"30s\"", Duration, WithValue("lease_ms")),
    option("wait", "wait = \"5s\"", Duration, WithValue("wait_ms")),
    option(
        "optional",
        "optional",
        Nothing("write `optional` alone, or leave it out to require the header"),
        WithValue("optional"),
    ),
    option(
        "record",
        "record = success",
        OneOf(&["all", "success", "all_but_5xx"]),
        ByWord(&[("success", "record_success"), ("all_but_5xx", "record_all_but_5xx")]),
    ),
    // Both words reach the runtime, because either has the last word over the handle's own setting.
    option(
        "on_store_error",
        "on_store_error = run",
        Either(["refuse", "run"]),
        WhetherWord("run", "run_on_store_error"),
    ),
    option(
        "transaction",
        "transaction",
        Nothing("write `transaction` alone; the argument `tx: Tx<Postgres>` says of which database"),
        NoCall,
    ),
    option("commit", "commit = all", Either(["success", "all"]), ByWord(&[("all", "commit_all")])).in_transaction(),
    option(
        "isolation",
        "isolation = serializable",
        OneOf(&["read_committed", "repeatable_read", "serializable"]),
        NamedByWord,
    )
    .in_transaction(),
    // More than a hundred would only hold up a request that has no chance.
    option("retry", "retry = 3", Number("how often the handler may run again", 100), WithValue("retry"))
        .in_transaction(),
    option("body_limit", "body_limit = 65536", Number("a number of bytes", u32::MAX), NoCall),
    option("key", "key = req.id", Expression, NoCall),
    option("principal", "principal = user.id", Principal, NoCall),
    option("fingerprint", "fingerprint = (req.amount, &req.currency)", Expression, NoCall),
    option(HANDLE, "handle = app.idempotency", Expression, NoCall),
    option("state", "state = App", Type, NoCall),
    option("name", "name = \"charge\"", Name, NoCall),
];

/// Whether the runtime was built with the door that handlers' requests come in by.
pub(crate) const HAS_AXUM: bool = cfg!(any(feature = "axum", test));

/// One option.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// The option as it may be written.
    pub(crate) usage: &'static str,
    pub(crate) takes: Takes,
    pub(crate) builder_call: BuilderCall,
    /// Whether `transaction` must stand beside it.
    pub(crate) in_transaction: bool,
}

/// What may stand after an option's `=`.
pub(crate) enum Takes {
    /// The option is a flag; this is what to write instead of a value.
    Nothing(&'static str),
    Duration,
    /// One of two words, the default first.
    Either([&'static str; 2]),
    OneOf(&'static [&'static str]),
    /// A whole number from 1 to the second, and what it counts.
    Number(&'static str, u32),
    Expression,
    /// An expression, or a string that names the one principal that there is.
    Principal,
    /// A string that names the function in the store.
    Name,
    Type,
}

/// What the generated code calls on the runtime's `Options` where the option is given.
#[derive(Clone, Copy)]
pub(crate) enum BuilderCall {
    /// This method, with the value; without one for a flag.
    WithValue(&'static str),
    /// The method beside the word that is the value; nothing, where none is.
    ByWord(&'static [(&'static str, &'static str)]),
    /// This method, with whether the value is this word.
    WhetherWord(&'static str, &'static str),
    /// The method that has the word's name.
    NamedByWord,
    /// Nothing: the option changes the code around the call.
    None,
}

const fn option(name: &'static str, usage: &'static str, takes: Takes, builder_call: BuilderCall) -> Entry {
    Entry { name, usage, takes, builder_call, in_transaction: false }
}

impl Entry {
    const fn in_transaction(mut self) -> Self {
        self.in_transaction = true;
        self
    }

    pub(crate) fn is_flag(&self) -> bool {
        matches!(self.takes, Nothing(_))
    }

    /// The words that the option takes as a value.
    pub(crate) fn words(&self) -> &[&'static str] {
        match &self.takes {
            Either(words) => words,
            OneOf(words) => words,
            _ => &[],
        }
    }
}

/// The option of this name, where it is one.
pub(crate) fn entry(name: &Ident) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| name == entry.name)
}

/// The names of all options.
pub(super) fn names() -> Vec<&'static str> {
    TABLE.iter().map(|entry| entry.name).collect()
}

/// Names or words, for an error.
pub(super) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The candidate that `word` most likely meant, where one is near enough to be worth naming.
pub(super) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let (distance, candidate) = candidates.iter().map(|candidate| (distance(&word, candidate), *candidate)).min()?;
    (distance <= candidate.len().div_ceil(3)).then_some(candidate)
}

/// Levenshtein's edit distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut cost = i + 1;
        for (slot, to) in row.iter_mut().skip(1).zip(&right) {
            let (above, beside) = (*slot, cost);
            cost = (diagonal + usize::from(from != *to)).min(above + 1).min(beside + 1);
            diagonal = above;
            *slot = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn counts_edits() {
        assert_eq!(distance("ttl", "ttl"), 0);
        assert_eq!(distance("", "ttl"), 3);
        assert_eq!(distance("leese", "lease"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn names_only_what_is_near() {
        let options = ["ttl", "lease", "optional"];
        assert_eq!(nearest("tll", &options), Some("ttl"));
        assert_eq!(nearest("TTL", &options), Some("ttl"));
        assert_eq!(nearest("leese", &options), Some("lease"));
        assert_eq!(nearest("optionnal", &options), Some("optional"));
        assert_eq!(nearest("retries", &options), None);
    }
}
