/// Pays.
pub async fn pay<S: Shop>(
    idempotent_request: ::cratestack_runtime::__private::Guarded<
        (State<S>, User, Json<Pay>),
        true,
        1024,
    >,
) -> ::cratestack_runtime::__private::Response {
    #[tracing::instrument]
    async fn pay<S: Shop>(
        State(shop): State<S>,
        mut user: User,
        Json(req): Json<Pay>,
    ) -> Result<Paid, Failed> {
        shop.pay(user, req).await
    }
    let _ = ::cratestack_runtime::__private::returns_a_response::<Result<Paid, Failed>>;
    let _ = |argument0: State<S>, argument1: User, argument2: Json<Pay>| ::cratestack_runtime::__private::is_send(
        pay::<S>(argument0, argument1, argument2),
    );
    let _ = || {
        #[allow(unused_imports)]
        use ::cratestack_runtime::__private::Unchecked as _;
        ::cratestack_runtime::__private::Argument::<State<S>>::new().can_be_taken();
        ::cratestack_runtime::__private::Argument::<State<S>>::new().leaves_the_body();
        ::cratestack_runtime::__private::Argument::<User>::new().can_be_taken();
        ::cratestack_runtime::__private::Argument::<User>::new().leaves_the_body();
        ::cratestack_runtime::__private::Argument::<Json<Pay>>::new().can_be_taken();
    };
    let (mut call, (argument0, argument1, argument2)) = idempotent_request.into_parts();
    if call.is_guarded() {
        #[allow(unused_variables)]
        let (State(shop), user, Json(req)) = (&argument0, &argument1, &argument2);
        call.key(&::cratestack_runtime::__private::part(&(req.id)));
        call.principal(
            &(
                ::cratestack_runtime::__private::part(&(user.tenant)),
                ::cratestack_runtime::__private::part(&(user.name)),
            ),
        );
    }
    #[allow(unused_imports)]
    use ::cratestack_runtime::__private::Fallback as _;
    call.run(
            ::cratestack_runtime::__private::Options::new()
                .ttl_ms(86400000u64)
                .wait_ms(5000u64),
            ::cratestack_runtime::__private::Handling(
                    pay::<S>(argument0, argument1, argument2),
                )
                .boxed(),
        )
        .await
}
