fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::Guarded<(State<App>, String)>,
) -> ::cratestack_runtime::__private::GuardedResponse {
    async fn pay(State(app): State<App>, body: String) -> impl IntoResponse {
        app.pay(body)
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::state_provides_idempotency::<App>;
    let _ = ::cratestack_runtime::__private::ArgumentOf::<State<App>, App>::leading;
    let _ = ::cratestack_runtime::__private::ArgumentOf::<String, App>::last;
    let _ = |idempotent_argument0: State<App>, idempotent_argument1: String| {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay(idempotent_argument0, idempotent_argument1),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        idempotent_outcome.returned().whole();
    };
    let (idempotent_call, idempotent_arguments) = idempotent_guarded.into_parts();
    ::cratestack_runtime::__private::run(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new(),
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
