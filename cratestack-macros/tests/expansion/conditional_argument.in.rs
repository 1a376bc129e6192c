/// Pays.
#[idempotent(ttl = "7d")]
async fn pay(#[cfg(feature = "audit")] #[cfg(unix)] audit: Audit, body: String) {
    drop(body);
}
