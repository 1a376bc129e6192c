/// Pays.
#[idempotent(tll = "24h")]
#[tracing::instrument]
pub const unsafe extern "C" fn pay(body: &str) {
    drop(body);
}
