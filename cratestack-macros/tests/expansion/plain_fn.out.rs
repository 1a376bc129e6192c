fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::Guarded<(String,)>,
) -> ::cratestack_runtime::__private::GuardedResponse {
    fn pay(body: String) -> BoxFuture<'static, Result<Response, ApiError>> {
        Box::pin(settle(body))
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<String>::last;
    let _ = ::cratestack_runtime::__private::argument_is_send::<String>;
    let _ = |idempotent_argument0: String| {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay(idempotent_argument0),
        );
        ::cratestack_runtime::__private::handler_type_is_send(&idempotent_outcome);
        ::cratestack_runtime::__private::handler_is_future(&idempotent_outcome);
        idempotent_outcome.returned().whole();
    };
    let (mut idempotent_call, idempotent_arguments) = idempotent_guarded.into_parts();
    if idempotent_call.is_guarded() {
        #[allow(unused_variables)]
        let (idempotent_argument0,) = &idempotent_arguments;
        #[allow(
            clippy::needless_borrow,
            clippy::needless_borrows_for_generic_args,
            clippy::op_ref,
            clippy::used_underscore_binding
        )]
        {
            idempotent_call
                .principal(&::cratestack_runtime::__private::part(&&("stripe")));
        }
    }
    ::cratestack_runtime::__private::run(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new().run_on_store_error(false),
        ::cratestack_runtime::__private::handling(
                idempotent_arguments,
                |(idempotent_argument0,)| pay(idempotent_argument0),
            )
            .go(),
    )
}
