#[idempotent(transaction, lease = "10s", isolation = serializable, retry = 5, commit = all)]
async fn pay<D: Database>(mut tx: Tx<D>, Path(id): Path<u64>, body: String) -> Response {
    D::settle(&mut tx, id, body).await
}
