use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Ident, LitInt, LitStr, Token, Type};

use crate::duration;
use crate::mistake::{Mistakes, mistake, mistake_at};
use crate::suggest::nearest;
use crate::values::{self, Time, Value};

/// What the attribute says.
#[derive(Default)]
pub(crate) struct Options {
    ttl: Option<Time>,
    lease: Option<Time>,
    wait: Option<Time>,
    optional: Option<Ident>,
    record_success: bool,
    run_on_store_error: Option<bool>,
    /// The setting itself, for what speaks against it.
    run: Option<Ident>,
    pub(crate) transaction: Option<Ident>,
    isolation: Option<&'static str>,
    pub(crate) retry: Option<LitInt>,
    commit_all: Option<Ident>,
    /// The first option that is one of a transaction.
    of_transaction: Option<Ident>,
    pub(crate) body_limit: Option<LitInt>,
    pub(crate) key: Option<Expr>,
    pub(crate) principal: Option<Expr>,
    pub(crate) fingerprint: Option<Expr>,
    pub(crate) state: Option<Type>,
}

/// Whether the runtime was built with what the code of a transaction needs.
pub(crate) const HAS_TRANSACTIONS: bool = cfg!(any(feature = "transactions", test));

/// Every option, and how it is written.
const FORMS: [(&str, &str); 15] = [
    ("ttl", "ttl = \"24h\""),
    ("lease", "lease = \"30s\""),
    ("wait", "wait = \"5s\""),
    ("optional", "optional"),
    ("record", "record = success"),
    ("on_store_error", "on_store_error = run"),
    ("transaction", "transaction"),
    ("commit", "commit = all"),
    ("isolation", "isolation = serializable"),
    ("retry", "retry = 3"),
    ("body_limit", "body_limit = 65536"),
    ("key", "key = req.id"),
    ("principal", "principal = user.id"),
    ("fingerprint", "fingerprint = (req.amount, &req.currency)"),
    ("state", "state = App"),
];

/// One `name` or `name = value`.
struct Setting {
    name: Ident,
    value: Option<Value>,
}

fn listed() -> String {
    FORMS.map(|(name, _)| format!("`{name}`")).join(", ")
}

/// How the option is written, where it is one.
fn form(name: &Ident) -> Option<&'static str> {
    FORMS.iter().find(|(known, _)| name == known).map(|(_, form)| *form)
}

