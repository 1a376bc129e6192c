fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::Transacted<
        (Tx<Sqlite>, Json<CreatePayment>),
        (),
        true,
    >,
) -> ::cratestack_runtime::__private::Work {
    async fn pay(mut tx: Tx<Sqlite>, Json(req): Json<CreatePayment>) -> StatusCode {
        let _ = &req;
        req.settle(&mut tx).await
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::ArgumentOf::<Tx<Sqlite>, App>::leading;
    let _ = ::cratestack_runtime::__private::ArgumentOf::<
        Json<CreatePayment>,
        App,
    >::last;
    let _ = ::cratestack_runtime::__private::takes_tx::<
        (Tx<Sqlite>, Json<CreatePayment>),
        _,
    >;
    let _ = |
        idempotent_argument0: Tx<Sqlite>,
        idempotent_argument1: Json<CreatePayment>|
    {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay(idempotent_argument0, idempotent_argument1),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        let _ = ::cratestack_runtime::__private::Returned::<StatusCode>::whole;
        let _ = ::cratestack_runtime::__private::Returned::<StatusCode>::rolls_back;
    };
    let (mut idempotent_call, mut idempotent_arguments) = idempotent_guarded
        .into_parts();
    if idempotent_call.is_guarded() {
        #[allow(unused_variables)]
        let (idempotent_argument0, idempotent_argument1) = &idempotent_arguments;
        #[allow(
            unused_variables,
            clippy::needless_borrowed_reference,
            clippy::no_effect_underscore_binding,
            clippy::pattern_type_mismatch
        )]
        let Json(req) = idempotent_argument1;
        #[allow(
            clippy::needless_borrow,
            clippy::needless_borrows_for_generic_args,
            clippy::op_ref,
            clippy::used_underscore_binding
        )]
        {
            idempotent_call.key(&::cratestack_runtime::__private::part(&&(req.id)));
        }
    }
    if idempotent_call.lacks_key() {
        use ::cratestack_runtime::__private::AnyKeyless as _;
        let (idempotent_argument0, idempotent_argument1) = &mut idempotent_arguments;
        ::cratestack_runtime::__private::Keyless(idempotent_argument0).unreserved();
        ::cratestack_runtime::__private::Keyless(idempotent_argument1).unreserved();
    }
    use ::cratestack_runtime::__private::{
        AnyAttempts as _, AnyCauses as _, AnyRepeat as _,
    };
    ::cratestack_runtime::__private::run_in_transaction(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new().optional(),
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
