#[doc(hidden)]
async fn __idempotent_pay<T: Send>(self, tenant: Tenant<T>, body: String) -> StatusCode {
    let _ = &self;
    self.settle(tenant, body)
}
#[doc(hidden)]
#[allow(unused_variables, clippy::all, clippy::pedantic, clippy::nursery)]
fn __idempotent_handle_of_pay<T: Send>(
    self: &Self,
    (idempotent_argument1,): (&Tenant<T>,),
) -> ::cratestack_runtime::__private::FoundHandle {
    #[allow(
        clippy::needless_borrow,
        clippy::needless_borrows_for_generic_args,
        clippy::op_ref,
        clippy::used_underscore_binding
    )] { ::cratestack_runtime::__private::found_handle(&(self.idempotency)) }
}
fn pay<T: Send>(
    idempotent_guarded: ::cratestack_runtime::__private::AwaitingHandle<
        ::cratestack_runtime::__private::LeasedHandler,
        (Self, Tenant<T>, String),
        false,
    >,
) -> ::cratestack_runtime::__private::Work {
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::ArgumentOf::<Self, App>::leading;
    let _ = ::cratestack_runtime::__private::ArgumentOf::<Tenant<T>, App>::leading;
    let _ = ::cratestack_runtime::__private::ArgumentOf::<String, App>::last;
    let _ = |
        idempotent_argument0: Self,
        idempotent_argument1: Tenant<T>,
        idempotent_argument2: String|
    {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            Self::__idempotent_pay::<
                T,
            >(idempotent_argument0, idempotent_argument1, idempotent_argument2),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        let _ = ::cratestack_runtime::__private::Returned::<StatusCode>::whole;
    };
    let idempotent_handle = {
        let (idempotent_argument0, idempotent_argument1) = idempotent_guarded.leading();
        Self::__idempotent_handle_of_pay::<
            T,
        >(idempotent_argument0, (idempotent_argument1,))
    };
    idempotent_guarded
        .run(
            idempotent_handle,
            |idempotent_call, idempotent_arguments| {
                ::cratestack_runtime::__private::PreparedRun::leased(
                    idempotent_call,
                    ::cratestack_runtime::__private::Options::new().optional(),
                    ::cratestack_runtime::__private::handling(
                            idempotent_arguments,
                            |
                                (
                                    idempotent_argument0,
                                    idempotent_argument1,
                                    idempotent_argument2,
                                )|
                            Self::__idempotent_pay::<
                                T,
                            >(
                                idempotent_argument0,
                                idempotent_argument1,
                                idempotent_argument2,
                            ),
                        )
                        .go(),
                )
            },
        )
}
