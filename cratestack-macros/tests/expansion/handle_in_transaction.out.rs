fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::AwaitingHandle<
        ::cratestack_runtime::__private::TransactionalHandler,
        (Tx<Postgres>, State<App>, String),
        false,
    >,
) -> ::cratestack_runtime::__private::Work {
    async fn pay(
        mut tx: Tx<Postgres>,
        State(app): State<App>,
        body: String,
    ) -> StatusCode {
        let _ = &app;
        app.settle(&mut tx, body)
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<Tx<Postgres>>::leading;
    let _ = ::cratestack_runtime::__private::ArgumentOf::<State<App>, App>::leading;
    let _ = ::cratestack_runtime::__private::ArgumentOf::<String, App>::last;
    let _ = ::cratestack_runtime::__private::takes_tx::<
        (Tx<Postgres>, State<App>, String),
        _,
    >;
    let _ = |
        idempotent_argument0: Tx<Postgres>,
        idempotent_argument1: State<App>,
        idempotent_argument2: String|
    {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay(idempotent_argument0, idempotent_argument1, idempotent_argument2),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        let _ = ::cratestack_runtime::__private::Returned::<StatusCode>::whole;
        let _ = ::cratestack_runtime::__private::Returned::<StatusCode>::rolls_back;
    };
    let idempotent_handle = {
        #[allow(unused_variables)]
        let (idempotent_argument0, idempotent_argument1) = idempotent_guarded.leading();
        #[allow(
            unused_variables,
            clippy::needless_borrowed_reference,
            clippy::no_effect_underscore_binding,
            clippy::pattern_type_mismatch
        )]
        let State(app) = idempotent_argument1;
        #[allow(
            clippy::needless_borrow,
            clippy::needless_borrows_for_generic_args,
            clippy::op_ref,
            clippy::used_underscore_binding
        )]
        {
            ::cratestack_runtime::__private::found_handle_for::<
                Tx<Postgres>,
                _,
            >(&(app.idempotency))
        }
    };
    idempotent_guarded
        .run(
            idempotent_handle,
            |idempotent_call, idempotent_arguments| {
                use ::cratestack_runtime::__private::{
                    AnyAttempts as _, AnyCauses as _, AnyRepeat as _,
                };
                ::cratestack_runtime::__private::PreparedRun::in_transaction(
                    idempotent_call,
                    ::cratestack_runtime::__private::Options::new(),
                    ::cratestack_runtime::__private::handling(
                            idempotent_arguments,
                            |
                                (
                                    idempotent_argument0,
                                    idempotent_argument1,
                                    idempotent_argument2,
                                )|
                            {
                                let idempotent_future = pay(
                                    idempotent_argument0,
                                    idempotent_argument1,
                                    idempotent_argument2,
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
            },
        )
}
