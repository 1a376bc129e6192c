#[cfg(feature = "audit")]
#[cfg(unix)]
#[::cratestack_runtime::__private::idempotent(ttl = "7d")]
/// Pays.
async fn pay(audit: Audit, body: String) {
    drop(body);
}
#[cfg(not(all(feature = "audit", unix)))]
#[::cratestack_runtime::__private::idempotent(ttl = "7d")]
/// Pays.
async fn pay(body: String) {
    drop(body);
}
