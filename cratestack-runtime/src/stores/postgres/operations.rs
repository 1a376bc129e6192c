//! All operations of a store over one table, which its clones share.

use cratestack_schema::Dialect;
use sqlx::SqlStr;

use super::database::Database;
use super::finish::Finish;
use super::release::Release;
use super::renew::Renew;
use super::reserve::Reserve;
use super::step::Step;
use super::transaction::begin::Begin;
use super::transaction::commit::Commit;
use crate::stores::batch::BatchQueue;
use crate::stores::sql::shared;

#[derive(Debug)]
pub(super) struct Operations {
    pub(super) reserve: BatchQueue<Reserve>,
    pub(super) finish: BatchQueue<Finish>,
    pub(super) renew: BatchQueue<Renew>,
    pub(super) release: BatchQueue<Release>,
    pub(super) step: BatchQueue<Step>,
    pub(super) sweep: SqlStr,
    pub(super) begin: Begin,
    pub(super) commit: Commit,
}

impl Operations {
    pub(super) fn new(database: &Database, is_batching: bool) -> Self {
        let release = BatchQueue::new(Release::new(database.clone()), is_batching);
        Self {
            reserve: BatchQueue::new(Reserve::new(database.clone(), release.clone()), is_batching),
            finish: BatchQueue::new(Finish::new(database.clone()), is_batching),
            renew: BatchQueue::new(Renew::new(database.clone()), is_batching),
            release,
            step: BatchQueue::new(Step::new(database.clone()), is_batching),
            sweep: shared(database.table.sweep(Dialect::Postgres)),
            begin: Begin::new(database.clone()),
            commit: Commit::new(database.clone()),
        }
    }
}
