fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::Transacted<
        (State<App>, Tx<Postgres>, Json<CreatePayment>),
    >,
) -> ::cratestack_runtime::__private::Work {
    async fn pay(
        State(app): State<App>,
        mut tx: Tx<Postgres>,
        Json(req): Json<CreatePayment>,
    ) -> Result<Json<Payment>, ApiError> {
        app.pay(&mut tx, req).await
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<State<App>>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<Tx<Postgres>>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<Json<CreatePayment>>::last;
    let _ = ::cratestack_runtime::__private::takes_tx::<
        (State<App>, Tx<Postgres>, Json<CreatePayment>),
        _,
    >;
    let _ = |
        idempotent_argument0: State<App>,
        idempotent_argument1: Tx<Postgres>,
        idempotent_argument2: Json<CreatePayment>|
    {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay(idempotent_argument0, idempotent_argument1, idempotent_argument2),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        let _ = ::cratestack_runtime::__private::Returned::<
            Result<Json<Payment>, ApiError>,
        >::success;
        let _ = ::cratestack_runtime::__private::Returned::<
            Result<Json<Payment>, ApiError>,
        >::failure;
        let _ = ::cratestack_runtime::__private::Returned::<
            Result<Json<Payment>, ApiError>,
        >::rolls_back;
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
                |(idempotent_argument0, idempotent_argument1, idempotent_argument2)| {
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
}
