fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::Guarded<
        (Path<(u64, &'static str)>, Json<CreatePayment>),
        (),
        true,
    >,
) -> ::cratestack_runtime::__private::GuardedResponse {
    async fn pay(
        Path((ref amount, &currency)): Path<(u64, &'static str)>,
        Json(req): Json<CreatePayment>,
    ) -> StatusCode {
        let _ = &amount;
        let _ = &currency;
        let _ = &req;
        req.settle(amount, currency).await
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<
        Path<(u64, &'static str)>,
    >::leading;
    let _ = ::cratestack_runtime::__private::Argument::<Json<CreatePayment>>::last;
    let _ = |
        idempotent_argument0: Path<(u64, &'static str)>,
        idempotent_argument1: Json<CreatePayment>|
    {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay(idempotent_argument0, idempotent_argument1),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        let _ = ::cratestack_runtime::__private::Returned::<StatusCode>::whole;
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
        let Path((ref amount, &ref currency)) = *idempotent_argument0;
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
            idempotent_call
                .fingerprint(
                    &(
                        ::cratestack_runtime::__private::part(&&(&req.currency)),
                        (
                            ::cratestack_runtime::__private::part(&&(amount)),
                            ::cratestack_runtime::__private::part(&&(req.amount)),
                        ),
                    ),
                );
        }
    }
    if idempotent_call.lacks_key() {
        use ::cratestack_runtime::__private::AnyKeyless as _;
        let (idempotent_argument0, idempotent_argument1) = &mut idempotent_arguments;
        ::cratestack_runtime::__private::Keyless(idempotent_argument0).unreserved();
        ::cratestack_runtime::__private::Keyless(idempotent_argument1).unreserved();
    }
    ::cratestack_runtime::__private::run(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new().optional(),
        ::cratestack_runtime::__private::handling(
                idempotent_arguments,
                |(idempotent_argument0, idempotent_argument1)| pay(
                    idempotent_argument0,
                    idempotent_argument1,
                ),
            )
            .go(),
    )
}
