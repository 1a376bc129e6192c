fn ship(
    carrier: &Carrier,
    parcel: Parcel,
) -> impl Future<Output = Result<(), Failed>> + Send {
    async move {
        use ::cratestack_runtime::__private::{
            AnyFunction as _, AnyReturnedByFunction as _,
        };
        let _ = ::cratestack_runtime::__private::Function::<Result<(), Failed>>::value;
        let _ = ::cratestack_runtime::__private::Function::<Result<(), Failed>>::error;
        #[allow(clippy::needless_borrow, clippy::needless_borrows_for_generic_args)]
        let mut idempotent_call = ::cratestack_runtime::__private::FunctionCall::new(
            ::cratestack_runtime::__private::found_handle(&(carrier.idempotency)),
            "ship",
            ::cratestack_runtime::__private::Options::new(),
        );
        #[allow(
            clippy::needless_borrow,
            clippy::needless_borrows_for_generic_args,
            clippy::op_ref,
            clippy::used_underscore_binding
        )]
        {
            idempotent_call.key(&::cratestack_runtime::__private::part(&&(parcel.id)));
        }
        ::cratestack_runtime::__private::function::<Result<(), Failed>>()
            .recording_success()
            .borrowed(
                idempotent_call,
                ::cratestack_runtime::__private::once(move |
                    idempotent_run: ::cratestack_runtime::__private::Run|
                async move {
                    if false {
                        return ::cratestack_runtime::__private::unreturned::<
                            Result<(), Failed>,
                        >();
                    }
                    (move || { { carrier.ship(parcel) } })().await
                }),
            )
            .await
    }
}