impl Options {
    /// Reads the attribute. What was understood is kept, so that the handler still expands.
    pub(crate) fn parse(attribute: TokenStream, mistakes: &mut Mistakes) -> Self {
        let mut options = Self::default();
        let mut seen: Vec<Ident> = Vec::new();
        let read = |input: ParseStream<'_>| -> syn::Result<()> {
            while !input.is_empty() {
                // What does not even parse ends the reading: nothing after it can be trusted.
                let setting = setting(input)?;
                if seen.contains(&setting.name) {
                    let what = format!("`{}` is given twice", setting.name);
                    mistakes.add(mistake(&setting.name, what, "remove one of the two"));
                } else {
                    seen.push(setting.name.clone());
                    mistakes.take(options.set(setting));
                }
            }
            Ok(())
        };
        let read = read.parse2(attribute);
        mistakes.take(read);
        mistakes.take(options.agree());
        options
    }

    fn set(&mut self, setting: Setting) -> syn::Result<()> {
        let Setting { name, value } = setting;
        match name.to_string().as_str() {
            "ttl" => self.ttl = Some(values::time(&name, value)?),
            "lease" => self.lease = Some(values::time(&name, value)?),
            "wait" => self.wait = Some(values::time(&name, value)?),
            "optional" => match value {
                None => self.optional = Some(name),
                Some(value) => {
                    let help = "write `optional` alone, or leave it out to require the header";
                    return Err(mistake(value, "`optional` takes no value", help));
                }
            },
            "record" => self.record_success = values::word(&name, value, ["all", "success"])? == "success",
            "on_store_error" => {
                let run = values::word(&name, value, ["refuse", "run"])? == "run";
                self.run_on_store_error = Some(run);
                self.run = run.then_some(name);
            }
            "transaction" => match value {
                None => self.transaction = Some(name),
                Some(value) => {
                    self.transaction = Some(name);
                    let help = "write `transaction` alone; the argument `tx: Tx<Postgres>` says of which database";
                    return Err(mistake(value, "`transaction` takes no value", help));
                }
            },
            "commit" => {
                let all = values::word(&name, value, ["success", "all"])? == "all";
                self.of_transaction.get_or_insert_with(|| name.clone());
                self.commit_all = all.then_some(name);
            }
            "isolation" => {
                let levels = ["read_committed", "repeatable_read", "serializable"];
                let level = values::one_of(&name, value, &levels)?;
                self.of_transaction.get_or_insert(name);
                self.isolation = Some(level);
            }
            "retry" => {
                let times = values::times(&name, value)?;
                self.of_transaction.get_or_insert(name);
                self.retry = Some(times);
            }
            "body_limit" => self.body_limit = Some(values::bytes(&name, value)?),
            "key" => self.key = Some(values::expression(&name, value)?),
            "principal" => self.principal = Some(values::caller(&name, value)?),
            "fingerprint" => self.fingerprint = Some(values::expression(&name, value)?),
            "state" => self.state = Some(values::state(&name, value)?),
            unknown => {
                let what = format!("`{unknown}` is not an option of `idempotent`");
                let help = match nearest(unknown, &FORMS.map(|(name, _)| name)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the options are {}", listed()),
                };
                return Err(mistake(name, what, help));
            }
        }
        Ok(())
    }

    fn agree(&mut self) -> syn::Result<()> {
        if !HAS_TRANSACTIONS && let Some(transaction) = self.transaction.take() {
            let help = "turn on the feature `postgres` or `sqlite` of `cratestack-runtime`";
            return Err(mistake(transaction, "no store that is built in has transactions", help));
        }
        if let (Some(ttl), Some(lease)) = (&self.ttl, &self.lease)
            && lease.value > ttl.value
        {
            let help = "write a shorter `lease`, or keep the outcome longer with `ttl`";
            return Err(mistake_at(lease.span, "the lease is longer than the outcome is kept", help));
        }
        if let (Some(option), None) = (&self.of_transaction, &self.transaction) {
            let what = format!("`{option}` is about a transaction, and this handler runs in none");
            return Err(mistake(option, what, format!("write `transaction, {option} = …`, or remove `{option}`")));
        }
        if let (Some(_), Some(run)) = (&self.transaction, &self.run) {
            let what = "a handler with `transaction` cannot run without the store, which begins the transaction";
            return Err(mistake(run, what, "remove `on_store_error`, or `transaction`"));
        }
        if let (Some(commit), true) = (&self.commit_all, self.record_success) {
            let what = "what an error wrote would be committed without a record, and a retry would write it again";
            return Err(mistake(commit, what, "remove `commit = all`, or `record = success`"));
        }
        Ok(())
    }

    /// Whether it is known only after the extractors that a request runs unguarded.
    pub(crate) fn may_lack_key(&self) -> bool {
        self.key.is_some() && self.optional.is_some()
    }

    /// The constant that the runtime is given.
    pub(crate) fn expand(&self, private: &TokenStream) -> TokenStream {
        let time = |name: &str, time: &Option<Time>| {
            time.as_ref().map(|time| {
                let milliseconds = time.milliseconds();
                let method = Ident::new(name, proc_macro2::Span::mixed_site());
                quote!(.#method(#milliseconds))
            })
        };
        let ttl = time("ttl_ms", &self.ttl);
        let lease = time("lease_ms", &self.lease);
        let wait = time("wait_ms", &self.wait);
        let optional = self.optional.is_some().then(|| quote!(.optional()));
        let record = self.record_success.then(|| quote!(.record_success()));
        let store = self.run_on_store_error.map(|run| quote!(.run_on_store_error(#run)));
        let isolation = self.isolation.map(|level| {
            let method = Ident::new(level, proc_macro2::Span::mixed_site());
            quote!(.#method())
        });
        let retry = self.retry.as_ref().map(|times| quote!(.retry(#times)));
        let commit = self.commit_all.is_some().then(|| quote!(.commit_all()));
        quote!(#private::Options::new() #ttl #lease #wait #optional #record #store #isolation #retry #commit)
    }
}

/// Reads one setting and the comma after it.
fn setting(input: ParseStream<'_>) -> syn::Result<Setting> {
    let Ok(name) = input.call(Ident::parse_any) else { return Err(no_name(input)) };
    let value = if input.peek(Token![=]) && !input.peek(Token![==]) {
        input.parse::<Token![=]>()?;
        Some(value(&name, input)?)
    } else {
        None
    };
    if !input.is_empty() && input.parse::<Option<Token![,]>>()?.is_none() {
        return Err(no_comma(&name, value.is_some(), input));
    }
    Ok(Setting { name, value })
}

fn value(name: &Ident, input: ParseStream<'_>) -> syn::Result<Value> {
    if input.is_empty() || input.peek(Token![,]) {
        let what = format!("the value of `{name}` is missing");
        let help = form(name).map_or_else(|| format!("the options are {}", listed()), |form| format!("write `{form}`"));
        return Err(if input.is_empty() { mistake(name, what, help) } else { mistake_at(input.span(), what, help) });
    }
    if name == "state" && !input.peek(syn::Lit) {
        return input.parse().map(Value::Type).map_err(|_| values::no_type(name, next(input).as_ref()));
    }
    let start = input.span();
    input.parse().map(|value| Value::Expr(ungrouped(value))).map_err(|error| {
        let help = form(name).map_or_else(|| format!("the options are {}", listed()), |form| format!("write `{form}`"));
        let span = if input.is_empty() { start } else { error.span() };
        mistake_at(span, format!("this is no value for `{name}`"), help)
    })
}

/// What a `macro_rules!` passes on stands in a group that nobody wrote.
fn ungrouped(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => ungrouped(*group.expr),
        other => other,
    }
}

/// Something stands where an option's name belongs.
fn no_name(input: ParseStream<'_>) -> syn::Error {
    let what = "an option of `idempotent` is a name";
    if let Ok(literal) = input.fork().parse::<LitStr>()
        && duration::parse(&literal).is_ok()
    {
        return mistake(&literal, what, format!("write `ttl = {}`", literal.token()));
    }
    mistake(next(input), what, format!("write one of {}", listed()))
}

/// An option goes on where it should have ended.
fn no_comma(name: &Ident, has_value: bool, input: ParseStream<'_>) -> syn::Error {
    let next = next(input);
    if matches!(&next, Some(TokenTree::Punct(punct)) if punct.as_char() == ';') {
        return mistake(next, "options are separated by commas", "write `,` here");
    }
    if let Some(TokenTree::Ident(option)) = &next
        && form(option).is_some()
        && (has_value || name == "optional" || name == "transaction")
    {
        let value = if has_value { " = …" } else { "" };
        let what = format!("a comma is missing before `{option}`");
        return mistake(option, what, format!("write `{name}{value}, {option}`"));
    }
    if has_value {
        if name == "state" {
            return values::no_type(name, next.as_ref());
        }
        return mistake(next, format!("`{name}` has its value already"), "remove this, or put a comma before it");
    }
    let form = form(name).map_or_else(|| format!("one of {}", listed()), |form| format!("`{form}`"));
    let what = match &next {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            format!("`{name}` is no function; its value comes after `=`")
        }
        Some(TokenTree::Punct(_)) => format!("this does not belong after `{name}`"),
        _ => format!("`=` is missing after `{name}`"),
    };
    mistake(next, what, format!("write {form}"))
}

/// The next token, whatever it is.
fn next(input: ParseStream<'_>) -> Option<TokenTree> {
    input.fork().parse().ok()
}

impl ToTokens for Value {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Expr(value) => value.to_tokens(tokens),
            Self::Type(value) => value.to_tokens(tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes_of(attribute: &str) -> String {
        let mut mistakes = Mistakes::default();
        Options::parse(attribute.parse().unwrap(), &mut mistakes);
        mistakes.text()
    }

    #[test]
    fn every_form_is_an_option() {
        for (name, form) in FORMS {
            let among = if ["commit", "isolation", "retry"].contains(&name) { "transaction, " } else { "" };
            assert_eq!(mistakes_of(&format!("{among}{form}")), "", "{name}");
            assert_eq!(mistakes_of(&format!("{among}{form},")), "", "{name}");
        }
        assert_eq!(mistakes_of("ttl = \"24h\", lease = \"30s\", optional"), "");
    }

    #[test]
    fn every_mistake_is_told() {
        let text = mistakes_of("tll = \"24h\", lease = \"30\", record = sucess, optional");
        for part in ["`ttl`?", "`30`", "`success`"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
