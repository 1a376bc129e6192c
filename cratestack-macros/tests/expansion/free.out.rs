/// Pays.
pub fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::Guarded<
        (State<App>, Json<CreatePayment>),
        Result<Json<Payment>, ApiError>,
    >,
) -> ::cratestack_runtime::__private::GuardedResponse {
    #[tracing::instrument]
    async fn pay(
        State(app): State<App>,
        Json(req): Json<CreatePayment>,
    ) -> Result<Json<Payment>, ApiError> {
        app.pay(req).await
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<State<App>>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<Json<CreatePayment>>::last;
    let _ = |
        idempotent_argument0: State<App>,
        idempotent_argument1: Json<CreatePayment>|
    {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay(idempotent_argument0, idempotent_argument1),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        let _ = ::cratestack_runtime::__private::Returned::<
            Result<Json<Payment>, ApiError>,
        >::success;
        let _ = ::cratestack_runtime::__private::Returned::<
            Result<Json<Payment>, ApiError>,
        >::failure;
    };
    let (idempotent_call, idempotent_arguments) = idempotent_guarded.into_parts();
    ::cratestack_runtime::__private::run(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new()
            .ttl_ms(86400000u64)
            .lease_ms(30000u64),
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
