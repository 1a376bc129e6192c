    #[idempotent(transaction, retry = 3)]
    fn pay(mut tx: Tx<Postgres>, body: T) -> BoxFuture<'static, Json<T>> {
        Box::pin(settle(tx, body))
    }
