use axum::http::StatusCode;
use cratestack_runtime::{InTransaction, Reservation, StepError, Tx, idempotent};
use sqlx::Postgres;

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

#[idempotent(transaction)]
async fn pay(reservation: Reservation<InTransaction>, _: Tx<Postgres>) -> Result<StatusCode, Failed> {
    reservation.step("charge", async || Ok::<_, Failed>(())).await?;
    Ok(StatusCode::CREATED)
}

fn main() {}
