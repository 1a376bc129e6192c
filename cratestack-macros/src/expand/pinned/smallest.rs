async fn pay(
    idempotent_request: ::cratestack_runtime::__private::Guarded<()>,
) -> ::cratestack_runtime::__private::Response {
    async fn pay() {}
    let _ = || ::cratestack_runtime::__private::is_send(pay());
    let _ = || {
        #[allow(unused_imports)]
        use ::cratestack_runtime::__private::Unchecked as _;
    };
    let (call, ()) = idempotent_request.into_parts();
    #[allow(unused_imports)]
    use ::cratestack_runtime::__private::Fallback as _;
    call.run(
            ::cratestack_runtime::__private::Options::new(),
            ::cratestack_runtime::__private::Handling(pay()).boxed(),
        )
        .await
}
