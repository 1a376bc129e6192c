#[utoipa::path(post, path = "/payments")]
#[cfg_attr(feature = "docs", utoipa::path(post))]
#[::cratestack_runtime::__private::idempotent(ttl = "24h")]
/// Pays.
#[tracing::instrument]
pub async fn pay(body: String) -> String {
    body
}
