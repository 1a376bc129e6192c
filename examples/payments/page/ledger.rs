//! The shop's own ledger: one row per charge, whichever handler made it.

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};

use super::Shop;
use crate::{error::ApiError, ledger::Ledger};

/// What the page sends. `shop` is a number of its own for every visit, so that it shows its own orders only.
#[derive(Deserialize)]
pub(super) struct Order {
    pub(super) shop: i64,
    pub(super) number: i64,
    /// In cents.
    pub(super) amount: i64,
}

#[derive(Serialize)]
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

pub(super) const CHARGE: &str = "INSERT INTO shop_charges (shop, number, amount, process) VALUES ($1, $2, $3, $4)";
const LIST: &str = "SELECT number, amount, process FROM shop_charges WHERE shop = $1 ORDER BY entry";

impl Ledger {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "Postgres",
            Self::Sqlite(_) => "SQLite",
        }
    }

    pub(super) async fn prepare_shop(&self) -> sqlx::Result<()> {
        let columns = "shop BIGINT NOT NULL, number BIGINT NOT NULL, amount BIGINT NOT NULL, process BIGINT NOT NULL";
        match self {
            Self::Postgres(pool) => {
                // Two services may start at once.
                let create = format!(
                    "BEGIN; SELECT pg_advisory_xact_lock(hashtext('shop_charges'));
                    CREATE TABLE IF NOT EXISTS shop_charges (
                        entry BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {columns}
                    ); COMMIT"
                );
                sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(pool).await?;
            }
            Self::Sqlite(pool) => {
                let create = format!("CREATE TABLE IF NOT EXISTS shop_charges (entry INTEGER PRIMARY KEY, {columns})");
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

    async fn charges_of(&self, shop: i64) -> sqlx::Result<Vec<Charge>> {
        let rows: Vec<(i64, i64, i64)> = match self {
            Self::Postgres(pool) => sqlx::query_as(LIST).bind(shop).fetch_all(pool).await?,
            Self::Sqlite(pool) => sqlx::query_as(LIST).bind(shop).fetch_all(pool).await?,
        };
        Ok(rows.into_iter().map(|(number, amount, process)| Charge { number, amount, process }).collect())
    }
}

#[derive(Deserialize)]
pub(super) struct Visit {
    shop: i64,
}

pub(super) async fn list(State(shop): State<Shop>, Query(visit): Query<Visit>) -> Result<Json<Vec<Charge>>, ApiError> {
    Ok(Json(shop.reader.charges_of(visit.shop).await?))
}
