fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::Transacted<(Tx<Postgres>, T)>,
) -> ::cratestack_runtime::__private::Work {
    let idempotent_handler = |
        idempotent_argument0: Tx<Postgres>,
        idempotent_argument1: T,
    | -> BoxFuture<'static, Json<T>> {
        #[allow(clippy::no_effect_underscore_binding)]
        let mut tx = idempotent_argument0;
        #[allow(clippy::no_effect_underscore_binding)]
        let body = idempotent_argument1;
        { Box::pin(settle(tx, body)) }
    };
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<Tx<Postgres>>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<T>::last;
    let _ = ::cratestack_runtime::__private::takes_tx::<(Tx<Postgres>, T), _>;
    let _ = ::cratestack_runtime::__private::argument_is_send::<Tx<Postgres>>;
    let _ = ::cratestack_runtime::__private::argument_is_send::<T>;
    let _ = |idempotent_argument0: Tx<Postgres>, idempotent_argument1: T| {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            idempotent_handler(idempotent_argument0, idempotent_argument1),
        );
        ::cratestack_runtime::__private::handler_type_is_send(&idempotent_outcome);
        ::cratestack_runtime::__private::handler_is_future(&idempotent_outcome);
        idempotent_outcome.returned().whole();
        idempotent_outcome.returned().rolls_back();
    };
    let (idempotent_call, idempotent_arguments) = idempotent_guarded.into_parts();
    use ::cratestack_runtime::__private::{
        AnyAttempts as _, AnyCauses as _, AnyRepeat as _,
    };
    ::cratestack_runtime::__private::run_in_transaction(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new().retry(3),
        ::cratestack_runtime::__private::repeating(
                idempotent_arguments,
                |(idempotent_argument0, idempotent_argument1): &(Tx<Postgres>, T)| (
                    ::cratestack_runtime::__private::Repeat(idempotent_argument0)
                        .again(),
                    ::cratestack_runtime::__private::Repeat(idempotent_argument1).again(),
                ),
                move |(idempotent_argument0, idempotent_argument1)| {
                    let idempotent_future = idempotent_handler(
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
