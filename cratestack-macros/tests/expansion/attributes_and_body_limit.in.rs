#[idempotent(body_limit = 65_536)]
#[deprecated]
#[expect(unused_mut)]
#[cfg(all())]
pub(crate) async fn idempotent_guarded(mut body: Bytes) {
    drop(body);
}
