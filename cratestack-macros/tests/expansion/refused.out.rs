::core::compile_error! {
    "`tll` is not an option of `idempotent`\nhelp: did you mean `ttl`?"
}
::core::compile_error! {
    "a handler cannot be `const`\nhelp: remove `const`"
}
::core::compile_error! {
    "a handler owns what it takes from the request\nhelp: write `String`"
}
/// Pays.
pub async fn pay(
    _: ::cratestack_runtime::__private::Guarded<()>,
) -> ::cratestack_runtime::__private::Response {
    #[allow(dead_code, unused_variables, clippy::all)]
    #[tracing::instrument]
    unsafe fn pay(body: &str) {
        drop(body);
    }
    ::cratestack_runtime::__private::refused()
}
