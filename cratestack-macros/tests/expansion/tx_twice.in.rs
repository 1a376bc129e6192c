#[idempotent(transaction)]
async fn pay(from: Tx<Postgres>, to: Tx<Sqlite>) {
    drop((from, to));
}
