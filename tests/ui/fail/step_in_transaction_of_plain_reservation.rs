use axum::http::StatusCode;
use cratestack_runtime::{Reservation, StepError, idempotent};

struct Failed;

impl From<StepError> for Failed {
    fn from(_: StepError) -> Self {
        Self
    }
}

impl axum::response::IntoResponse for Failed {
    fn into_response(self) -> axum::response::Response {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}

#[idempotent]
async fn pay(reservation: Reservation) -> Result<StatusCode, Failed> {
    reservation.transaction("debit", async |_| Ok::<_, Failed>(())).await?;
    Ok(StatusCode::CREATED)
}

fn main() {}
