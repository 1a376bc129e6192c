async fn charge(handle: Idempotency, Order { order, .. }: Order) -> Outcome {
    use ::cratestack_runtime::__private::{AnyFunction as _, AnyReturnedByFunction as _};
    let _ = ::cratestack_runtime::__private::Function::<Outcome>::recorded_whole;
    #[allow(clippy::needless_borrow, clippy::needless_borrows_for_generic_args)]
    let mut idempotent_call = ::cratestack_runtime::__private::FunctionCall::new(
        ::cratestack_runtime::__private::found_handle(&(handle)),
        "charge",
        ::cratestack_runtime::__private::Options::new(),
    );
    #[allow(
        clippy::needless_borrow,
        clippy::needless_borrows_for_generic_args,
        clippy::op_ref,
        clippy::used_underscore_binding
    )]
    {
        idempotent_call.key(&::cratestack_runtime::__private::part(&&(order)));
    }
    ::cratestack_runtime::__private::function::<Outcome>()
        .recording_all()
        .owned(
            idempotent_call,
            ::cratestack_runtime::__private::once(move |
                idempotent_run: ::cratestack_runtime::__private::Run|
            async move {
                if false {
                    return ::cratestack_runtime::__private::unreturned::<Outcome>();
                }
                #[allow(unused_braces)] { Ok(order) }
            }),
        )
        .await
}
