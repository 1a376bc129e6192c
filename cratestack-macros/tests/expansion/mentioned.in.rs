#[idempotent(key = format!("{id}"), principal = r#in.name, fingerprint = _body)]
async fn pay(Path((id, _shop)): Path<(u64, u64)>, r#in: User, _other: Method, _body: String) -> StatusCode {
    #![allow(unused_mut)]
    StatusCode::CREATED
}
