fn pay<D: Database>(
    idempotent_guarded: ::cratestack_runtime::__private::Transacted<
        (Tx<D>, Path<u64>, String),
    >,
) -> ::cratestack_runtime::__private::Work {
    async fn pay<D: Database>(
        mut tx: Tx<D>,
        Path(id): Path<u64>,
        body: String,
    ) -> Response {
        D::settle(&mut tx, id, body).await
    }
    let _ = pay::<D>;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<Tx<D>>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<Path<u64>>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<String>::last;
    let _ = ::cratestack_runtime::__private::takes_tx::<(Tx<D>, Path<u64>, String), _>;
    let _ = |
        idempotent_argument0: Tx<D>,
        idempotent_argument1: Path<u64>,
        idempotent_argument2: String|
    {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay::<D>(idempotent_argument0, idempotent_argument1, idempotent_argument2),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        let _ = ::cratestack_runtime::__private::Returned::<Response>::whole;
    };
    let (idempotent_call, idempotent_arguments) = idempotent_guarded.into_parts();
    use ::cratestack_runtime::__private::{
        AnyAttempts as _, AnyCauses as _, AnyRepeat as _,
    };
    ::cratestack_runtime::__private::run_in_transaction(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new()
            .lease_ms(10000u64)
            .commit_all()
            .serializable()
            .retry(5),
        ::cratestack_runtime::__private::repeating(
                idempotent_arguments,
                |
                    (
                        idempotent_argument0,
                        idempotent_argument1,
                        idempotent_argument2,
                    ): &(Tx<D>, Path<u64>, String)|
                (
                    ::cratestack_runtime::__private::Repeat(idempotent_argument0)
                        .again(),
                    ::cratestack_runtime::__private::Repeat(idempotent_argument1)
                        .again(),
                    ::cratestack_runtime::__private::Repeat(idempotent_argument2).again(),
                ),
                |(idempotent_argument0, idempotent_argument1, idempotent_argument2)| {
                    let idempotent_future = pay::<
                        D,
                    >(idempotent_argument0, idempotent_argument1, idempotent_argument2);
                    let idempotent_causes = ::cratestack_runtime::__private::outcome_of(
                            &idempotent_future,
                        )
                        .returned()
                        .causes();
                    ::cratestack_runtime::__private::noting(
                        idempotent_future,
                        idempotent_causes,
                    )
                },
            )
            .attempts(),
    )
}
