fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::AwaitingHandle<
        ::cratestack_runtime::__private::LeasedHandler,
        (State<Arc<App>>, Option<Reservation<Postgres>>, String),
        false,
    >,
) -> ::cratestack_runtime::__private::Work {
    async fn pay(
        State(app): State<Arc<App>>,
        reservation: Option<Reservation<Postgres>>,
        body: String,
    ) -> String {
        let _ = &app;
        body
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::ArgumentOf::<
        State<Arc<App>>,
        Arc<App>,
    >::leading;
    let _ = ::cratestack_runtime::__private::Argument::<
        Option<Reservation<Postgres>>,
    >::leading;
    let _ = ::cratestack_runtime::__private::ArgumentOf::<String, Arc<App>>::last;
    let _ = |
        idempotent_argument0: State<Arc<App>>,
        idempotent_argument1: Option<Reservation<Postgres>>,
        idempotent_argument2: String|
    {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay(idempotent_argument0, idempotent_argument1, idempotent_argument2),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        let _ = ::cratestack_runtime::__private::Returned::<String>::whole;
    };
    let idempotent_handle = {
        #[allow(unused_variables)]
        let (idempotent_argument0, idempotent_argument1) = idempotent_guarded.leading();
        #[allow(
            unused_variables,
            clippy::needless_borrowed_reference,
            clippy::no_effect_underscore_binding,
            clippy::pattern_type_mismatch
        )]
        let State(app) = idempotent_argument0;
        #[allow(
            clippy::needless_borrow,
            clippy::needless_borrows_for_generic_args,
            clippy::op_ref,
            clippy::used_underscore_binding
        )]
        {
            ::cratestack_runtime::__private::found_handle_for::<
                ::cratestack_runtime::__private::Reservation<Postgres>,
                _,
            >(&(app.idempotency))
        }
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
                            |
                                (
                                    idempotent_argument0,
                                    idempotent_argument1,
                                    idempotent_argument2,
                                )|
                            pay(
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
