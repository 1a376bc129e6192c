fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::Guarded<()>,
) -> ::cratestack_runtime::__private::GuardedResponse {
    async fn pay() -> StatusCode {
        StatusCode::CREATED
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = || {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(pay());
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        let _ = ::cratestack_runtime::__private::Returned::<StatusCode>::whole;
    };
    let (idempotent_call, idempotent_arguments) = idempotent_guarded.into_parts();
    ::cratestack_runtime::__private::run(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new()
            .wait_ms(5000u64)
            .optional()
            .record_success()
            .run_on_store_error(true),
        ::cratestack_runtime::__private::handling(idempotent_arguments, |()| pay()).go(),
    )
}
