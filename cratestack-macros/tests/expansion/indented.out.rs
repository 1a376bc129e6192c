/// Pays.
#[allow(clippy::unused_async)]
pub fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::Guarded<
        (State<S>, Path<u64>, Json<T>),
        (),
        true,
    >,
) -> ::cratestack_runtime::__private::GuardedResponse {
    fn __idempotent_opaque(_: &(impl IntoResponse)) {}
    #[allow(clippy::unused_async)]
    #[allow(unused_braces)]
    let idempotent_handler = |
        idempotent_argument0: State<S>,
        idempotent_argument1: Path<u64>,
        idempotent_argument2: Json<T>|
    async move {
        if false {
            return ::cratestack_runtime::__private::unreturned::<Result<_, ApiError>>();
        }
        #[allow(clippy::redundant_locals)]
        let idempotent_argument0 = idempotent_argument0;
        #[allow(clippy::redundant_locals)]
        let idempotent_argument1 = idempotent_argument1;
        #[allow(clippy::redundant_locals)]
        let idempotent_argument2 = idempotent_argument2;
        #[allow(clippy::no_effect_underscore_binding)]
        let State(store) = idempotent_argument0;
        #[allow(clippy::no_effect_underscore_binding)]
        let Path(id) = idempotent_argument1;
        #[allow(clippy::no_effect_underscore_binding)]
        let _ = idempotent_argument2;
        {
            let _ = &id;
            store.pay(id)
        }
    };
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<State<S>>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<Path<u64>>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<Json<T>>::last;
    let _ = |
        idempotent_argument0: State<S>,
        idempotent_argument1: Path<u64>,
        idempotent_argument2: Json<T>|
    {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            idempotent_handler(
                idempotent_argument0,
                idempotent_argument1,
                idempotent_argument2,
            ),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        idempotent_outcome.returned().success();
        idempotent_outcome.returned().failure();
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
        let Path(id) = idempotent_argument1;
        #[allow(
            clippy::needless_borrow,
            clippy::needless_borrows_for_generic_args,
            clippy::op_ref,
            clippy::used_underscore_binding
        )]
        {
            idempotent_call.key(&::cratestack_runtime::__private::part(&&(id)));
        }
    }
    ::cratestack_runtime::__private::run(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new(),
        ::cratestack_runtime::__private::handling(
                idempotent_arguments,
                move |
                    (idempotent_argument0, idempotent_argument1, idempotent_argument2)|
                idempotent_handler(
                    idempotent_argument0,
                    idempotent_argument1,
                    idempotent_argument2,
                ),
            )
            .go(),
    )
}
