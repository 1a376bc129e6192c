//! The shop's own ledger: one row per charge, whichever handler made it, and one per shipment.

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Shop, stage::Stage};
use crate::{error::ApiError, ledger::Ledger};

/// What the page sends. `shop` is a number of its own for every visit, so that it shows its own orders only.
#[derive(Deserialize)]
pub(super) struct Order {
    pub(super) shop: i64,
    pub(super) number: i64,
    /// In cents.
    pub(super) amount: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Charge {
    number: i64,
    amount: i64,
    /// The process that made it.
    process: i64,
}

impl Charge {
    pub(super) fn of(order: &Order) -> Self {
        Self { number: order.number, amount: order.amount, process: pid() }
    }
}

pub(super) fn pid() -> i64 {
    std::process::id().into()
}

pub(super) type Answer = Result<(StatusCode, Json<Charge>), ApiError>;

pub(super) const CHARGE: &str = "INSERT INTO shop_payments (shop, number, amount, process) VALUES ($1, $2, $3, $4)";
/// As a provider does that is idempotent itself: one charge for each key that it is shown.
const CHARGE_ONCE: &str = "INSERT INTO shop_payments (shop, number, amount, process, key_at_provider)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (key_at_provider) DO NOTHING";
const SHIP: &str = "INSERT INTO shop_shipments (shop, number) VALUES ($1, $2)";
const LIST: &str = "SELECT number, amount, process, (SELECT COUNT(*) FROM shop_shipments
        WHERE shop_shipments.shop = shop_payments.shop AND shop_shipments.number = shop_payments.number)
    FROM shop_payments WHERE shop = $1 ORDER BY entry";

impl Ledger {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "Postgres",
            Self::Sqlite(_) => "SQLite",
        }
    }

    pub(super) async fn prepare_shop(&self) -> sqlx::Result<()> {
        let create = |entry: &str| {
            format!(
                "CREATE TABLE IF NOT EXISTS shop_payments (
                    entry {entry}, shop BIGINT NOT NULL, number BIGINT NOT NULL, amount BIGINT NOT NULL,
                    process BIGINT NOT NULL, key_at_provider TEXT UNIQUE
                );
                CREATE TABLE IF NOT EXISTS shop_shipments (
                    entry {entry}, shop BIGINT NOT NULL, number BIGINT NOT NULL
                );"
            )
        };
        match self {
            Self::Postgres(pool) => {
                // Two services may start at once.
                let create = create("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY");
                let create = format!("BEGIN; SELECT pg_advisory_xact_lock(hashtext('shop_payments')); {create} COMMIT");
                sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(pool).await?;
            }
            Self::Sqlite(pool) => {
                let create = create("INTEGER PRIMARY KEY");
                sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(pool).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn charge(&self, order: &Order) -> sqlx::Result<Charge> {
        let charge = Charge::of(order);
        let (shop, number, amount, process) = (order.shop, charge.number, charge.amount, charge.process);
        match self {
            Self::Postgres(pool) => {
                sqlx::query(CHARGE).bind(shop).bind(number).bind(amount).bind(process).execute(pool).await?;
            }
            Self::Sqlite(pool) => {
                sqlx::query(CHARGE).bind(shop).bind(number).bind(amount).bind(process).execute(pool).await?;
            }
        }
        Ok(charge)
    }

    async fn charge_once(&self, key: Uuid, order: &Order) -> sqlx::Result<Charge> {
        let charge = Charge::of(order);
        let (shop, key, Charge { number, amount, process }) = (order.shop, key.to_string(), &charge);
        match self {
            Self::Postgres(pool) => {
                let charge = sqlx::query(CHARGE_ONCE).bind(shop).bind(number).bind(amount).bind(process).bind(key);
                charge.execute(pool).await?;
            }
            Self::Sqlite(pool) => {
                let charge = sqlx::query(CHARGE_ONCE).bind(shop).bind(number).bind(amount).bind(process).bind(key);
                charge.execute(pool).await?;
            }
        }
        Ok(charge)
    }

    async fn ship(&self, order: &Order) -> sqlx::Result<()> {
        match self {
            Self::Postgres(pool) => {
                sqlx::query(SHIP).bind(order.shop).bind(order.number).execute(pool).await?;
            }
            Self::Sqlite(pool) => {
                sqlx::query(SHIP).bind(order.shop).bind(order.number).execute(pool).await?;
            }
        }
        Ok(())
    }

    async fn rows_of(&self, shop: i64) -> sqlx::Result<Vec<Row>> {
        let rows: Vec<(i64, i64, i64, i64)> = match self {
            Self::Postgres(pool) => sqlx::query_as(LIST).bind(shop).fetch_all(pool).await?,
            Self::Sqlite(pool) => sqlx::query_as(LIST).bind(shop).fetch_all(pool).await?,
        };
        let row = |(number, amount, process, shipments)| Row { charge: Charge { number, amount, process }, shipments };
        Ok(rows.into_iter().map(row).collect())
    }
}

/// A charge, as the page lists it.
#[derive(Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    charge: Charge,
    /// How many shipments its order has got.
    shipments: i64,
}

/// What the handler with steps does.
impl Shop {
    /// In a real service this is a call of somebody else, with the key as its `Idempotency-Key`.
    pub(super) async fn charge_at_provider(&self, stage: &Stage, key: Uuid, order: &Order) -> Result<Charge, ApiError> {
        let charge = self.ledger.charge_once(key, order).await?;
        stage.did("charged");
        Ok(charge)
    }

    pub(super) async fn ship(&self, stage: &Stage, order: &Order) -> Result<(), ApiError> {
        self.ledger.ship(order).await?;
        stage.did("shipped");
        Ok(())
    }
}

#[derive(Deserialize)]
pub(super) struct Visit {
    shop: i64,
}

pub(super) async fn list(State(shop): State<Shop>, Query(visit): Query<Visit>) -> Result<Json<Vec<Row>>, ApiError> {
    Ok(Json(shop.reader.rows_of(visit.shop).await?))
}
