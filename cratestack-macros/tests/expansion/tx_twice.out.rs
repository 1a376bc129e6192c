fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::Transacted<
        (Tx<Postgres>, Tx<Sqlite>),
    >,
) -> ::cratestack_runtime::__private::Work {
    async fn pay(from: Tx<Postgres>, to: Tx<Sqlite>) {
        drop((from, to));
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<Tx<Postgres>>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<Tx<Sqlite>>::last;
    let _ = {
        use ::cratestack_runtime::__private::AnyPair as _;
        ::cratestack_runtime::__private::Pair::<Tx<Postgres>, Tx<Sqlite>>::apart
    };
    let _ = |idempotent_argument0: Tx<Postgres>, idempotent_argument1: Tx<Sqlite>| {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay(idempotent_argument0, idempotent_argument1),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
    };
    let (idempotent_call, idempotent_arguments) = idempotent_guarded.into_parts();
    use ::cratestack_runtime::__private::{
        AnyAttempts as _, AnyCauses as _, AnyRepeat as _,
    };
    ::cratestack_runtime::__private::run_in_transaction(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new(),
        ::cratestack_runtime::__private::handling(
                idempotent_arguments,
                |(idempotent_argument0, idempotent_argument1)| {
                    let idempotent_future = pay(
                        idempotent_argument0,
                        idempotent_argument1,
                    );
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
