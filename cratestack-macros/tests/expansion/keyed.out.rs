fn pay<T>(
    idempotent_guarded: ::cratestack_runtime::__private::Guarded<
        (Path<u64>, User, Json<T>),
        (),
        true,
        1024,
    >,
) -> ::cratestack_runtime::__private::GuardedResponse
where
    T: Request,
{
    async fn pay<T>(
        Path(tenant): Path<u64>,
        user: User,
        Json(mut req): Json<T>,
    ) -> impl IntoResponse
    where
        T: Request,
    {
        let _ = &tenant;
        let _ = &user;
        let _ = &req;
        req.settle(tenant, user)
    }
    let _ = pay::<T>;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::state_provides_idempotency::<App>;
    let _ = ::cratestack_runtime::__private::ArgumentOf::<Path<u64>, App>::leading;
    let _ = ::cratestack_runtime::__private::ArgumentOf::<User, App>::leading;
    let _ = ::cratestack_runtime::__private::ArgumentOf::<Json<T>, App>::last;
    let _ = |
        idempotent_argument0: Path<u64>,
        idempotent_argument1: User,
        idempotent_argument2: Json<T>|
    {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay::<T>(idempotent_argument0, idempotent_argument1, idempotent_argument2),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        idempotent_outcome.returned().whole();
    };
    let (mut idempotent_call, idempotent_arguments) = idempotent_guarded.into_parts();
    if idempotent_call.is_guarded() {
        #[allow(unused_variables)]
        let (idempotent_argument0, idempotent_argument1, idempotent_argument2) = &idempotent_arguments;
        #[allow(
            unused_variables,
            clippy::needless_borrowed_reference,
            clippy::no_effect_underscore_binding,
            clippy::pattern_type_mismatch
        )]
        let Path(tenant) = idempotent_argument0;
        #[allow(
            unused_variables,
            clippy::needless_borrowed_reference,
            clippy::no_effect_underscore_binding,
            clippy::pattern_type_mismatch
        )]
        let user = idempotent_argument1;
        #[allow(
            unused_variables,
            clippy::needless_borrowed_reference,
            clippy::no_effect_underscore_binding,
            clippy::pattern_type_mismatch
        )]
        let Json(req) = idempotent_argument2;
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
                        ::cratestack_runtime::__private::part(&&(req.id)),
                        ::cratestack_runtime::__private::part(&&(tenant)),
                    ),
                );
            idempotent_call
                .principal(&::cratestack_runtime::__private::part(&&(user.id)));
        }
    }
    ::cratestack_runtime::__private::run(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new(),
        ::cratestack_runtime::__private::handling(
                idempotent_arguments,
                |(idempotent_argument0, idempotent_argument1, idempotent_argument2)| pay::<
                    T,
                >(idempotent_argument0, idempotent_argument1, idempotent_argument2),
            )
            .go(),
    )
}
