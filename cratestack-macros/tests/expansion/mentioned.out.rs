fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::Guarded<
        (Path<(u64, u64)>, User, Method, String),
        (),
        true,
    >,
) -> ::cratestack_runtime::__private::GuardedResponse {
    async fn pay(
        Path((id, _shop)): Path<(u64, u64)>,
        r#in: User,
        _other: Method,
        _body: String,
    ) -> StatusCode {
        #![allow(unused_mut)]
        let _ = &id;
        let _ = &r#in;
        StatusCode::CREATED
    }
    let _ = pay;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<Path<(u64, u64)>>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<User>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<Method>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<String>::last;
    let _ = |
        idempotent_argument0: Path<(u64, u64)>,
        idempotent_argument1: User,
        idempotent_argument2: Method,
        idempotent_argument3: String|
    {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            pay(
                idempotent_argument0,
                idempotent_argument1,
                idempotent_argument2,
                idempotent_argument3,
            ),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        let _ = ::cratestack_runtime::__private::Returned::<StatusCode>::whole;
    };
    let (mut idempotent_call, idempotent_arguments) = idempotent_guarded.into_parts();
    if idempotent_call.is_guarded() {
        #[allow(unused_variables)]
        let (
            idempotent_argument0,
            idempotent_argument1,
            idempotent_argument2,
            idempotent_argument3,
        ) = &idempotent_arguments;
        #[allow(
            unused_variables,
            clippy::needless_borrowed_reference,
            clippy::no_effect_underscore_binding,
            clippy::pattern_type_mismatch
        )]
        let Path((id, _shop)) = idempotent_argument0;
        #[allow(
            unused_variables,
            clippy::needless_borrowed_reference,
            clippy::no_effect_underscore_binding,
            clippy::pattern_type_mismatch
        )]
        let r#in = idempotent_argument1;
        #[allow(
            unused_variables,
            clippy::needless_borrowed_reference,
            clippy::no_effect_underscore_binding,
            clippy::pattern_type_mismatch
        )]
        let _body = idempotent_argument3;
        #[allow(
            clippy::needless_borrow,
            clippy::needless_borrows_for_generic_args,
            clippy::op_ref,
            clippy::used_underscore_binding
        )]
        {
            idempotent_call
                .key(&::cratestack_runtime::__private::part(&&(format!("{id}"))));
            idempotent_call
                .principal(&::cratestack_runtime::__private::part(&&(r#in.name)));
            idempotent_call
                .fingerprint(&::cratestack_runtime::__private::part(&&(_body)));
        }
    }
    ::cratestack_runtime::__private::run(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new(),
        ::cratestack_runtime::__private::handling(
                idempotent_arguments,
                |
                    (
                        idempotent_argument0,
                        idempotent_argument1,
                        idempotent_argument2,
                        idempotent_argument3,
                    )|
                pay(
                    idempotent_argument0,
                    idempotent_argument1,
                    idempotent_argument2,
                    idempotent_argument3,
                ),
            )
            .go(),
    )
}
