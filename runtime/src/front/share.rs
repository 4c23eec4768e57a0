//! Writes to several tables and shards, split so that each shard takes its own all at once.

use super::assembly::Assemblies;
use super::{Front, FrontError, RequestId, WRITE_BYTES_MAX};
use crate::clock::ShardId;
use crate::message::{Ask, COMMIT_WRITES_MAX, REQUEST_BYTES_MAX, TableWrite};
use operators::{Row, Rows, TableId, WriteKind};

/// Writes that one shard takes at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The shard.
    pub shard: ShardId,
    /// The writes, one after another.
    pub writes: Vec<TableWrite>,
    bytes: usize,
}

impl Share {
    fn has_room(&self, bytes: usize, write: &TableWrite) -> bool {
        let is_new = !self.writes.last().is_some_and(|last| last.is_like(write));
        self.bytes + bytes <= WRITE_BYTES_MAX && self.writes.len() + usize::from(is_new) <= COMMIT_WRITES_MAX
    }

    fn push(&mut self, write: &TableWrite, row: Row<'_>) {
        let TableWrite { table, kind, .. } = *write;
        if !self.writes.last().is_some_and(|last| last.is_like(write)) {
            self.writes.push(TableWrite { table, kind, rows: Rows::new() });
        }
        self.writes.last_mut().expect("there is one").rows.push(row);
        self.bytes += row.len();
    }
}

impl TableWrite {
    fn is_like(&self, other: &TableWrite) -> bool {
        (self.table, self.kind) == (other.table, other.kind)
    }
}

impl Front {
    /// Splits writes into shares for [`Front::commit`]: each for one shard, and small enough for one request. What is for one
    /// shard keeps its order, and a row that is replaced stays with the one that replaces it.
    ///
    /// # Errors
    ///
    /// Where a table is not known.
    pub fn shares(&self, writes: &[TableWrite]) -> Result<Vec<Share>, FrontError> {
        let mut shares: Vec<Share> = Vec::new();
        let mut open: Vec<Option<usize>> = vec![None; usize::from(self.shards())];
        for write in writes {
            let key = self.table_key(TableId(write.table), write.kind)?;
            let mut rows = write.rows.iter();
            while let Some(row) = rows.next() {
                let shard = self.owner(row, &key);
                let new = if write.kind == WriteKind::Replace { rows.next() } else { None };
                let bytes = row.len() + new.map_or(0, |new| new.len());
                let at = match open[usize::from(shard.0)] {
                    Some(at) if shares[at].has_room(bytes, write) => at,
                    _ => {
                        shares.push(Share { shard, writes: Vec::new(), bytes: 0 });
                        shares.len() - 1
                    }
                };
                open[usize::from(shard.0)] = Some(at);
                [Some(row), new].into_iter().flatten().for_each(|row| shares[at].push(write, row));
            }
        }
        Ok(shares)
    }

    /// Carries out the writes of a share: all of them or none.
    ///
    /// # Errors
    ///
    /// Where too much waits already, or the share is larger than a request may be.
    pub fn commit(&mut self, share: &Share) -> Result<RequestId, FrontError> {
        if share.bytes > REQUEST_BYTES_MAX {
            return Err(FrontError::Invalid(format!("a request takes {REQUEST_BYTES_MAX} bytes of rows")));
        }
        self.check_room_at(share.shard)?;
        let request = self.new_request();
        let body = match share.writes.as_slice() {
            [write] => Ask::Write(write.clone()),
            writes => Ask::Commit(writes.to_vec()),
        };
        self.lanes[usize::from(share.shard.0)].send(&self.page, body, Assemblies::single(request));
        Ok(request)
    }
}
