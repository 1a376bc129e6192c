/// Pays.
#[idempotent(ttl = "24h")]
#[tracing::instrument]
#[utoipa::path(post, path = "/payments")]
#[cfg_attr(feature = "docs", utoipa::path(post))]
pub async fn pay(body: String) -> String {
    body
}
