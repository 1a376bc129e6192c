fn ship<'life0, 'async_trait>(
    &'life0 self,
    parcel: Parcel,
) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send + 'async_trait>>
where
    'life0: 'async_trait,
    Self: 'async_trait,
{
    ::cratestack_runtime::__private::Box::pin(async move {
        use ::cratestack_runtime::__private::{
            AnyFunction as _, AnyReturnedByFunction as _,
        };
        let _ = ::cratestack_runtime::__private::Function::<Result<(), Failed>>::value;
        let _ = ::cratestack_runtime::__private::Function::<Result<(), Failed>>::error;
        #[allow(clippy::needless_borrow, clippy::needless_borrows_for_generic_args)]
        let mut idempotent_call = ::cratestack_runtime::__private::FunctionCall::new(
            ::cratestack_runtime::__private::found_handle(&(self.idempotency)),
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
                    (move || -> Pin<
                        Box<
                            dyn Future<Output = Result<(), Failed>> + Send + 'async_trait,
                        >,
                    > { { Box::pin(async move { self.carrier.ship(parcel).await }) } })()
                        .await
                }),
            )
            .await
    })
}
