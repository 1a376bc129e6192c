//! The books against what clients were told.

use cratestack_tests::{
    Answer,
    fleet::{ACCOUNTS, BALANCE, Books, Recorded},
};
use http::StatusCode;

use crate::plan::{Kind, Request};

/// A request, and everything that its clients heard.
pub struct Case {
    pub request: Request,
    /// What handlers answered, at first hand or replayed.
    pub outcomes: Vec<Answer>,
    /// A client lost its connection before it had an answer, or may have.
    pub cut_off: bool,
    /// The database was killed while this was under way.
    pub without_database: bool,
}

/// What was found of a case in which nothing is wrong.
#[derive(Default)]
pub struct Found {
    /// Only beside a reservation: more rows than one.
    pub doubled: bool,
    /// Only beside a reservation and after the database was killed: an outcome that was told and not recorded, or an
    /// error recorded.
    pub unsettled: bool,
}

impl Case {
    pub fn new(request: Request) -> Self {
        Self { request, outcomes: Vec::new(), cut_off: false, without_database: false }
    }

    /// Judges a case whose every request is answered.
    pub async fn judge(&self, books: &Books) -> Result<Found, String> {
        let Request { key, kind, .. } = &self.request;
        let rows = books.rows(key, *kind == Kind::Transfer).await;
        let records = books.records(key).await;
        let judged = match kind {
            Kind::Reserved => self.judge_reserved(&rows, &records),
            _ => self.judge_transaction(&rows, &records).map(|()| Found::default()),
        };
        judged.map_err(|wrong| {
            let told: Vec<_> = self.outcomes.iter().map(Recorded::told).collect();
            format!("{wrong}\n{:#?}\nrows: {rows:?}\nrecords: {records:#?}\ntold: {told:#?}", self.request)
        })
    }

    fn judge_transaction(&self, rows: &[(i64, i64)], records: &[Option<Recorded>]) -> Result<(), String> {
        self.all_are(records)?;
        let outcome = self.outcomes.first().ok_or("no outcome")?;
        let Request { kind, declined, .. } = self.request;
        let may_decline = declined || kind == Kind::Transfer;
        match (outcome.status, rows) {
            (StatusCode::CREATED, []) => Err("lost: the client was told that it is written".into()),
            (StatusCode::CREATED, &[row]) if declined => Err(format!("declined, and yet written: {row:?}")),
            (StatusCode::CREATED, &[row]) => self.is_written(outcome, row),
            (StatusCode::PAYMENT_REQUIRED, []) if may_decline => Ok(()),
            (StatusCode::PAYMENT_REQUIRED, rows) if may_decline => Err(format!("declined, and yet written: {rows:?}")),
            (_, rows) if rows.len() > 1 => Err("doubled".into()),
            (status, _) => Err(format!("an outcome that no handler of this request has: {status}")),
        }
    }

    fn judge_reserved(&self, rows: &[(i64, i64)], records: &[Option<Recorded>]) -> Result<Found, String> {
        let settled = self.all_are(records);
        let outcome = self.outcomes.first().ok_or("no outcome")?;
        let failed = outcome.status == StatusCode::INTERNAL_SERVER_ERROR;
        if self.without_database && (settled.is_err() || failed) {
            return Ok(Found { unsettled: true, doubled: rows.len() > 1 });
        }
        settled?;
        let row = rows.iter().find(|row| outcome.json()["row"] == row.0).ok_or("lost: no such row")?;
        self.is_written(outcome, *row)?;
        if rows.len() > 1 && !self.cut_off && !self.without_database {
            return Err("doubled, though nothing was killed under it".into());
        }
        Ok(Found { doubled: rows.len() > 1, unsettled: false })
    }

    /// All that was told is what is recorded, byte for byte.
    fn all_are(&self, records: &[Option<Recorded>]) -> Result<(), String> {
        let [Some(recorded)] = records else { return Err(format!("{} records", records.len())) };
        for outcome in &self.outcomes {
            if Recorded::told(outcome) != *recorded {
                return Err("told and recorded differ".into());
            }
        }
        Ok(())
    }

    fn is_written(&self, outcome: &Answer, (row, amount): (i64, i64)) -> Result<(), String> {
        let (ordered, told) = (&self.request.body["amount"], outcome.json());
        if told["row"] == row && told["amount"] == amount && *ordered == amount {
            return Ok(());
        }
        Err(format!("another row than was told: {row}, {amount}"))
    }
}

/// The accounts, between rounds.
pub async fn judge_accounts(books: &Books) -> Result<(), String> {
    let (wrong, sum) = books.balances().await;
    if wrong.is_empty() && sum == ACCOUNTS * BALANCE {
        return Ok(());
    }
    Err(format!("accounts that the transfers do not explain: {wrong:?}; the sum of all is {sum}"))
}
