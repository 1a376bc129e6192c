#[tracing::instrument]
pub async fn charge(&self, mut order: Order) -> Result<Receipt, ChargeError> {
    #![allow(unused)]
    use ::cratestack_runtime::__private::{AnyFunction as _, AnyReturnedByFunction as _};
    let _ = ::cratestack_runtime::__private::Function::<
        Result<Receipt, ChargeError>,
    >::value;
    let _ = ::cratestack_runtime::__private::Function::<
        Result<Receipt, ChargeError>,
    >::error;
    #[allow(clippy::needless_borrow, clippy::needless_borrows_for_generic_args)]
    let mut idempotent_call = ::cratestack_runtime::__private::FunctionCall::new(
        ::cratestack_runtime::__private::found_handle(&(self.idempotency)),
        "charge",
        ::cratestack_runtime::__private::Options::new().ttl_ms(86400000u64),
    );
    #[allow(
        clippy::needless_borrow,
        clippy::needless_borrows_for_generic_args,
        clippy::op_ref,
        clippy::used_underscore_binding
    )]
    {
        idempotent_call
            .key(
                &(
                    ::cratestack_runtime::__private::part(&&(order.id)),
                    ::cratestack_runtime::__private::part(&&(&order.currency)),
                ),
            );
        idempotent_call
            .fingerprint(&::cratestack_runtime::__private::part(&&(order.amount)));
    }
    ::cratestack_runtime::__private::function::<Result<Receipt, ChargeError>>()
        .recording_success()
        .borrowed(
            idempotent_call,
            ::cratestack_runtime::__private::once(move |
                idempotent_run: ::cratestack_runtime::__private::Run|
            async move {
                if false {
                    return ::cratestack_runtime::__private::unreturned::<
                        Result<Receipt, ChargeError>,
                    >();
                }
                #[allow(clippy::no_effect_underscore_binding)]
                let reservation: Reservation = ::cratestack_runtime::__private::reservation::<
                    Reservation,
                >(idempotent_run.slot());
                #[allow(unused_braces)]
                {
                    order.seal();
                    self.provider.charge(&order, reservation.derive("charge")).await
                }
            }),
        )
        .await
}
