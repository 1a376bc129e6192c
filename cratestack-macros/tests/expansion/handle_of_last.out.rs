fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::AwaitingHandle<
        ::cratestack_runtime::__private::LeasedHandler,
        (Extension<Idempotency>,),
        true,
    >,
) -> ::cratestack_runtime::__private::Work {
    async fn pay(Extension(h): Extension<Idempotency>) {
        let _ = &h;
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<Extension<Idempotency>>::last;
    let _ = ::cratestack_runtime::__private::Argument::<
        Extension<Idempotency>,
    >::before_the_body;
    let _ = |idempotent_argument0: Extension<Idempotency>| {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay(idempotent_argument0),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
    };
    let idempotent_handle = {
        #[allow(unused_variables)]
        let (idempotent_argument0,) = idempotent_guarded.leading();
        #[allow(
            unused_variables,
            clippy::needless_borrowed_reference,
            clippy::no_effect_underscore_binding,
            clippy::pattern_type_mismatch
        )]
        let Extension(h) = idempotent_argument0;
        #[allow(
            clippy::needless_borrow,
            clippy::needless_borrows_for_generic_args,
            clippy::op_ref,
            clippy::used_underscore_binding
        )] { ::cratestack_runtime::__private::found_handle(&(h)) }
    };
    idempotent_guarded
        .run(
            idempotent_handle,
            |idempotent_call, idempotent_arguments| {
                ::cratestack_runtime::__private::PreparedRun::leased(
                    idempotent_call,
                    ::cratestack_runtime::__private::Options::new(),
                    ::cratestack_runtime::__private::handling(
                            idempotent_arguments,
                            |(idempotent_argument0,)| pay(idempotent_argument0),
                        )
                        .go(),
                )
            },
        )
}
