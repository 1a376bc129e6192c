    #[idempotent(name = "book", handle = self.idempotency, key = entry.id, transaction, retry = 3, isolation = serializable)]
    async fn book(&self, mut tx: Tx<Postgres>, entry: Entry) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT INTO entries VALUES ($1)").bind(entry.id).execute(&mut *tx).await?;
        Ok(())
    }
