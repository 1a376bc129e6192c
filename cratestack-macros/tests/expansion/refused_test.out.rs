::core::compile_error! {
    "`#[idempotent]` is given twice\nhelp: write all options in one: `#[idempotent(ttl = \"24h\", …)]`"
}
::core::compile_error! {
    "a test is no handler\nhelp: put `#[idempotent]` on a handler, and call the router that it is mounted on from the test"
}
async fn pay(
    _: ::cratestack_runtime::__private::Guarded<()>,
) -> ::cratestack_runtime::__private::Response {
    #[allow(dead_code, unused_variables, clippy::all)]
    async fn pay() {}
    ::cratestack_runtime::__private::refused()
}
