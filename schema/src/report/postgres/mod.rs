mod interference;
mod keys;
mod storage;

use crate::catalogue::Fact;
use crate::report::comparison::Comparison;

impl Comparison<'_> {
    /// What only Postgres has.
    pub(super) fn postgres(&mut self, table: &Fact) {
        self.key();
        self.index();
        self.interference(table);
        self.partitions();
        self.storage(table);
        self.rights();
    }
}
