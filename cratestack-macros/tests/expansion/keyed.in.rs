#[idempotent(key = (req.id, tenant), principal = user.id, body_limit = 1024, state = App)]
async fn pay<T>(Path(tenant): Path<u64>, user: User, Json(mut req): Json<T>) -> impl IntoResponse
where
    T: Request,
{
    req.settle(tenant, user)
}
