fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::Guarded<(String,)>,
) -> ::cratestack_runtime::__private::GuardedResponse {
    #[tracing::instrument]
    async fn pay(body: String) -> String {
        body
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<String>::last;
    let _ = |idempotent_argument0: String| {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay(idempotent_argument0),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        let _ = ::cratestack_runtime::__private::Returned::<String>::whole;
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
