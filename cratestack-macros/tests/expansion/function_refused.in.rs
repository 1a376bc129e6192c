#[idempotent(name = "book", transaction)]
unsafe fn book(tx: Tx<Postgres>, (id, tx2): (u64, u64), other: Tx<Postgres>) -> impl Sized {
    tx.book(id, tx2, other)
}
