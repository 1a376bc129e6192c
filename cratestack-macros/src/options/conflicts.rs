use super::given::Options;
use super::table::HAS_TRANSACTIONS;
use super::values::Value;
use crate::mistake::{mistake, mistake_at};

/// Reports the first conflict between options, because others often come of it.
pub(super) fn check(options: &mut Options) -> syn::Result<()> {
    if !HAS_TRANSACTIONS && let Some(transaction) = options.remove("transaction") {
        let help = "turn on the feature `postgres` or `sqlite` of `cratestack-runtime`";
        return Err(mistake(transaction.name, "no store that is built in has transactions", help));
    }
    if let Some(Value::Duration { milliseconds: ttl_ms, .. }) = options.value("ttl")
        && let Some(Value::Duration { milliseconds: lease_ms, span }) = options.value("lease")
        && lease_ms > ttl_ms
    {
        let help = "write a shorter `lease`, or keep the outcome longer with `ttl`";
        return Err(mistake_at(*span, "the lease is longer than the outcome is kept", help));
    }
    for given in options.iter() {
        if let Some(need) = &given.entry.needs
            && !options.has(need.option)
        {
            let (option, needed) = (&given.name, need.option);
            let what = format!("`{option}` {}", need.without);
            return Err(mistake(option, what, format!("write `{needed}, {option} = …`, or remove `{option}`")));
        }
    }
    if let (true, Some(run)) = (options.has("transaction"), options.name_with("on_store_error", "run")) {
        let what = "a handler with `transaction` cannot run without the store, which begins the transaction";
        return Err(mistake(run, what, "remove `on_store_error`, or `transaction`"));
    }
    if let (Some(commit), Some(_)) = (options.name_with("commit", "all"), options.name_with("record", "success")) {
        let what = "what an error wrote would be committed without a record, and a retry would write it again";
        return Err(mistake(commit, what, "remove `commit = all`, or `record = success`"));
    }
    Ok(())
}
