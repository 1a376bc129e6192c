async fn book(&self, entry: Entry) -> Result<(), sqlx::Error> {
    use ::cratestack_runtime::__private::{AnyFunction as _, AnyReturnedByFunction as _};
    use ::cratestack_runtime::__private::AnyRecorder as _;
    let _ = ::cratestack_runtime::__private::Function::<Result<(), sqlx::Error>>::value;
    let _ = ::cratestack_runtime::__private::Function::<Result<(), sqlx::Error>>::error;
    #[allow(clippy::needless_borrow, clippy::needless_borrows_for_generic_args)]
    let mut idempotent_call = ::cratestack_runtime::__private::TransactionalCall::<
        <Tx<Postgres> as ::cratestack_runtime::__private::IsTx>::Database,
    >::new(
        ::cratestack_runtime::__private::transactional_handle::<
            <Tx<Postgres> as ::cratestack_runtime::__private::IsTx>::Database,
            _,
        >(&(self.idempotency)),
        "book",
        ::cratestack_runtime::__private::Options::new().serializable().retry(3),
    );
    #[allow(
        clippy::needless_borrow,
        clippy::needless_borrows_for_generic_args,
        clippy::op_ref,
        clippy::used_underscore_binding
    )]
    {
        idempotent_call.key(&::cratestack_runtime::__private::part(&&(entry.id)));
    }
    ::cratestack_runtime::__private::function::<Result<(), sqlx::Error>>()
        .recording_success()
        .telling_causes()
        .borrowed_in_transaction(
            idempotent_call,
            ::cratestack_runtime::__private::again(move |
                idempotent_run: ::cratestack_runtime::__private::TransactionalRun<_>|
            {
                use ::cratestack_runtime::__private::AnyRepeat as _;
                #[allow(unused_mut, unused_variables)]
                let mut entry = ::cratestack_runtime::__private::Repeat(&entry).again();
                async move {
                    if false {
                        return ::cratestack_runtime::__private::unreturned::<
                            Result<(), sqlx::Error>,
                        >();
                    }
                    #[allow(clippy::no_effect_underscore_binding)]
                    let mut tx: Tx<Postgres> = idempotent_run.tx();
                    #[allow(unused_braces)]
                    {
                        sqlx::query("INSERT INTO entries VALUES ($1)")
                            .bind(entry.id)
                            .execute(&mut *tx)
                            .await?;
                        Ok(())
                    }
                }
            }),
        )
        .await
}
