pub fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::AwaitingHandle<
        ::cratestack_runtime::__private::LeasedHandler,
        (State<App>, User, Json<Request>),
        false,
        Response,
        true,
        1024,
    >,
) -> ::cratestack_runtime::__private::Work {
    async fn pay(
        State(app): State<App>,
        user: User,
        Json(req): Json<Request>,
    ) -> Response {
        let _ = &app;
        let _ = &req;
        app.settle(user, req)
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<State<App>>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<User>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<Json<Request>>::last;
    let _ = |
        idempotent_argument0: State<App>,
        idempotent_argument1: User,
        idempotent_argument2: Json<Request>|
    {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay(idempotent_argument0, idempotent_argument1, idempotent_argument2),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        let _ = ::cratestack_runtime::__private::Returned::<Response>::whole;
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
        )] { ::cratestack_runtime::__private::found_handle(&(app.idempotency)) }
    };
    idempotent_guarded
        .run(
            idempotent_handle,
            |mut idempotent_call, idempotent_arguments| {
                if idempotent_call.is_guarded() {
                    #[allow(unused_variables)]
                    let (
                        idempotent_argument0,
                        idempotent_argument1,
                        idempotent_argument2,
                    ) = &idempotent_arguments;
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
                            .key(&::cratestack_runtime::__private::part(&&(req.id)));
                    }
                }
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
