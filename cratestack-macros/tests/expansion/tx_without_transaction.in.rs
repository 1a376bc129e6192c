#[idempotent]
async fn pay(tx: Tx<Postgres>) {
    drop(tx);
}
