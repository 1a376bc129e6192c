#[doc(hidden)]
fn __idempotent_pay(self) -> Pin<Box<dyn Future<Output = Self> + Send>> {
    self.go()
}
async fn pay(
    idempotent_request: ::cratestack_runtime::__private::Guarded<(Self,)>,
) -> ::cratestack_runtime::__private::Response {
    let _ = |argument0: Self| ::cratestack_runtime::__private::gives_a_future(
        Self::__idempotent_pay(argument0),
    );
    let _ = |argument0: Self| ::cratestack_runtime::__private::is_send(
        Self::__idempotent_pay(argument0),
    );
    let _ = || {
        #[allow(unused_imports)]
        use ::cratestack_runtime::__private::Unchecked as _;
        ::cratestack_runtime::__private::Argument::<Self>::new().can_be_taken();
    };
    let (call, (argument0,)) = idempotent_request.into_parts();
    #[allow(unused_imports)]
    use ::cratestack_runtime::__private::Fallback as _;
    call.run(
            ::cratestack_runtime::__private::Options::new().optional(),
            ::cratestack_runtime::__private::Box::pin(async move {
                ::cratestack_runtime::__private::Handling(
                        Self::__idempotent_pay(argument0),
                    )
                    .boxed()
                    .await
            }),
        )
        .await
}
