fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::Guarded<(Tx<Postgres>,)>,
) -> ::cratestack_runtime::__private::GuardedResponse {
    async fn pay(tx: Tx<Postgres>) {
        drop(tx);
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<Tx<Postgres>>::last;
    let _ = {
        use ::cratestack_runtime::__private::AnyUntransacted as _;
        ::cratestack_runtime::__private::Untransacted::<Tx<Postgres>>::argument
    };
    let _ = |idempotent_argument0: Tx<Postgres>| {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay(idempotent_argument0),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
    };
    let (idempotent_call, idempotent_arguments) = idempotent_guarded.into_parts();
    ::cratestack_runtime::__private::run(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new(),
        ::cratestack_runtime::__private::handling(
                idempotent_arguments,
                |(idempotent_argument0,)| pay(idempotent_argument0),
            )
            .go(),
    )
}
